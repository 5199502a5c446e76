/**
 * Makes a provider of any type. A server's module is loaded when a provider of that type is made, and not before; so is
 * SQLite's driver.
 *
 * @module
 */
import { checkProviderOptions, configError, nearestName } from './config.js';
import { type Env, readMemoryEnv } from './env.js';
import type { MemoryConfigError } from './errors.js';
import { createInMemoryProvider } from './providers/in-memory/index.js';
import { createSqliteProvider } from './providers/sqlite/index.js';
import type {
  IoRedisLike,
  MemoryProvider,
  MemoryProviderConfig,
  NodeRedisLike,
  PgLike,
  PostgresConfig,
  ProviderOptions,
  RedisConfig,
} from './types.js';

export type { Env } from './env.js';
export { type ConnectionTest, getMemoryProviderInfo, type MemoryProviderInfo, testMemoryProviderConnection } from './inspect.js';

const CREATE = { operation: 'createMemoryProvider' };
const URLS = '"memory:", "sqlite:./file.db", "redis://…", "rediss://…", "postgres://…" or "postgresql://…"';

/**
 * The configuration a provider URL stands for.
 *
 * @param url - `memory:`, `sqlite:./file.db`, `redis://…`, `rediss://…`, `postgres://…` or `postgresql://…`
 * @returns a configuration that is not checked beyond its scheme
 * @throws MemoryConfigError for any other text; the text is not shown when it may hold a password
 */
export function parseProviderUrl(url: string): MemoryProviderConfig {
  const bad = (hint?: string): MemoryConfigError =>
    configError('none', CREATE, { setting: 'config', expected: `a configuration or ${URLS}`, value: url, hint });
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  const rest = scheme === undefined ? '' : url.slice(scheme.length + 1);
  switch (scheme) {
    case 'memory':
      if (rest !== '') throw bad('Nothing follows "memory:".');
      return { type: 'memory' };
    case 'sqlite':
      if (rest === '') throw bad('Name the file: sqlite:./file.db.');
      // three slashes are an absolute path to some tools and a relative one to others
      if (rest.startsWith('//')) throw bad('Write sqlite:./file.db or sqlite:/folder/file.db, without "//".');
      return { type: 'sqlite', path: rest };
    case 'redis':
    case 'rediss':
      return { type: 'redis', url };
    case 'postgres':
    case 'postgresql':
      return { type: 'postgres', connectionString: url };
    default: {
      if (scheme === undefined && /\.(db|sqlite3?)$/.test(url)) throw bad(`Did you mean "sqlite:${url}"?`);
      const meant = nearestName(scheme ?? url, ['memory', 'sqlite', 'redis', 'rediss', 'postgres', 'postgresql']);
      throw bad(meant === undefined ? undefined : `Did you mean "${meant}:"?`);
    }
  }
}

/**
 * Makes a provider of the type the configuration names.
 *
 * @param config - a configuration with `type`, or a URL: `memory:`, `sqlite:./file.db`, `redis://…`, `postgres://…`
 * @throws MemoryConfigError naming the setting; MemoryConnectionError when the store cannot be opened
 * @example
 * await using provider = await createMemoryProvider('sqlite:./chat.db');
 */
export async function createMemoryProvider(config: MemoryProviderConfig | string): Promise<MemoryProvider> {
  const settings = typeof config === 'string' ? parseProviderUrl(config) : config;
  if (typeof settings !== 'object' || settings === null) {
    throw configError('none', CREATE, { setting: 'config', expected: `a configuration or ${URLS}`, value: settings });
  }
  switch (settings.type) {
    case 'memory': {
      const { type: _type, ...own } = settings;
      return createInMemoryProvider(own);
    }
    case 'sqlite': {
      const { type: _type, ...own } = settings;
      return await createSqliteProvider(own);
    }
    case 'redis': {
      const { type: _type, ...own } = settings;
      return await createRedisProvider(own);
    }
    case 'postgres': {
      const { type: _type, ...own } = settings;
      return await createPostgresProvider(own);
    }
    default:
      throw configError('none', CREATE, {
        setting: 'type',
        expected: '"memory", "sqlite", "redis" or "postgres"',
        value: (settings as { type?: unknown }).type,
      });
  }
}

