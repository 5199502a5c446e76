/**
 * Reads a provider's configuration from environment variables. Pure: looks at nothing but the object it is given.
 * docs/providers.md lists the variables.
 *
 * @module
 */
import {
  type ConfigSource,
  checkInMemoryConfig,
  checkPostgresConfig,
  checkRedisConfig,
  checkSqliteConfig,
  configError,
  nearestName,
} from './config.js';
import { MemoryConfigError } from './errors.js';
import type { MemoryProviderConfig } from './types.js';

/** Environment variables, as in `process.env`. An empty string counts as unset. */
export type Env = Readonly<Record<string, string | undefined>>;

type Type = MemoryProviderConfig['type'];

/** What text a variable may hold, and how it is read; `undefined` = not such a text. */
interface Reader {
  readonly expected: string;
  readonly secret?: boolean;
  readonly hint?: string;
  readonly read: (text: string) => unknown;
}
/** A variable, its older spelling, and the field it sets. */
interface Variable {
  readonly name: string;
  readonly older?: string;
  readonly field: string;
  readonly as: Reader;
}

// a comment kept as part of a path or prefix would silently begin a second, empty store
const asText: Reader = { expected: 'a text without " #"', read: (text) => (/\s#/.test(text) ? undefined : text.trim()) };
const asSecret: Reader = { expected: 'a text', secret: true, read: (text) => text };
const asUrl: Reader = { expected: 'a URL', secret: true, read: (text) => text.trim() };
const asInteger: Reader = { expected: 'a whole number', read: (text) => (/^\s*[+-]?\d{1,15}\s*$/.test(text) ? Number(text) : undefined) };
const asSeconds: Reader = {
  expected: 'a number of seconds above 0',
  read: (text) => (/^\s*\d{1,12}(\.\d{1,3})?\s*$/.test(text) && Number(text) > 0 ? Number(text) : undefined),
  hint: 'Leave it out for conversations that do not expire.',
};
const BOOLEANS: Readonly<Record<string, boolean | undefined>> = { true: true, '1': true, false: false, '0': false };
const asBoolean: Reader = { expected: 'true, false, 1 or 0', read: (text) => BOOLEANS[text.trim().toLowerCase()] };

/** `host:port`; an IPv6 address stands in brackets, or nobody could tell where it ends. */
function hostAndPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:@/[\]]+)):(\d{1,5})$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}
const asHosts: Reader = {
  expected: 'a list such as host1:26379,host2:26379 or [::1]:26379',
  read: (text) => {
    const nodes = text.split(',').map(hostAndPort);
    return nodes.every((node) => node !== undefined) ? nodes : undefined;
  },
};

