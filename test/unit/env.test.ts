import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Env, ignoredVariables, readMemoryEnv } from '../../src/memory/env.js';
import { MemoryConfigError } from '../../src/memory/errors.js';
import { getMemoryProviderInfo, testMemoryProviderConnection } from '../../src/memory/inspect.js';
import { user } from '../../src/memory/message.js';
import { loadSqlite } from '../../src/memory/providers/sqlite/client.js';
import { createSqliteProvider } from '../../src/memory/providers/sqlite/index.js';
import { unwrap } from '../../src/memory/result.js';

const folder = mkdtempSync(join(tmpdir(), 'jaf-env-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A copy of a closed store in a folder of its own. */
function storeCopy(path: string): string {
  const copy = join(mkdtempSync(join(folder, 'copy-')), 'x.db');
  copyFileSync(path, copy);
  return copy;
}

function failure(env: Env): MemoryConfigError {
  try {
    readMemoryEnv(env);
  } catch (error) {
    if (error instanceof MemoryConfigError) return error;
    throw error;
  }
  throw new Error(`no error was thrown for ${JSON.stringify(env)}`);
}
const redis = (more: Env) => readMemoryEnv({ JAF_MEMORY_TYPE: 'redis', ...more });
const postgres = (more: Env) => readMemoryEnv({ JAF_MEMORY_TYPE: 'postgres', ...more });

describe('the type', () => {
  it('is memory when nothing is set', () => {
    expect(readMemoryEnv({})).toStrictEqual({ type: 'memory' });
    expect(readMemoryEnv({ JAF_MEMORY_TYPE: '', PATH: '/bin', JAF_SOMETHING_ELSE: 'x' })).toStrictEqual({ type: 'memory' });
  });

  it.each([
    ['JAF_REDIS_URL', 'redis://localhost'],
    ['JAF_REDIS_PREFIX', 'p'],
    ['JAF_POSTGRES_DB', 'x'],
    ['JAF_POSTGRES_CONNECTION_STRING', 'postgres://h/d'],
    ['JAF_SQLITE_PATH', './x.db'],
  ])('must be set when %s is', (name, value) => {
    const error = failure({ [name]: value });
    expect(error.setting).toBe('JAF_MEMORY_TYPE');
    expect(error.message).toContain(name);
    expect(readMemoryEnv({ [name]: value, JAF_MEMORY_TYPE: 'memory' })).toStrictEqual({ type: 'memory' });
    expect(readMemoryEnv({ [name]: '' })).toStrictEqual({ type: 'memory' });
  });

  it.each(['postgresql', 'Redis', 'in-memory', 'mongodb', ' ', 'redis # the fast one'])('refuses %j and names what there is', (value) => {
    const error = failure({ JAF_MEMORY_TYPE: value });
    expect(error.setting).toBe('JAF_MEMORY_TYPE');
    expect(error.message).toContain('"memory", "sqlite", "redis" or "postgres"');
  });
});

describe('the variables', () => {
  it('of the document for memory', () => {
    expect(
      readMemoryEnv({ JAF_MEMORY_TYPE: 'memory', JAF_MEMORY_MAX_CONVERSATIONS: '1000', JAF_MEMORY_MAX_MESSAGES: '500' }),
    ).toStrictEqual({
      type: 'memory',
      maxConversations: 1000,
      maxMessages: 500,
    });
  });

  it('of SQLite; the two limits of the in-memory provider have no effect there', () => {
    const env = { JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: './x.db', JAF_SQLITE_DURABILITY: 'full', JAF_MEMORY_MAX_MESSAGES: '5' };
    expect(readMemoryEnv(env)).toStrictEqual({ type: 'sqlite', path: './x.db', durability: 'full' });
    expect(ignoredVariables(env, 'sqlite')).toStrictEqual(['JAF_MEMORY_MAX_MESSAGES']);
    expect(getMemoryProviderInfo(env).ignored).toStrictEqual(['JAF_MEMORY_MAX_MESSAGES']);
  });

  it('of Redis, part by part', () => {
    expect(
      redis({
        JAF_REDIS_HOST: 'h',
        JAF_REDIS_PORT: '6380',
        JAF_REDIS_USERNAME: 'me',
        JAF_REDIS_PASSWORD: ' p #w ',
        JAF_REDIS_DB: '2',
        JAF_REDIS_KEY_PREFIX: 'prod:jaf:memory:',
        JAF_REDIS_TTL: '86400',
        JAF_REDIS_TLS: 'true',
      }),
    ).toStrictEqual({
      type: 'redis',
      host: 'h',
      port: 6380,
      username: 'me',
      password: ' p #w ',
      db: 2,
      keyPrefix: 'prod:jaf:memory:',
      ttl: 86400,
      tls: true,
    });
  });

  it('of the document for Redis in production', () => {
    expect(
      redis({
        JAF_REDIS_URL: 'redis://auth-token@redis-cluster.company.com:6380/0',
        JAF_REDIS_KEY_PREFIX: 'prod:jaf:memory:',
        JAF_REDIS_TTL: '2592000',
        JAF_REDIS_SENTINEL_HOSTS: 'sentinel1:26379,sentinel2:26379, [2001:db8::1]:26380',
        JAF_REDIS_SENTINEL_SERVICE_NAME: 'mymaster',
      }),
    ).toStrictEqual({
      type: 'redis',
      password: 'auth-token',
      db: 0,
      keyPrefix: 'prod:jaf:memory:',
      ttl: 2592000,
      sentinels: [
        { host: 'sentinel1', port: 26379 },
        { host: 'sentinel2', port: 26379 },
        { host: '2001:db8::1', port: 26380 },
      ],
      sentinelServiceName: 'mymaster',
    });
    expect(redis({ JAF_REDIS_CLUSTER_NODES: 'a:7000,b:7001' })).toMatchObject({
      clusterNodes: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
      ],
    });
  });

  it('of the document for PostgreSQL', () => {
    expect(
      postgres({
        JAF_POSTGRES_HOST: 'localhost',
        JAF_POSTGRES_PORT: '5432',
        JAF_POSTGRES_DATABASE: 'jaf_memory',
        JAF_POSTGRES_USERNAME: 'postgres',
        JAF_POSTGRES_PASSWORD: 'your-password',
        JAF_POSTGRES_SSL: 'false',
        JAF_POSTGRES_TABLE_NAME: 'conversations',
        JAF_POSTGRES_MAX_CONNECTIONS: '10',
      }),
    ).toStrictEqual({
      type: 'postgres',
      host: 'localhost',
      port: 5432,
      database: 'jaf_memory',
      username: 'postgres',
      password: 'your-password',
      ssl: false,
      tableName: 'conversations',
      maxConnections: 10,
    });
  });

  it('of the document for PostgreSQL in production', () => {
    expect(
      postgres({
        JAF_POSTGRES_CONNECTION_STRING: 'postgresql://jaf_user:secure_password@postgres.company.com:5432/jaf_production?sslmode=require',
        JAF_POSTGRES_TABLE_NAME: 'prod_conversations',
        JAF_POSTGRES_MAX_CONNECTIONS: '20',
        JAF_POSTGRES_SSL: 'true',
        JAF_POSTGRES_POOL_MIN_SIZE: '5',
        JAF_POSTGRES_POOL_MAX_SIZE: '20',
        JAF_POSTGRES_POOL_MAX_QUERIES: '50000',
        JAF_POSTGRES_POOL_MAX_INACTIVE_CONNECTION_LIFETIME: '300',
        JAF_POSTGRES_LAYOUT: 'rows',
        JAF_POSTGRES_SCHEMA: 'app',
        JAF_POSTGRES_TTL: '60',
      }),
    ).toStrictEqual({
      type: 'postgres',
      connectionString: 'postgresql://jaf_user:secure_password@postgres.company.com:5432/jaf_production',
      ssl: true,
      tableName: 'prod_conversations',
      maxConnections: 20,
      poolMinSize: 5,
      poolMaxSize: 20,
      poolMaxQueries: 50000,
      poolMaxInactiveConnectionLifetime: 300,
      layout: 'rows',
      schema: 'app',
      ttl: 60,
    });
  });

  it('have older spellings, which must not contradict', () => {
    expect(redis({ JAF_REDIS_PREFIX: 'old:' })).toMatchObject({ keyPrefix: 'old:' });
    expect(redis({ JAF_REDIS_PREFIX: 'same:', JAF_REDIS_KEY_PREFIX: 'same:' })).toMatchObject({ keyPrefix: 'same:' });
    expect(postgres({ JAF_POSTGRES_DB: 'd', JAF_POSTGRES_USER: 'u', JAF_POSTGRES_TABLE: 't' })).toMatchObject({
      database: 'd',
      username: 'u',
      tableName: 't',
    });
    const error = failure({ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_PREFIX: 'a:', JAF_REDIS_KEY_PREFIX: 'b:' });
    expect(error.setting).toBe('JAF_REDIS_KEY_PREFIX');
    expect(error.message).toContain('JAF_REDIS_PREFIX');
    expect(failure({ JAF_MEMORY_TYPE: 'postgres', JAF_POSTGRES_TABLE: 'a.b.c' }).setting).toBe('JAF_POSTGRES_TABLE');
  });
});

describe('a bad value names its variable', () => {
  it.each([
    ['memory', 'JAF_MEMORY_MAX_CONVERSATIONS', ['ten', '0', '-1', '1.5', '10abc', '1e3', '0x10', '99999999999999999999']],
    ['memory', 'JAF_MEMORY_MAX_MESSAGES', ['0', 'NaN', ' ']],
    ['sqlite', 'JAF_SQLITE_DURABILITY', ['fast', 'FULL']],
    ['sqlite', 'JAF_SQLITE_PATH', ['sqlite:./x.db', './x.db  # the file', ' ']],
    ['redis', 'JAF_REDIS_URL', ['localhost:6379', 'http://h', 'redis://h/one']],
    ['redis', 'JAF_REDIS_HOST', ['h:6379', 'redis://h']],
    ['redis', 'JAF_REDIS_PORT', ['0', '65536', 'abc', '6379.5']],
    ['redis', 'JAF_REDIS_DB', ['-1', 'zero']],
    ['redis', 'JAF_REDIS_TTL', ['0', '-5', 'day', '2592000  # 30 days', 'Infinity']],
    ['redis', 'JAF_REDIS_TLS', ['yes', 'on', '2']],
    ['redis', 'JAF_REDIS_KEY_PREFIX', ['a{b}', 'prod: # prefix']],
    ['redis', 'JAF_REDIS_SENTINEL_HOSTS', ['h', 'h:', 'h:0', 'h:1,', '::1:26379', 'u@h:1', 'h:99999']],
    ['redis', 'JAF_REDIS_CLUSTER_NODES', ['a b:1', 'redis://h:1']],
    ['postgres', 'JAF_POSTGRES_SSL', ['require', '']],
    ['postgres', 'JAF_POSTGRES_LAYOUT', ['json']],
    ['postgres', 'JAF_POSTGRES_POOL_MAX_SIZE', ['0', 'many']],
  ])('%s: %s', (type, name, values) => {
    for (const value of values) {
      if (value === '') continue;
      const error = failure({ JAF_MEMORY_TYPE: type, [name]: value });
      expect([value, error.setting]).toStrictEqual([value, name]);
      expect(error.message).toContain(name);
    }
  });

  it('asks whether it holds a comment', () => {
    for (const env of [
      { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_TTL: '2592000  # 30 days' },
      { JAF_MEMORY_TYPE: 'redis # fast' },
      { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_KEY_PREFIX: 'prod: # prefix' },
      { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'redis://h # main' },
    ]) {
      expect(failure(env).message).toContain('Is that a comment?');
    }
    expect(failure({ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_TTL: 'day' }).message).not.toContain('comment');
  });

  it('names the variable of a combination that cannot be', () => {
    expect(failure({ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_SENTINEL_HOSTS: 'h:1' }).setting).toBe('JAF_REDIS_SENTINEL_SERVICE_NAME');
    expect(
      failure({ JAF_MEMORY_TYPE: 'postgres', JAF_POSTGRES_CONNECTION_STRING: 'postgres://h/d?sslmode=disable', JAF_POSTGRES_SSL: 'true' })
        .setting,
    ).toBe('JAF_POSTGRES_SSL');
    expect(failure({ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'rediss://h', JAF_REDIS_TLS: '0' }).setting).toBe('JAF_REDIS_TLS');
  });

  it('never shows a secret', () => {
    const envs: Env[] = [
      { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'http://:hunter2@h' },
      { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'redis://:hunter2@h # x' },
      { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_HOST: 'redis://:hunter2@h' },
      { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_PASWORD: 'hunter2' },
      { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_SENTINEL_HOSTS: ':hunter2@h:1' },
      { JAF_MEMORY_TYPE: 'postgres', JAF_POSTGRES_CONNECTION_STRING: 'postgres://u:hunter2@h/d?sslmode=x' },
      { JAF_MEMORY_TYPE: 'redis://:hunter2@h' },
    ];
    for (const env of envs) expect(failure(env).message).not.toContain('hunter2');
  });
});

it('refuses a misspelt variable and names the one that was meant', () => {
  expect(failure({ JAF_MEMORY_TYP: 'redis' })).toMatchObject({
    setting: 'JAF_MEMORY_TYP',
    message: expect.stringContaining('"JAF_MEMORY_TYPE"'),
  });
  expect(failure({ JAF_REDIS_PASWORD: 'x' }).message).toContain('"JAF_REDIS_PASSWORD"');
  expect(failure({ JAF_POSTGRES_URL: 'x' }).message).toContain('"JAF_POSTGRES_CONNECTION_STRING"');
  expect(failure({ JAF_REDIS_SSL: '1' }).message).toContain('"JAF_REDIS_TLS"');
  for (const name of ['JAF_MODEL', 'JAF_LOG_LEVEL', 'JAF_TEST_DATA', 'OPENAI_API_KEY', 'MY_JAF_MEMORY_TYP']) {
    expect(readMemoryEnv({ [name]: 'x' })).toStrictEqual({ type: 'memory' });
  }
});

describe('getMemoryProviderInfo', () => {
  it('says what is kept where, without credentials', () => {
    expect(getMemoryProviderInfo({})).toMatchObject({
      type: 'memory',
      persistence: false,
      survivesRestart: false,
      severalProcesses: false,
      durability: 'none',
    });
    expect(getMemoryProviderInfo({ JAF_MEMORY_TYPE: 'sqlite' })).toMatchObject({
      type: 'sqlite',
      persistence: true,
      severalProcesses: true,
      severalServers: false,
      location: resolve('./jaf-memory.db'),
      durability: 'process',
    });
    expect(getMemoryProviderInfo({ JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_DURABILITY: 'full' }).durability).toBe('power');
    expect(getMemoryProviderInfo({ JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: ':memory:' })).toMatchObject({
      persistence: false,
      durability: 'none',
    });
    const found = [
      getMemoryProviderInfo({ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'rediss://me:hunter2@[::1]:7000/3' }),
      getMemoryProviderInfo({ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'redis://hunter2@h', JAF_REDIS_CLUSTER_NODES: 'a:1,b:2' }),
      getMemoryProviderInfo({
        JAF_MEMORY_TYPE: 'postgres',
        JAF_POSTGRES_CONNECTION_STRING: 'postgres://me:hunter2@[::1]/d?sslmode=require',
      }),
      getMemoryProviderInfo({ JAF_MEMORY_TYPE: 'postgres', JAF_POSTGRES_HOST: 'h', JAF_POSTGRES_PASSWORD: 'hunter2' }),
    ];
    expect(found.map((info) => info.location)).toStrictEqual(['[::1]:7000/3', 'cluster of a:1, b:2', '[::1]:5432/d', 'h:5432']);
    for (const info of found) expect(info).toMatchObject({ persistence: true, severalServers: true });
    expect(JSON.stringify(found)).not.toContain('hunter2');
  });

  it('throws for a bad variable', () => {
    expect(() => getMemoryProviderInfo({ JAF_MEMORY_TYPE: 'x' })).toThrow(MemoryConfigError);
  });
});

describe('testMemoryProviderConnection', () => {
  const sqlite = (path: string) => testMemoryProviderConnection({ JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: path });

  it('answers a bad variable, and never throws', async () => {
    expect(await testMemoryProviderConnection({ JAF_MEMORY_TYPE: 'x' })).toMatchObject({
      healthy: false,
      error: expect.stringContaining('JAF_MEMORY_TYPE'),
    });
    expect(
      await testMemoryProviderConnection({ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_HOST: '127.0.0.1', JAF_REDIS_PORT: '1' }),
    ).toMatchObject({
      healthy: false,
      error: expect.stringContaining('nothing listens at the server’s address'),
    });
    expect(await testMemoryProviderConnection({})).toMatchObject({ healthy: true });
    expect(await sqlite(':memory:')).toMatchObject({ healthy: true });
  });

  it('looks at a SQLite file and creates none', async () => {
    const absent = join(folder, 'absent.db');
    expect(await sqlite(absent)).toMatchObject({ healthy: true, message: expect.stringContaining('will be created') });
    expect(await sqlite(join(folder, 'no', 'such', 'x.db'))).toMatchObject({
      healthy: false,
      error: expect.stringContaining('no such folder'),
    });
    expect(await sqlite(folder)).toMatchObject({ healthy: false, error: expect.stringContaining('not a file') });
    writeFileSync(join(folder, 'other.db'), 'this is not a database at all');
    expect(await sqlite(join(folder, 'other.db'))).toMatchObject({
      healthy: false,
      error: expect.stringContaining('not a SQLite database'),
    });
    writeFileSync(join(folder, 'empty.db'), '');
    expect(await sqlite(join(folder, 'empty.db'))).toMatchObject({ healthy: true });
    expect(readdirSync(folder).sort()).toStrictEqual(['empty.db', 'other.db']);
  });

  it('looks into a SQLite store without leaving a trace, also while it is in use', async () => {
    const place = mkdtempSync(join(folder, 'store-'));
    const path = join(place, 'x.db');
    const provider = await createSqliteProvider({ path });
    unwrap(await provider.storeMessages('c', [user('hello')]));
    expect(await sqlite(path)).toMatchObject({ healthy: true, message: expect.stringContaining('conversation store') });
    await provider.close();
    // a copy: the package for Node 20 keeps the side files of the original until its statements are collected
    const copy = storeCopy(path);
    const before = readFileSync(copy);
    expect(await sqlite(copy)).toMatchObject({ healthy: true, message: expect.stringContaining('conversation store') });
    expect(readdirSync(dirname(copy))).toStrictEqual(['x.db']);
    expect(readFileSync(copy).equals(before)).toBe(true);
  });

  it('finds out about a store of a newer version, and about damage', async () => {
    const original = join(mkdtempSync(join(folder, 'newer-')), 'x.db');
    await (await createSqliteProvider({ path: original })).close();
    const path = storeCopy(original);
    const { DatabaseSync } = await loadSqlite();
    const db = new DatabaseSync(path);
    db.exec('INSERT INTO jaf_schema (version, applied_at) VALUES (99, 0)');
    db.close();
    expect(await sqlite(path)).toMatchObject({ healthy: false, error: expect.stringContaining('newer version of jaf') });
    const damaged = readFileSync(path);
    damaged.fill(0xff, 100, 4096);
    writeFileSync(path, damaged);
    expect(await sqlite(path)).toMatchObject({ healthy: false, error: expect.stringContaining('damaged') });
    expect(readdirSync(dirname(path))).toStrictEqual(['x.db']);
  });
});
