// npm run bench [-- NAME… --provider P --size N --repetitions N]: runs benchmarks, each with each of its providers in a process
// of its own, so that no heap and no compiled code of one reaches another. Servers are started once for all of them.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { serversOf } from './lib/backends.mjs';
import { withServers } from './lib/servers.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = new URL('.', import.meta.url);
const BIG = 1_000_000;

const { values, positionals: asked } = parseArgs({
  allowPositionals: true,
  options: {
    provider: { type: 'string', multiple: true },
    size: { type: 'string' },
    repetitions: { type: 'string' },
    seconds: { type: 'string' },
    bytes: { type: 'string' },
    'no-fsync': { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});

/** Where a benchmark is: NAME.mjs, or NAME/index.mjs. */
const fileOf = (name) => [`${name}.mjs`, `${name}/index.mjs`].map((path) => new URL(path, folder)).find((url) => existsSync(url));
const names = readdirSync(folder, { withFileTypes: true })
  .map((entry) => (entry.isDirectory() ? entry.name : entry.name.replace(/\.mjs$/, '')))
  .filter((name) => !['run', 'report'].includes(name) && fileOf(name))
  .sort();

function fail(text) {
  console.error(text);
  process.exit(2);
}

const unknown = asked.find((name) => !names.includes(name));
if (unknown !== undefined) fail(`No benchmark "${unknown}". There are: ${names.join(', ')}`);
if (!existsSync(`${root}dist/memory/index.js`)) fail('Benchmarks measure the build: run "npm run build" first.');
const positive = (name) => {
  const value = values[name];
  if (value !== undefined && !(Number.isSafeInteger(Number(value)) && Number(value) > 0)) fail(`--${name} is a whole number above 0.`);
  return value === undefined ? {} : { [name]: Number(value) };
};
const options = { ...positive('size'), ...positive('repetitions'), ...positive('seconds'), ...positive('bytes') };
const benchmarks = await Promise.all(names.map(async (name) => ({ name, ...(await import(fileOf(name).href)) })));

if (values.help) {
  console.log(`npm run bench -- [NAME…] [--provider NAME]… [--size N] [--repetitions N] [--seconds N] [--bytes N] [--no-fsync]

Without a name: every benchmark that is not marked "by name only". Results: bench/results/NAME.json, and docs/performance.md with
"npm run bench:report". Servers: those of JAF_TEST_POSTGRES_URL and JAF_TEST_REDIS_URL, or private ones.

  --provider     only this one; repeat it for more
  --size         the largest size, where a benchmark has sizes
  --repetitions  interleaved repetitions, at least 5
  --seconds      how long, where a benchmark runs for a time
  --bytes        where a benchmark loads a store: stop when it has grown by so much
  --no-fsync     a private PostgreSQL does not wait for the disk at each commit: what our statements cost without it
`);
  for (const { name, title, providers, defaults, byName } of benchmarks) {
    const about = [
      ...(providers ? [providers.join(', ')] : []),
      ...Object.entries(defaults ?? {}).map(([key, value]) => `--${key} ${value}`),
      ...(byName ? ['by name only'] : []),
    ];
    console.log(`${name.padEnd(20)} ${title}${about.length > 0 ? ` (${about.join('; ')})` : ''}`);
  }
  process.exit(0);
}

const jobs = benchmarks
  .filter(({ name, byName }) => (asked.length > 0 ? asked.includes(name) : !byName))
  .flatMap(({ name, providers, defaults, servers = [] }) =>
    (providers ?? [undefined])
      .filter((provider) => provider === undefined || !values.provider || values.provider.includes(provider))
      .map((provider) => ({
        name,
        needed: [...servers, ...(provider ? serversOf(provider) : [])],
        options: { ...defaults, ...options, ...(provider ? { provider } : {}) },
      })),
  );
if (jobs.length === 0) fail(`None of these runs with ${values.provider?.join(', ')}.`);

/** Temporary files of all benchmarks: a process that is ended early leaves nothing behind. */
const temporary = mkdtempSync(join(tmpdir(), 'jaf-bench-'));
let child;
let stopped;

/** One benchmark with one provider; answers its exit code, or the signal that ended it. */
function execute(job) {
  const flags = ['--expose-gc', ...(job.options.size >= BIG ? ['--max-old-space-size=12288'] : [])];
  const program = fileURLToPath(new URL('lib/child.mjs', folder));
  child = spawn(process.execPath, [...flags, program, fileOf(job.name).href, JSON.stringify(job.options)], {
    stdio: 'inherit',
    env: { ...process.env, TMPDIR: temporary },
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal ?? code));
  });
}

// what is started here ends before this process does
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    stopped = signal;
    child?.kill(signal);
  });
}
const failed = [];
try {
  await withServers(
    [...new Set(jobs.flatMap(({ needed }) => needed))],
    async () => {
      for (const job of jobs) {
        if (stopped) break;
        const code = await execute(job);
        if (code !== 0) failed.push(`${job.name}${job.options.provider ? ` with ${job.options.provider}` : ''} (${code})`);
      }
    },
    { fsync: values['no-fsync'] !== true },
  );
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
if (stopped) failed.push(`stopped by ${stopped}`);
if (failed.length > 0) {
  console.error(`failed: ${failed.join(', ')}`);
  process.exitCode = 1;
}