const VARIABLES: Readonly<Record<Type, readonly Variable[]>> = {
  memory: [
    { name: 'JAF_MEMORY_MAX_CONVERSATIONS', field: 'maxConversations', as: asInteger },
    { name: 'JAF_MEMORY_MAX_MESSAGES', field: 'maxMessages', as: asInteger },
  ],
  sqlite: [
    { name: 'JAF_SQLITE_PATH', field: 'path', as: asText },
    { name: 'JAF_SQLITE_DURABILITY', field: 'durability', as: asText },
  ],
  redis: [
    { name: 'JAF_REDIS_URL', field: 'url', as: asUrl },
    { name: 'JAF_REDIS_HOST', field: 'host', as: asText },
    { name: 'JAF_REDIS_PORT', field: 'port', as: asInteger },
    { name: 'JAF_REDIS_USERNAME', field: 'username', as: asText },
    { name: 'JAF_REDIS_PASSWORD', field: 'password', as: asSecret },
    { name: 'JAF_REDIS_DB', field: 'db', as: asInteger },
    { name: 'JAF_REDIS_KEY_PREFIX', older: 'JAF_REDIS_PREFIX', field: 'keyPrefix', as: asText },
    { name: 'JAF_REDIS_TTL', field: 'ttl', as: asSeconds },
    { name: 'JAF_REDIS_TLS', field: 'tls', as: asBoolean },
    { name: 'JAF_REDIS_SENTINEL_HOSTS', field: 'sentinels', as: asHosts },
    { name: 'JAF_REDIS_SENTINEL_SERVICE_NAME', field: 'sentinelServiceName', as: asText },
    { name: 'JAF_REDIS_CLUSTER_NODES', field: 'clusterNodes', as: asHosts },
  ],
  postgres: [
    { name: 'JAF_POSTGRES_CONNECTION_STRING', field: 'connectionString', as: asUrl },
    { name: 'JAF_POSTGRES_HOST', field: 'host', as: asText },
    { name: 'JAF_POSTGRES_PORT', field: 'port', as: asInteger },
    { name: 'JAF_POSTGRES_DATABASE', older: 'JAF_POSTGRES_DB', field: 'database', as: asText },
    { name: 'JAF_POSTGRES_USERNAME', older: 'JAF_POSTGRES_USER', field: 'username', as: asText },
    { name: 'JAF_POSTGRES_PASSWORD', field: 'password', as: asSecret },
    { name: 'JAF_POSTGRES_SSL', field: 'ssl', as: asBoolean },
    { name: 'JAF_POSTGRES_TABLE_NAME', older: 'JAF_POSTGRES_TABLE', field: 'tableName', as: asText },
    { name: 'JAF_POSTGRES_SCHEMA', field: 'schema', as: asText },
    { name: 'JAF_POSTGRES_MAX_CONNECTIONS', field: 'maxConnections', as: asInteger },
    { name: 'JAF_POSTGRES_POOL_MIN_SIZE', field: 'poolMinSize', as: asInteger },
    { name: 'JAF_POSTGRES_POOL_MAX_SIZE', field: 'poolMaxSize', as: asInteger },
    { name: 'JAF_POSTGRES_POOL_MAX_QUERIES', field: 'poolMaxQueries', as: asInteger },
    {
      name: 'JAF_POSTGRES_POOL_MAX_INACTIVE_CONNECTION_LIFETIME',
      field: 'poolMaxInactiveConnectionLifetime',
      as: { expected: 'a whole number of seconds', read: asInteger.read },
    },
    { name: 'JAF_POSTGRES_LAYOUT', field: 'layout', as: asText },
    { name: 'JAF_POSTGRES_TTL', field: 'ttl', as: asSeconds },
  ],
};
const TYPES: readonly Type[] = ['memory', 'sqlite', 'redis', 'postgres'];
const KNOWN: ReadonlySet<string> = new Set([
  'JAF_MEMORY_TYPE',
  'JAF_MODEL',
  ...TYPES.flatMap((type) => VARIABLES[type].flatMap((v) => (v.older === undefined ? [v.name] : [v.name, v.older]))),
]);
/** Names people try that are more than a typing slip away. */
const MISTAKEN: Readonly<Record<string, string | undefined>> = {
  JAF_MEMORY_PROVIDER: 'JAF_MEMORY_TYPE',
  JAF_MEMORY_BACKEND: 'JAF_MEMORY_TYPE',
  JAF_REDIS_CONNECTION_STRING: 'JAF_REDIS_URL',
  JAF_REDIS_USER: 'JAF_REDIS_USERNAME',
  JAF_REDIS_SSL: 'JAF_REDIS_TLS',
  JAF_REDIS_DATABASE: 'JAF_REDIS_DB',
  JAF_POSTGRES_URL: 'JAF_POSTGRES_CONNECTION_STRING',
  JAF_POSTGRES_TLS: 'JAF_POSTGRES_SSL',
  JAF_SQLITE_FILE: 'JAF_SQLITE_PATH',
  JAF_SQLITE_URL: 'JAF_SQLITE_PATH',
};

const SOURCE: ConfigSource = { operation: 'environment variable' };

/** A misspelt variable would otherwise be a setting that silently does not hold. */
function rejectMisspelt(env: Env): void {
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('JAF_') || KNOWN.has(name) || !value) continue;
    const meant = (Object.hasOwn(MISTAKEN, name) ? MISTAKEN[name] : undefined) ?? nearestName(name, KNOWN);
    if (meant === undefined) continue;
    throw new MemoryConfigError(`environment variable "${name}": there is no such variable. Did you mean "${meant}"?`, {
      provider: 'none',
      setting: name,
    });
  }
}