/**
 * Makes the provider that environment variables describe; `JAF_MEMORY_TYPE` decides which (default: in-memory).
 *
 * @param env - default `process.env`
 * @param options - what variables cannot say, such as `onEvent`; wins over variables (`ttl`, `maxMessages`)
 * @throws MemoryConfigError naming the variable; MemoryConnectionError when the store cannot be opened
 */
export async function createMemoryProviderFromEnv(env: Env = process.env, options?: ProviderOptions): Promise<MemoryProvider> {
  const own = checkProviderOptions(options, { operation: 'createMemoryProviderFromEnv' });
  return await createMemoryProvider({ ...readMemoryEnv(env), ...own });
}

/**
 * Opens (and creates, where there is none) a conversation store on a Redis server (6.2 or newer) or Valkey. Any number of
 * processes and servers may share it. Needs the package `redis`.
 *
 * Connections: by `url`, by its parts, or through a connected client of `createClient()` that is passed in; that one is
 * shared with the caller and stays open when the provider is closed. A connection of our own that is lost is made again by
 * the next call; it does not keep the process alive.
 *
 * What has expired is removed every 60 seconds in the background, and what deletes and trims left behind with it. Events:
 * `swept` (with `milliseconds`) when something was removed, `sweep_failed` (with the error's `code`).
 *
 * @param config - see {@link RedisConfig}
 * @param client - a connected client of the `redis` package
 * @throws MemoryConfigError naming the setting: a bad value, a command the user may not run, data under the prefix that was
 * made on another topology or by a newer version (`schema_newer`), no `redis` package (`missing_peer`);
 * MemoryConnectionError when the server cannot be reached
 * @example
 * await using provider = await createRedisProvider({ url: 'redis://localhost:6379/0', ttl: 86_400 });
 * unwrap(await provider.appendMessages('chat-1', [user('Hello')], {}, { createIfMissing: true }));
 */
export async function createRedisProvider(config: RedisConfig, client?: NodeRedisLike | IoRedisLike): Promise<MemoryProvider> {
  const { createRedisProvider: create } = await import('./providers/redis/index.js');
  return await create(config, client);
}

/**
 * Opens (and creates, where there is none) a conversation store in a PostgreSQL database (13 or newer). Any number of
 * processes and servers may share it. Needs the package `pg`.
 *
 * Connections: by `connectionString`, by its parts, or through a client that is passed in. A `Pool` is shared with the
 * caller. A `Client` or `PoolClient` is borrowed: statements run on it one at a time, inside the caller's transaction if
 * one is open (and roll back with it); nothing is repeated, batched or swept, and inside of a transaction no table is
 * created. What is passed in stays open when the provider is closed.
 *
 * Unless `sweep` is false, what has expired is removed every `sweep.every` seconds (default 60) in the background. Events:
 * `swept` (with `conversations`, those that had expired) when something was removed, `sweep_failed` (with the error's `code`).
 *
 * @param config - see {@link PostgresConfig}
 * @param client - a `Pool`, `Client` or `PoolClient` of the `pg` package
 * @throws MemoryConfigError naming the setting: a bad value, a schema from a newer version (`schema_newer`), a right the
 * role lacks, no `pg` package (`missing_peer`); MemoryConnectionError when the server cannot be reached
 * @example
 * await using provider = await createPostgresProvider({ connectionString: 'postgresql://app:secret@db.example/app?sslmode=verify-full' });
 * unwrap(await provider.appendMessages('chat-1', [user('Hello')], {}, { createIfMissing: true }));
 */
export async function createPostgresProvider(config: PostgresConfig, client?: PgLike): Promise<MemoryProvider> {
  const { createPostgresProvider: create } = await import('./providers/postgres/index.js');
  return await create(config, client);
}
