// Tests the documents: npm run test:docs -- [--provider memory|sqlite|redis|postgres|all] [--package DIR] [--keep] [FILE.md …]
//
// Takes every block of docs/*.md and README.md (or of the files given), type-checks all of them in one run of tsc with the
// flags of tsconfig.json against the built package, runs each on the providers it names, compares what it prints with what
// the document says, and prints a table. What a document says about a block is described in docs-blocks.mjs.
// Exit code 1: a block failed, or a block marked as later works already. Redis and PostgreSQL blocks need a server, in
// JAF_TEST_REDIS_URL and JAF_TEST_POSTGRES_URL (test/integration/docs.test.ts starts one): without, they are not run, and
// that is a failure when the provider was asked for by name.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, delimiter, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { blocksOf } from './docs-blocks.mjs';
import { compile, makeProject } from './docs-project.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const ALL = ['memory', 'sqlite', 'redis', 'postgres'];
/** Milliseconds a block may run. */
const LIMIT = 60_000;
/** What blocks make on a PostgreSQL server is in this schema, and removed at the end. */
const SCHEMA = `jaf_docs_${process.pid}`;
/** What blocks store on a Redis server has keys that begin with this, and is removed at the end. */
const PREFIX = `jaf-docs:${process.pid}:`;
/** Addresses that readers replace with their own; here with the test's server, and a prefix that is the test's. */
const ADDRESSES = {
  redis: {
    "createRedisProvider({ url: 'redis://localhost:6379/0'": () =>
      `createRedisProvider({ url: '${process.env.JAF_TEST_REDIS_URL}', keyPrefix: '${PREFIX}'`,
    'redis://localhost:6379/0': () => process.env.JAF_TEST_REDIS_URL,
    "'jaf:memory:'": () => `'${PREFIX}'`,
  },
  postgres: { 'postgresql://user:pass@localhost/jaf_memory': () => withSearchPath(process.env.JAF_TEST_POSTGRES_URL) },
};

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    provider: { type: 'string', multiple: true, default: ['all'] },
    package: { type: 'string', default: root },
    keep: { type: 'boolean', default: false },
  },
});
const asked = options.provider.includes('all') ? ALL : options.provider;
const strange = asked.find((p) => !ALL.includes(p));
if (strange !== undefined) {
  console.error(`--provider ${strange}: expected memory, sqlite, redis, postgres or all`);
  process.exit(2);
}
const pkg = realpathSync(options.package);
if (!existsSync(join(pkg, 'dist/memory/index.js'))) {
  console.error(`${pkg} has no dist/: run "npm run build" first`);
  process.exit(2);
}
const files = positionals.length > 0 ? positionals.map((f) => resolve(f)) : documents();
const blocks = files.flatMap((file) => blocksOf(relative(root, file), readFileSync(file, 'utf8')));
const { getMemoryProviderInfo, createMemoryProviderFromEnv } = await import(pathToFileURL(join(pkg, 'dist/memory/index.js')).href);

function documents() {
  const docs = readdirSync(join(root, 'docs'))
    .filter((f) => f.endsWith('.md'))
    .sort();
  return ['README.md', ...docs.map((f) => join('docs', f))].map((f) => join(root, f)).filter((f) => existsSync(f));
}

// ------------------------------------------------------------------------------------------------------------- running

/** Variables that make the environment's provider the one asked for, with a store of the block's own. */
function variablesOf(provider, name) {
  const own = name.replace(/\W/g, '_');
  switch (provider) {
    case 'sqlite':
      return { JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: './jaf-memory.db' };
    case 'redis':
      return {
        JAF_MEMORY_TYPE: 'redis',
        JAF_REDIS_URL: process.env.JAF_TEST_REDIS_URL ?? 'redis://localhost:6379/0',
        JAF_REDIS_KEY_PREFIX: `${PREFIX}${own}:`,
      };
    case 'postgres':
      return {
        JAF_MEMORY_TYPE: 'postgres',
        JAF_POSTGRES_CONNECTION_STRING: process.env.JAF_TEST_POSTGRES_URL ?? 'postgresql://localhost:5432/jaf_docs',
        JAF_POSTGRES_SCHEMA: SCHEMA,
        JAF_POSTGRES_TABLE_NAME: own.slice(-40).replace(/^(?=\d)/, '_'),
      };
    default:
      return { JAF_MEMORY_TYPE: 'memory' };
  }
}

const server = (p) => (p === 'redis' ? 'JAF_TEST_REDIS_URL' : p === 'postgres' ? 'JAF_TEST_POSTGRES_URL' : undefined);

function withSearchPath(url) {
  const own = new URL(url);
  own.searchParams.set('options', `-c search_path=${SCHEMA}`);
  return own.href;
}