/** The type of provider the environment asks for. */
function readType(env: Env): Type {
  const value = env['JAF_MEMORY_TYPE'];
  if (value) {
    const type = TYPES.find((t) => t === value.trim());
    if (type) return type;
    const meant = /^postgres/i.test(value) ? 'postgres' : /^in.?memory$/i.test(value) ? 'memory' : nearestName(value.trim(), TYPES);
    throw configError('none', SOURCE, {
      setting: 'JAF_MEMORY_TYPE',
      expected: '"memory", "sqlite", "redis" or "postgres"',
      value,
      hint: meant === undefined ? undefined : `Did you mean "${meant}"?`,
    });
  }
  for (const type of TYPES) {
    if (type === 'memory') continue;
    const set = VARIABLES[type].flatMap((v) => [v.name, v.older ?? v.name]).find((name) => env[name]);
    // without the type this would be the in-memory provider: everything lost at the first restart, without a word
    if (set !== undefined) {
      throw new MemoryConfigError(
        `environment variable "JAF_MEMORY_TYPE": it is not set, but ${set} is. Set JAF_MEMORY_TYPE=${type} to use it, or JAF_MEMORY_TYPE=memory to keep nothing after a restart.`,
        { provider: 'none', setting: 'JAF_MEMORY_TYPE' },
      );
    }
  }
  return 'memory';
}

/** The variables of one type as a configuration object, and the names its fields came from. */
function readVariables(type: Type, env: Env): { config: object; names: Readonly<Record<string, string>> } {
  const config: Record<string, unknown> = {};
  const names: Record<string, string> = {};
  for (const { name, older, field, as } of VARIABLES[type]) {
    const used = env[name] || older === undefined ? name : older;
    names[field] = used;
    const value = env[used];
    if (!value) continue;
    const same = older === undefined || !env[older] || env[older]?.trim() === value.trim();
    if (!same) {
      throw new MemoryConfigError(`environment variable "${name}": it contradicts its older spelling ${older}. Take one of them out.`, {
        provider: type,
        setting: name,
      });
    }
    const read = as.read(value);
    if (read === undefined) {
      throw configError(type, SOURCE, { setting: used, expected: as.expected, value, secret: as.secret, hint: as.hint });
    }
    config[field] = read;
  }
  return { config, names };
}

/**
 * The configuration environment variables describe.
 *
 * @param env - e.g. `process.env`
 * @returns a checked configuration, ready for `createMemoryProvider`
 * @throws MemoryConfigError naming the variable, what it may be and what it was (never a secret)
 * @example
 * readMemoryEnv({ JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: './chat.db' }); // { type: 'sqlite', path: './chat.db' }
 */
export function readMemoryEnv(env: Env): MemoryProviderConfig {
  rejectMisspelt(env);
  const type = readType(env);
  const { config, names } = readVariables(type, env);
  const source: ConfigSource = { ...SOURCE, names };
  switch (type) {
    case 'memory':
      return { type, ...checkInMemoryConfig(config, source) };
    case 'sqlite':
      return { type, ...checkSqliteConfig(config, source) };
    case 'redis':
      return { type, ...checkRedisConfig(config, source) };
    case 'postgres':
      return { type, ...checkPostgresConfig(config, source) };
  }
}

/**
 * Variables that are set and have no effect with the type in use: the two limits `JAF_MEMORY_MAX_CONVERSATIONS` and
 * `JAF_MEMORY_MAX_MESSAGES` hold for the in-memory provider only. Not an error: one environment may serve several types.
 *
 * @param env - an environment that {@link readMemoryEnv} accepts
 * @param type - the type in use
 */
export function ignoredVariables(env: Env, type: Type): readonly string[] {
  return TYPES.filter((other) => other !== type).flatMap((other) =>
    VARIABLES[other].flatMap((v) => (v.older === undefined ? [v.name] : [v.name, v.older])).filter((name) => env[name]),
  );
}
