/**
 * Checks configurations: one function per config type, used by every factory. A problem is a {@link MemoryConfigError}
 * that names the field (or the environment variable it came from), what is allowed and what came; a value that may hold
 * a secret is never shown.
 *
 * @module
 */
import { MemoryConfigError } from './errors.js';
import { isStoreName, NAME_FORM } from './providers/postgres/names.js';
import type { InMemoryConfig, PostgresConfig, ProviderOptions, RedisConfig, SqliteConfig } from './types.js';
import { mergePostgresUrl, mergeRedisUrl } from './url.js';

/** Where a configuration came from, for error texts. */
export interface ConfigSource {
  /** The call that was given it, e.g. `createSqliteProvider`. */
  readonly operation: string;
  /** Names to use instead of field names: field → environment variable. */
  readonly names?: Readonly<Record<string, string>> | undefined;
}

/** One thing that is wrong with a setting. */
export interface Problem {
  readonly setting: string;
  /** What it may be: follows "must be". */
  readonly expected: string;
  readonly value: unknown;
  /** The value may hold a password, key or token. */
  readonly secret?: boolean | undefined;
  /** Another sentence: what to do. */
  readonly hint?: string | undefined;
}

/** Milliseconds: the longest deadline. Tombstones outlive it twice over, so a retry is never undecidable because of it. */
const MAX_DEADLINE_MS = 300_000;
/** Seconds, 1,000 years: every expiry is still a valid date. */
const MAX_TTL_S = 31_557_600_000;
/** Seconds: what a timer of Node can wait for. */
const MAX_SWEEP_S = 2_147_483;

/** Whether a text may hold credentials whatever it is meant to be: a URL with a user in a field for a host name. */
function looksSecret(text: string): boolean {
  return text.includes('@') || text.includes('://');
}