/** Makes, or removes, what blocks need on the servers they may use. */
async function onServers(work) {
  if (work === 'DROP' && asked.includes('redis') && process.env.JAF_TEST_REDIS_URL) await dropKeys(process.env.JAF_TEST_REDIS_URL);
  if (!asked.includes('postgres') || !process.env.JAF_TEST_POSTGRES_URL) return;
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: process.env.JAF_TEST_POSTGRES_URL });
  await client.connect();
  await client.query(
    `SET client_min_messages = warning; ${work} SCHEMA IF ${work === 'CREATE' ? 'NOT ' : ''}EXISTS ${SCHEMA}${work === 'DROP' ? ' CASCADE' : ''}`,
  );
  await client.end();
}

async function dropKeys(url) {
  const { createClient } = await import('redis');
  const client = await createClient({ url }).connect();
  for await (const keys of client.scanIterator({ MATCH: `{${PREFIX}*`, COUNT: 1000 })) if (keys.length > 0) await client.unlink(keys);
  client.destroy();
}

/** The compiled block, with addresses that this test can use. */
function programOf(project, block, provider) {
  const file = join(project, 'out', `${block.name}.js`);
  const replaced = Object.entries(ADDRESSES[provider] ?? {}).filter(([from]) => block.code.includes(from));
  if (replaced.length === 0) return file;
  const own = join(project, 'out', `${block.name}-${provider}.js`);
  writeFileSync(
    own,
    replaced.reduce((code, [from, to]) => code.replaceAll(from, to()), readFileSync(file, 'utf8')),
  );
  return own;
}

