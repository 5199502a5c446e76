/**
 * Every kind of store, for tests that run on all of them: fresh for each test, closed and removed afterwards.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createInMemoryProvider,
  createPostgresProvider,
  createRedisProvider,
  createSqliteProvider,
  type MemoryProvider,
  type ProviderOptions,
} from 'jaf/memory';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { usePostgres } from './postgres.js';
import { connect, useRedis } from './redis.js';

/** Kinds of stores. */
export const KINDS = ['memory', 'sqlite', 'redis', 'postgres', 'postgres-document'] as const;
export type Kind = (typeof KINDS)[number];

/** Stores for the tests of one file. */
export interface Stores {
  /**
   * Opens a store. The same name in the same test is the same store, but for one in memory.
   *
   * @param name - tells stores of one test apart
   */
  open(kind: Kind, options?: ProviderOptions, name?: string): Promise<MemoryProvider>;
  /** Environment variables that describe a store of this kind. */
  env(kind: Kind): Readonly<Record<string, string>>;
}

/**
 * Makes the hooks of a test file that uses stores of all kinds.
 *
 * @param kinds - servers are started only for these
 */
export function useStores(kinds: readonly Kind[] = KINDS): Stores {
  const schema = `jaf_test_stores_${process.pid}`;
  const open: MemoryProvider[] = [];
  /** Of keys on a Redis server, which may not be ours. */
  const prefix = `jaf-test-stores:${process.pid}:`;
  let server: Awaited<ReturnType<typeof usePostgres>> | undefined;
  let redis: Awaited<ReturnType<typeof useRedis>> | undefined;
  let folder = '';
  let tests = 0;
  beforeAll(async () => {
    if (kinds.some((kind) => kind.startsWith('postgres'))) server = await usePostgres();
    if (kinds.includes('redis')) redis = await useRedis();
  });
  beforeEach(() => {
    tests++;
    folder = mkdtempSync(join(tmpdir(), 'jaf-stores-'));
  });
  afterEach(async () => {
    for (const provider of open.splice(0)) await provider.close();
    rmSync(folder, { recursive: true, force: true });
  });
  afterAll(async () => {
    if (redis) await emptyRedis(redis.url, prefix);
    await redis?.destroy();
    if (!server) return;
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await client.end();
    await server.destroy();
  });
  const make = async (kind: Kind, options: ProviderOptions, name: string): Promise<MemoryProvider> => {
    switch (kind) {
      case 'memory':
        return createInMemoryProvider({ maxConversations: 100_000, ...options });
      case 'sqlite':
        return await createSqliteProvider({ path: join(folder, `${name}.db`), sweep: false, ...options });
      case 'redis':
        return await createRedisProvider({ url: redis?.url ?? '', keyPrefix: `${prefix}${tests}:${name}:`, ...options });
      case 'postgres':
      case 'postgres-document': {
        const layout = kind === 'postgres' ? 'rows' : 'document';
        const where = { connectionString: server?.url ?? '', schema, tableName: `${layout}_${tests}_${name}`, layout } as const;
        return await createPostgresProvider({ ...where, poolMaxSize: 4, sweep: false, ...options });
      }
    }
  };
  return {
    open: async (kind, options = {}, name = 'a') => {
      const provider = await make(kind, options, name);
      open.push(provider);
      return provider;
    },
    env: (kind) => {
      switch (kind) {
        case 'memory':
          return { JAF_MEMORY_TYPE: 'memory' };
        case 'sqlite':
          return { JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: join(folder, 'env.db') };
        case 'redis':
          return { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: redis?.url ?? '', JAF_REDIS_KEY_PREFIX: `${prefix}${tests}:env:` };
        default:
          return {
            JAF_MEMORY_TYPE: 'postgres',
            JAF_POSTGRES_CONNECTION_STRING: server?.url ?? '',
            JAF_POSTGRES_SCHEMA: schema,
            JAF_POSTGRES_TABLE_NAME: `env_${tests}`,
            JAF_POSTGRES_LAYOUT: kind === 'postgres' ? 'rows' : 'document',
          };
      }
    },
  };
}

/** Removes what tests left under a prefix. */
async function emptyRedis(url: string, prefix: string): Promise<void> {
  const client = await connect(url);
  for await (const keys of client.scanIterator({ MATCH: `*${prefix}*`, COUNT: 1000 })) {
    const own = keys.filter((key) => key.startsWith(prefix) || key.startsWith(`{${prefix}`));
    if (own.length > 0) await client.unlink(own);
  }
  client.destroy();
}