/** A value for an error text. */
function shown(value: unknown, secret: boolean): string {
  if (secret || (typeof value === 'string' && looksSecret(value))) return 'a value that is not shown because it may hold a secret';
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean' || value === null || value === undefined) return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array';
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`;
}

/**
 * The error for a bad setting.
 *
 * @param provider - name of the backend
 * @param source - the call that was given the configuration
 * @param problem - what is wrong
 */
export function configError(provider: string, source: ConfigSource, problem: Problem): MemoryConfigError {
  const setting = source.names?.[problem.setting] ?? problem.setting;
  const comment =
    typeof problem.value === 'string' && / #/.test(problem.value)
      ? ' Is that a comment? Some readers of .env files (docker --env-file) keep it as part of the value.'
      : '';
  const hint = problem.hint === undefined ? '' : ` ${problem.hint}`;
  return new MemoryConfigError(
    `${source.operation} "${setting}": must be ${problem.expected}, got ${shown(problem.value, problem.secret ?? false)}.${comment}${hint}`,
    { provider, setting },
  );
}

/** Letters and digits only, so that `max_messages` finds `maxMessages`. */
const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/** Edits between two names: insert, delete, replace, or swap neighbours. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (before[j - 2] ?? 0) + 1);
      row[j] = best;
    }
    before = above;
    above = row;
  }
  return above[b.length] ?? 0;
}

/**
 * The known name somebody probably meant: the same but for case and separators, or at most two edits away.
 *
 * @param name - what came
 * @param known - what there is
 * @returns undefined when nothing is near
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let edits = 3;
  for (const candidate of known) {
    const d = plain(candidate) === plain(name) ? 0 : distance(candidate, name);
    // a short name is near everything: `db` and `tls` are three edits apart
    if (d < edits && d < Math.min(candidate.length, name.length)) {
      edits = d;
      best = candidate;
    }
  }
  return best;
}

/** What a field must be; `test` answers whether it is. */
interface Rule {
  readonly expected: string;
  readonly test: (value: unknown) => boolean;
  readonly secret?: boolean;
  readonly hint?: string;
}
type Rules<T> = { readonly [K in keyof Required<T>]: Rule };

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && !value.includes('\0');
const isFunction = (value: unknown): boolean => typeof value === 'function';

const integer = (min: number, max?: number): Rule => ({
  expected: max === undefined ? `an integer, ${min} or more` : `an integer from ${min} to ${max}`,
  test: (value) => Number.isSafeInteger(value) && (value as number) >= min && (max === undefined || (value as number) <= max),
});
const oneOf = (...values: readonly string[]): Rule => ({
  expected: `${values
    .slice(0, -1)
    .map((v) => `"${v}"`)
    .join(', ')} or "${values.at(-1)}"`,
  test: (value) => typeof value === 'string' && values.includes(value),
});
const text = (expected: string, secret = false): Rule => ({ expected, test: isText, ...(secret ? { secret } : {}) });
const boolean: Rule = { expected: 'true or false', test: (value) => typeof value === 'boolean' };
const port = integer(1, 65_535);
const hasOnly = (value: Record<string, unknown>, ...keys: readonly string[]): boolean =>
  Object.keys(value).every((key) => keys.includes(key));

/** A host name or address, or a folder with a Unix socket; not a URL, and without port or user. */
const host: Rule = {
  expected: 'a host name or address, without user, port or scheme',
  test: (value) => isText(value) && !looksSecret(value) && !/\s/.test(value) && !/^[^:]+:\d+$/.test(value),
};
const tls = (setting: string): Rule => ({
  expected: `true, false or an object of TLS options${setting === 'ssl' ? ' such as { ca }' : ''}`,
  test: (value) => typeof value === 'boolean' || isObject(value),
  secret: true,
});
const hosts: Rule = {
  expected: 'a list of at least one { host, port }',
  test: (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((node: unknown) => isObject(node) && hasOnly(node, 'host', 'port') && host.test(node['host']) && port.test(node['port'])),
};
const sweep: Rule = {
  expected: `false or { every } with a number of seconds above 0, at most ${MAX_SWEEP_S}`,
  test: (value) =>
    value === false ||
    (isObject(value) &&
      hasOnly(value, 'every') &&
      typeof value['every'] === 'number' &&
      value['every'] >= 0.001 &&
      value['every'] <= MAX_SWEEP_S),
};

const providerRules: Rules<ProviderOptions> = {
  onEvent: { expected: 'a function', test: isFunction },
  clock: { expected: 'a function that returns milliseconds', test: isFunction },
  deadline: { ...integer(1, MAX_DEADLINE_MS), expected: `an integer of milliseconds from 1 to ${MAX_DEADLINE_MS}` },
  ttl: {
    expected: `a number of seconds above 0, at most ${MAX_TTL_S}`,
    test: (value) => typeof value === 'number' && value > 0 && value <= MAX_TTL_S,
    hint: 'Leave it out for conversations that do not expire.',
  },
  maxMessages: integer(1),
  compressionThreshold: integer(1),
  maxInFlight: integer(1),
};
const inMemoryRules: Rules<InMemoryConfig> = { ...providerRules, maxConversations: integer(1) };
const sqliteRules: Rules<SqliteConfig> = {
  ...providerRules,
  path: {
    expected: 'the path of a file, or ":memory:"',
    test: (value) => isText(value) && !/^(sqlite|memory|rediss?|postgres(ql)?):/.test(value),
    hint: 'URLs such as sqlite:./x.db belong to createMemoryProvider.',
  },
  durability: oneOf('normal', 'full'),
  sweep,
};
const redisRules: Rules<RedisConfig> = {
  ...providerRules,
  url: text('a URL such as redis://localhost:6379/0', true),
  host,
  port,
  username: text('a user name'),
  password: text('a password', true),
  db: integer(0),
  tls: tls('tls'),
  keyPrefix: {
    expected: 'a text without braces, at most 255 characters long',
    test: (value) => isText(value) && value.length <= 255 && !/[{}]/.test(value),
  },
  sentinels: hosts,
  sentinelServiceName: text('the name of the service the sentinels watch, such as mymaster'),
  clusterNodes: hosts,
  waitReplicas: {
    expected: '{ count, timeout } with a count of replicas and a timeout in milliseconds, integers above 0',
    test: (value) =>
      isObject(value) && hasOnly(value, 'count', 'timeout') && integer(1).test(value['count']) && integer(1).test(value['timeout']),
  },
};
const postgresRules: Rules<PostgresConfig> = {
  ...providerRules,
  connectionString: text('a URL such as postgresql://user:password@localhost:5432/jaf', true),
  host: {
    expected: 'a host name or address, or several as host1,host2, without user, port or scheme',
    test: (value) => typeof value === 'string' && value.split(',').every((one) => host.test(one)),
    hint: 'Hosts with a port of their own belong into a URL: postgresql://user@host1:5432,host2:5433/database.',
  },
  port,
  database: text('the name of a database'),
  username: text('a user name'),
  password: text('a password', true),
  ssl: tls('ssl'),
  tableName: {
    expected: `the name of a table, or schema.table, ${NAME_FORM} each`,
    test: (value) => typeof value === 'string' && value.split('.').length <= 2 && value.split('.').every(isStoreName),
  },
  schema: { expected: `the name of a schema, ${NAME_FORM}`, test: (value) => typeof value === 'string' && isStoreName(value) },
  maxConnections: integer(1),
  poolMinSize: integer(0),
  poolMaxSize: integer(1),
  poolMaxQueries: integer(1),
  poolMaxInactiveConnectionLifetime: { ...integer(1, MAX_SWEEP_S), expected: `an integer of seconds from 1 to ${MAX_SWEEP_S}` },
  layout: oneOf('auto', 'rows', 'document'),
  preparedStatements: boolean,
  sweep,
};

/** Checks every field and copies those that are set. `type` is accepted when it is this type, and left out. */
function checked<T extends object>(type: string, rules: Rules<T>, config: T | undefined, source: ConfigSource): T {
  const fail = (problem: Problem): never => {
    throw configError(type, source, problem);
  };
  if (config === undefined) return {} as T;
  if (!isObject(config)) return fail({ setting: 'config', expected: 'an object', value: config, secret: true });
  const known = rules as Readonly<Record<string, Rule | undefined>>;
  const clean: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    if (value === undefined || (key === 'type' && value === type)) continue;
    const rule = Object.hasOwn(known, key) ? known[key] : undefined;
    if (!rule) {
      const meant = nearestName(key, Object.keys(known));
      const others = `Known settings: ${Object.keys(known).join(', ')}.`;
      throw new MemoryConfigError(
        `${source.operation} "${key}": no such setting. ${meant === undefined ? others : `Did you mean "${meant}"?`}`,
        { provider: type, setting: key },
      );
    }
    if (!rule.test(value)) fail({ setting: key, value, expected: rule.expected, secret: rule.secret, hint: rule.hint });
    clean[key] = value;
  }
  return clean as T;
}

/**
 * Checks the options every provider has.
 *
 * @param options - absent = no option
 * @param source - the call that was given them
 * @returns a copy without absent fields; no defaults filled in
 * @throws MemoryConfigError naming the field, what is allowed and what came
 */
export function checkProviderOptions(
  options: ProviderOptions | undefined,
  source: ConfigSource = { operation: 'createProvider' },
): ProviderOptions {
  return checked('none', providerRules, options, source);
}

/**
 * What of a backend's configuration is for every provider.
 *
 * @param config - checked
 */
export function providerOptionsOf(config: ProviderOptions): ProviderOptions {
  return Object.fromEntries(Object.entries(config).filter(([name, value]) => Object.hasOwn(providerRules, name) && value !== undefined));
}

/** As {@link checkProviderOptions}, for {@link InMemoryConfig}. */
export function checkInMemoryConfig(
  config: InMemoryConfig | undefined,
  source: ConfigSource = { operation: 'createInMemoryProvider' },
): InMemoryConfig {
  return checked('memory', inMemoryRules, config, source);
}

/** As {@link checkProviderOptions}, for {@link SqliteConfig}. */
export function checkSqliteConfig(
  config: SqliteConfig | undefined,
  source: ConfigSource = { operation: 'createSqliteProvider' },
): SqliteConfig {
  return checked('sqlite', sqliteRules, config, source);
}

/**
 * As {@link checkProviderOptions}, for {@link RedisConfig}: also takes the URL apart. What the URL names wins over the
 * single fields; beside `sentinels` or `clusterNodes` it gives only credentials, database and TLS.
 *
 * @returns the parts, without `url`
 */
export function checkRedisConfig(
  config: RedisConfig | undefined,
  source: ConfigSource = { operation: 'createRedisProvider' },
): RedisConfig {
  const fail = (problem: Problem): MemoryConfigError => configError('redis', source, problem);
  const clean = mergeRedisUrl(checked('redis', redisRules, config, source), fail);
  if (clean.sentinels && clean.clusterNodes) {
    throw fail({ setting: 'clusterNodes', expected: 'left out when sentinels are given', value: clean.clusterNodes });
  }
  if (clean.sentinels && clean.sentinelServiceName === undefined) {
    throw fail({ setting: 'sentinelServiceName', expected: 'given with sentinels (mymaster is usual)', value: undefined });
  }
  if (clean.sentinelServiceName !== undefined && !clean.sentinels) {
    throw fail({ setting: 'sentinels', expected: 'given with a sentinel service name', value: undefined });
  }
  if (clean.clusterNodes && clean.db !== undefined && clean.db !== 0) {
    throw fail({ setting: 'db', expected: '0 on a cluster, which has no other', value: clean.db });
  }
  return clean;
}

/**
 * As {@link checkProviderOptions}, for {@link PostgresConfig}: `sslmode` is taken out of the connection string into an
 * explicit `ssl`, and fields that the connection string names are left out, because it wins.
 */
export function checkPostgresConfig(
  config: PostgresConfig | undefined,
  source: ConfigSource = { operation: 'createPostgresProvider' },
): PostgresConfig {
  const fail = (problem: Problem): MemoryConfigError => configError('postgres', source, problem);
  const clean = mergePostgresUrl(checked('postgres', postgresRules, config, source), fail);
  const most = clean.poolMaxSize ?? clean.maxConnections;
  if (clean.poolMinSize !== undefined && most !== undefined && clean.poolMinSize > most) {
    throw fail({ setting: 'poolMinSize', expected: `at most ${most}, the largest size of the pool`, value: clean.poolMinSize });
  }
  if (clean.schema !== undefined && clean.tableName?.includes('.') && clean.tableName.split('.')[0] !== clean.schema) {
    throw fail({ setting: 'schema', expected: `the schema "${clean.tableName}" names, or left out`, value: clean.schema });
  }
  return clean;
}