/** Runs a program in a folder of its own; nothing of our environment reaches it but PATH. */
function execute(project, file, args, folder, variables) {
  const cwd = join(project, 'runs', folder);
  mkdirSync(cwd, { recursive: true });
  const path = [join(project, 'node_modules/.bin'), dirname(process.execPath), process.env.PATH].join(delimiter);
  const env = { PATH: path, HOME: cwd, TMPDIR: cwd, NO_COLOR: '1', TZ: 'UTC', ...variables };
  return new Promise((done) => {
    const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.on('error', (error) => done({ failure: error.message, stdout, stderr }));
    child.on('close', (code, signal) => {
      const failure = signal ? `killed by ${signal} (it may run ${LIMIT / 1000} s)` : code === 0 ? undefined : `exit code ${code}`;
      done({ failure, stdout, stderr });
    });
  });
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const trimmed = (text) =>
  text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trim();

/** What is wrong with a run; undefined when nothing is. */
function judge(block, { failure, stdout, stderr }) {
  if (failure !== undefined) return `${failure}\n${indent(`${stdout}${stderr}`)}`;
  if (!block.output) return undefined;
  const pattern = trimmed(block.output.text).split('…').map(escaped).join('[^\\n]*');
  if (new RegExp(`^${pattern}$`).test(trimmed(stdout))) return undefined;
  return `prints something else than ${block.file}:${block.output.line} says:\n${indent(stdout)}`;
}

const indent = (text) =>
  trimmed(text)
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');

function runBlock(project, block, provider) {
  const variables = variablesOf(provider, block.name);
  const folder = `${block.name}-${provider}`;
  if (block.lang === 'ts' || block.lang === 'js')
    return execute(project, process.execPath, [programOf(project, block, provider)], folder, variables);
  return execute(project, 'bash', ['-euo', 'pipefail', '-c', block.code], folder, variables);
}

/** What a shell makes of a block of variables: comments and quotes are the shell's business. */
async function valuesOf(project, block) {
  const print =
    'process.stdout.write(JSON.stringify(Object.fromEntries(Object.entries(process.env).filter(([k]) => k.startsWith("JAF_")))))';
  const ran = await execute(
    project,
    'sh',
    ['-ec', `set -a\n${block.code}\nexec "${process.execPath}" -e '${print}'`],
    `${block.name}-env`,
    {},
  );
  if (ran.failure !== undefined) throw new Error(`the shell cannot read it: ${ran.failure} ${ran.stderr}`);
  return JSON.parse(ran.stdout);
}

/** Checks a block of variables: the provider they describe, that each of them is read, and that an embedded one opens. */
async function checkVariables(project, block) {
  const values = await valuesOf(project, block);
  if (Object.keys(values).length === 0) return 'it sets no JAF_ variable';
  const { type, ignored } = getMemoryProviderInfo(values);
  if (type !== block.env) return `it describes ${type}, the mark says ${block.env}`;
  if (ignored.length > 0) return `has no effect with ${type}: ${ignored.join(', ')}`;
  const read = new Set();
  const get = (target, name) => {
    read.add(name);
    return target[name];
  };
  // without a list of its names, what reads a variable asks for it by name
  getMemoryProviderInfo(new Proxy(values, { get, ownKeys: () => [] }));
  const strange = Object.keys(values).find((name) => !read.has(name));
  if (strange !== undefined) return `${strange} is read nowhere`;
  if (server(type) !== undefined) return undefined;
  const provider = await createMemoryProviderFromEnv({
    ...values,
    ...(values.JAF_SQLITE_PATH ? { JAF_SQLITE_PATH: join(project, 'runs', `${block.name}-env`, basename(values.JAF_SQLITE_PATH)) } : {}),
  });
  const health = await provider.healthCheck();
  await provider.close();
  return health.healthy ? undefined : health.error;
}

/** One row of the table for a block on a provider. */
async function test(project, block, provider) {
  const fail = (detail) => ({ result: 'FAILED', detail });
  if (block.problems.length > 0) return fail(block.problems.join('; '));
  if (block.env !== undefined) {
    const wrong = await checkVariables(project, block).catch((error) => `${error.name}: ${error.message}`);
    if (wrong !== undefined) return fail(wrong);
    return { result: 'ok', detail: server(block.env) === undefined ? 'described and opened' : 'described; nothing is opened' };
  }
  if (block.later !== undefined) return await testLater(project, block, provider);
  if (block.errors.length > 0) return fail(`does not compile\n${indent(block.errors.join('\n'))}`);
  if (block.shown !== undefined) return { result: 'shown', detail: block.shown };
  const needs = server(provider);
  if (needs !== undefined && !process.env[needs]) {
    const todo = `set ${needs} to a server this test may use`;
    return options.provider.includes(provider) ? fail(todo) : { result: 'not run', detail: todo };
  }
  const wrong = judge(block, await runBlock(project, block, provider));
  return wrong === undefined ? { result: 'ok', detail: block.output ? 'output as stated' : '' } : fail(wrong);
}

/** A mark that says "later" must be true. */
async function testLater(project, block, provider) {
  const stale = (why) => ({ result: 'FAILED', detail: `is marked "later: ${block.later}", but ${why}: take the mark out` });
  const named = ALL.filter((p) => block.later.split(/[\s,]+/).includes(p));
  if (named.length > 0) return stale(`${named.join(' and ')} is in this version`);
  const runs = block.errors.length === 0 && judge(block, await runBlock(project, block, provider)) === undefined;
  return runs
    ? stale('it works')
    : { result: 'later', detail: block.errors.length > 0 ? `${block.later} (does not compile: ${block.errors[0]})` : block.later };
}

// -------------------------------------------------------------------------------------------------------------- report

const project = makeProject(root, pkg);
try {
  await onServers('CREATE');
  compile(root, project, blocks);
  const jobs = blocks.flatMap((block) => {
    const where = block.shown !== undefined ? ['-'] : block.env !== undefined ? [block.env] : block.providers;
    return where.filter((p) => p === '-' || asked.includes(p)).map((provider) => ({ block, provider }));
  });
  const rows = [];
  let next = 0;
  const worker = async () => {
    while (next < jobs.length) {
      const n = next++;
      const started = performance.now();
      rows[n] = { ...jobs[n], ...(await test(project, jobs[n].block, jobs[n].provider)) };
      rows[n].ms = Math.round(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  print(rows);
  process.exitCode = rows.some((row) => row.result === 'FAILED') || rows.length === 0 ? 1 : 0;
} finally {
  if (options.keep) console.log(`kept: ${project}`);
  else rmSync(project, { recursive: true, force: true });
  await onServers('DROP');
}

function print(rows) {
  const cells = rows.map(({ block, provider, result, ms, detail }) => [
    `${block.file}:${block.line}`,
    block.lang,
    provider,
    result,
    `${ms} ms`,
    detail.split('\n')[0],
  ]);
  const table = [['block', 'language', 'provider', 'result', 'time', ''], ...cells];
  const widths = table[0].map((_, i) => Math.max(...table.map((row) => row[i].length)));
  for (const row of table)
    console.log(
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i])))
        .join('  ')
        .trimEnd(),
    );
  const of = (result) => rows.filter((row) => row.result === result);
  const failed = of('FAILED');
  for (const { block, provider, detail } of failed) console.log(`\nFAILED ${block.file}:${block.line} on ${provider}: ${detail}`);
  const places = [...new Set(of('later').map(({ block }) => `${block.file}:${block.line}`))];
  if (places.length > 0) console.log(`\nlater, in whole or on one provider: ${places.join(' ')}`);
  const missed = of('not run');
  if (missed.length > 0)
    console.log(`\nnot run: ${[...new Set(missed.map(({ provider, detail }) => `${provider} (${detail})`))].join(', ')}`);
  console.log(
    `\n${blocks.length} blocks in ${files.length} files: ${of('ok').length} ok, ${failed.length} failed, ${missed.length > 0 ? `${missed.length} not run, ` : ''}${of('later').length} later, ${of('shown').length} shown (of ${rows.length} rows)`,
  );
}
