// Servers of the benchmarks: those of JAF_TEST_POSTGRES_URL and JAF_TEST_REDIS_URL, or private ones, started by the code that
// starts them for the tests (test/support). It is TypeScript and Node 20 runs none, so its three files are transpiled on each
// start into a cache inside node_modules, from where they find the clients.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The modules of test/support that start servers. */
async function support() {
  const { default: ts } = await import('@typescript/typescript6');
  const out = `${root}node_modules/.cache/jaf-bench`;
  mkdirSync(out, { recursive: true });
  for (const name of ['programs', 'postgres', 'redis']) {
    const { outputText } = ts.transpileModule(readFileSync(`${root}test/support/${name}.ts`, 'utf8'), {
      compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
    });
    // renamed into place: another benchmark may be starting
    const file = `${out}/${name}.mjs`;
    writeFileSync(`${file}.${process.pid}`, outputText.replaceAll(/(from '\.\/\w+)\.js'/g, "$1.mjs'"));
    renameSync(`${file}.${process.pid}`, file);
  }
  const load = (name) => import(pathToFileURL(`${out}/${name}.mjs`).href);
  return {
    ...(await load('programs')),
    startPostgres: (await load('postgres')).startPostgres,
    startRedis: (await load('redis')).startRedis,
  };
}

let loaded;
const loadSupport = () => (loaded ??= support());

/**
 * Calls `work` with the URLs of the servers it needs in process.env (JAF_TEST_POSTGRES_URL, JAF_TEST_REDIS_URL), and ends those
 * it has started.
 *
 * @param {readonly ('postgres' | 'redis')[]} needed
 * @param {() => Promise<unknown>} work
 * @param {{ fsync?: boolean, postgres?: Record<string, string> }} [settings] - `fsync`: whether a private PostgreSQL waits for the
 *   disk; default true, unlike in the tests; `postgres`: more of its settings
 */
export async function withServers(needed, work, { fsync = true, postgres = {} } = {}) {
  const started = [];
  try {
    if (needed.includes('postgres') && !process.env.JAF_TEST_POSTGRES_URL) {
      const { startPostgres } = await loadSupport();
      const server = await startPostgres({ ...postgres, ...(fsync ? { fsync: 'on' } : {}) });
      started.push({ server, variable: 'JAF_TEST_POSTGRES_URL' });
      process.env.JAF_TEST_POSTGRES_URL = server.url;
    }
    if (needed.includes('redis') && !process.env.JAF_TEST_REDIS_URL) {
      const { startRedis } = await loadSupport();
      const server = await startRedis();
      started.push({ server, variable: 'JAF_TEST_REDIS_URL' });
      process.env.JAF_TEST_REDIS_URL = server.url;
    }
    return await work();
  } finally {
    for (const { server, variable } of started) {
      delete process.env[variable];
      await server.destroy();
    }
  }
}

/** URL of the PostgreSQL server of this run. */
export const postgresUrl = () => needed('JAF_TEST_POSTGRES_URL');

/** URL of the Redis server of this run. */
export const redisUrl = () => needed('JAF_TEST_REDIS_URL');

function needed(variable) {
  const url = process.env[variable];
  if (!url) throw new Error(`${variable} is not set. Start benchmarks with "npm run bench", which starts the servers.`);
  return url;
}

/** Path of a program: `pgbench`, or another one on the PATH. Throws an error that says what to install. */
export async function programOf(name) {
  const { needPostgres, needProgram } = await loadSupport();
  return name === 'pgbench' ? `${needPostgres()}/pgbench` : needProgram(name, name === 'redis-benchmark' ? 'redis-tools' : name);
}
