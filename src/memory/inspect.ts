/**
 * Says what a configuration means, and whether it can work, before anything is opened.
 *
 * @module
 */
import { resolve } from 'node:path';
import { checkPostgresConfig, checkRedisConfig } from './config.js';
import { type Env, ignoredVariables, readMemoryEnv } from './env.js';
import { hostText, targetOf } from './providers/postgres/hosts.js';
import type { MemoryProviderConfig } from './types.js';

/** What a configuration means. Holds no credentials. */
export interface MemoryProviderInfo {
  /** Which backend. */
  readonly type: MemoryProviderConfig['type'];
  /** Whether conversations outlive the process. */
  readonly persistence: boolean;
  /** One or two sentences for people. */
  readonly description: string;
  /** Where conversations are kept: a file, or host, port and database. */
  readonly location: string;
  /** Whether a program that starts again finds its conversations. Of a server's own restart see {@link durability}. */
  readonly survivesRestart: boolean;
  /** Whether several processes can use the store at the same time. */
  readonly severalProcesses: boolean;
  /** Whether processes on several servers can. */
  readonly severalServers: boolean;
  /** What an acknowledged write survives by itself: nothing, a crash of the process, loss of power; the server decides with `server`. */
  readonly durability: 'none' | 'process' | 'power' | 'server';
  /** Settings that are set and may be shown. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** Names of environment variables that are set and have no effect with this type. */
  readonly ignored: readonly string[];
  readonly [k: string]: unknown;
}

/** Settings that may be printed: none of them can hold a credential. */
const PRINTABLE: ReadonlySet<string> = new Set([
  'deadline',
  'ttl',
  'maxMessages',
  'compressionThreshold',
  'maxInFlight',
  'maxConversations',
  'durability',
  'keyPrefix',
  'sentinelServiceName',
  'tableName',
  'schema',
  'maxConnections',
  'poolMinSize',
  'poolMaxSize',
  'poolMaxQueries',
  'poolMaxInactiveConnectionLifetime',
  'layout',
  'preparedStatements',
]);

/** Where a PostgreSQL configuration points to, without user and password. */
function postgresLocation(config: Extract<MemoryProviderConfig, { type: 'postgres' }>): string {
  const { type: _type, ...own } = config;
  const { hosts, database } = targetOf(checkPostgresConfig(own));
  return `${hosts.map(hostText).join(',')}${database === undefined ? '' : `/${database}`}`;
}

/** Where a Redis configuration points to, without user and password. */
function redisLocation(config: Extract<MemoryProviderConfig, { type: 'redis' }>): string {
  const { type: _type, ...own } = config;
  const { host = 'localhost', port = 6379, db = 0, sentinels, clusterNodes, sentinelServiceName } = checkRedisConfig(own);
  const nodes = (list: readonly { host: string; port: number }[]): string => list.map(hostText).join(', ');
  if (clusterNodes) return `cluster of ${nodes(clusterNodes)}`;
  if (sentinels) return `${sentinelServiceName ?? ''}/${db} by sentinels ${nodes(sentinels)}`;
  return `${hostText({ host, port })}/${db}`;
}

/**
 * What a configuration means. Connects to nothing.
 *
 * @param config - as for `createMemoryProvider`
 * @throws MemoryConfigError for a bad setting
 */
export function describeProvider(config: MemoryProviderConfig): MemoryProviderInfo {
  const settings = Object.fromEntries(
    Object.entries(config)
      .filter((entry): entry is [string, string | number | boolean] => PRINTABLE.has(entry[0]) && entry[1] !== undefined)
      // somebody may have put a connection string into the wrong variable
      .map(([name, value]) => [name, typeof value === 'string' && /:\/\/.*@/.test(value) ? '(hidden: a URL with credentials)' : value]),
  );
  const common = { settings, ignored: [] };
  switch (config.type) {
    case 'memory':
      return {
        type: 'memory',
        persistence: false,
        description: 'In-memory: fast, for development and tests; everything is lost when the process ends.',
        location: 'this process',
        survivesRestart: false,
        severalProcesses: false,
        severalServers: false,
        durability: 'none',
        ...common,
      };
    case 'sqlite': {
      const path = config.path ?? './jaf-memory.db';
      const file = path !== ':memory:';
      return {
        type: 'sqlite',
        persistence: file,
        description: file
          ? 'SQLite: one file on this machine; survives a restart, shared by the processes of one server.'
          : 'SQLite in memory: everything is lost when the process ends.',
        location: file ? resolve(path) : 'this process',
        survivesRestart: file,
        severalProcesses: file,
        severalServers: false,
        durability: !file ? 'none' : config.durability === 'full' ? 'power' : 'process',
        ...common,
      };
    }
    case 'redis':
      return {
        type: 'redis',
        persistence: true,
        description: 'Redis: shared by many servers; how much survives a crash of the server is set on the server (appendonly).',
        location: redisLocation(config),
        survivesRestart: true,
        severalProcesses: true,
        severalServers: true,
        durability: 'server',
        ...common,
      };
    case 'postgres':
      return {
        type: 'postgres',
        persistence: true,
        description: 'PostgreSQL: transactional, shared by many servers.',
        location: postgresLocation(config),
        survivesRestart: true,
        severalProcesses: true,
        severalServers: true,
        durability: 'server',
        ...common,
      };
  }
}

/**
 * What the environment's configuration means. Connects to nothing and shows no credentials.
 *
 * @param env - default `process.env`
 * @throws MemoryConfigError naming a bad variable
 */
export function getMemoryProviderInfo(env: Env = process.env): MemoryProviderInfo {
  const config = readMemoryEnv(env);
  return { ...describeProvider(config), ignored: ignoredVariables(env, config.type) };
}

/** What a look at a store answers. */
export type ConnectionTest = { readonly healthy: true; readonly message: string } | { readonly healthy: false; readonly error: string };

const bad = (error: string): ConnectionTest => ({ healthy: false, error });
const good = (message: string): ConnectionTest => ({ healthy: true, message });

/**
 * Whether a configuration can work. Never throws; creates no file and changes nothing in the store.
 *
 * @param config - as for `createMemoryProvider`
 */
async function probeProvider(config: MemoryProviderConfig): Promise<ConnectionTest> {
  try {
    describeProvider(config); // names a bad setting
    const { lookAtStore } = await import('./probe.js');
    const look = await lookAtStore(config);
    if (look) return look.state === 'unusable' || look.state === 'unreachable' ? bad(look.text) : good(look.text);
    return good(config.type === 'sqlite' ? 'SQLite in memory: ready.' : 'In-memory: ready.');
  } catch (error) {
    return bad(error instanceof Error ? error.message : String(error));
  }
}

/**
 * Whether the store the environment describes can be used: reads the variables, then looks at the store. Never throws: a
 * bad variable is `healthy: false`. Creates no file, runs no migration.
 *
 * @param env - default `process.env`
 */
export async function testMemoryProviderConnection(env: Env = process.env): Promise<ConnectionTest> {
  try {
    return await probeProvider(readMemoryEnv(env));
  } catch (error) {
    return bad(error instanceof Error ? error.message : String(error));
  }
}
