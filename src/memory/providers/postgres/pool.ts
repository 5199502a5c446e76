/**
 * The pool of our own. A pool of `pg` knows one host; the clients of this one choose among several each time they connect.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import { MemoryConfigError } from '../../errors.js';
import type { PgLike, PostgresConfig } from '../../types.js';
import { PooledConnections, type PoolLike } from './client.js';
import { HostsError, NotWritableError } from './failures.js';
import { hostText, type Target, targetOf, TLS_FILES } from './hosts.js';

interface PgModule {
  readonly Pool: new (config: object) => PoolLike;
  readonly Client: ClientClass;
}

/** Default of the pool's size, of the uses and of the idle seconds of a connection. */
const POOL = 10;
const USES = 50_000;
const IDLE_S = 300;

/** What is used of the client class of `pg`. */
export interface RawClient extends PgLike {
  connect(callback: (error?: unknown) => void): void;
  end(): Promise<void>;
  on(event: 'error', listener: () => void): unknown;
}
/** The client class of `pg`. */
export type ClientClass = new (config: object) => RawClient;

/**
 * How the planner should plan for our statements, sent when a connection starts (a SET later would stay behind in a pooler).
 * Each is prepared once and looks rows up by an index, whatever the values: planning it anew for values that seem to be
 * cheaper costs more than running it (a read of a store with one very long conversation took 2.5 times as long), a plan made
 * while a table was small would walk it when it has grown, and compiling never pays.
 */
const PLANNING = '-c plan_cache_mode=force_generic_plan -c jit=off';
const LOOKUPS = '-c enable_seqscan=off';

/** Which host connections go to: the one that took the last connection, until it refuses one. */
export class Hosts {
  readonly #target: Target;
  readonly #failures = new Map<number, unknown>();
  #current = 0;

  constructor(target: Target) {
    this.#target = target;
  }

  /** How many hosts there are. */
  get count(): number {
    return this.#target.hosts.length;
  }

  /** What the hosts said that refused; the error itself when there is one host. */
  failure(error: unknown): unknown {
    if (this.count === 1) return error;
    const each = [...this.#failures].map(([at, failure]) => {
      const host = this.#target.hosts[at];
      return { host: host ? hostText(host) : '', failure };
    });
    return new HostsError(each);
  }

  /**
   * A client class for a pool: every client connects to the host that is current when it is made, and counts as connected
   * when the server is what is needed.
   *
   * @param Base - of the `pg` package
   * @param milliseconds - for one attempt
   * @param options - of a session that begins now; absent or undefined: those of the configuration
   */
  clientClass(Base: ClientClass, milliseconds: number, options?: () => string): ClientClass {
    const { hosts, needs } = this.#target;
    const current = (): number => this.#current;
    const failed = (at: number, error: unknown): void => {
      this.#failures.set(at, error);
      // of several attempts that fail at once only the first moves on
      if (this.#current === at) this.#current = (at + 1) % hosts.length;
    };
    const worked = (at: number): void => {
      this.#failures.clear();
      this.#current = at;
    };
    return class extends Base {
      readonly #at: number;

      constructor(config: object) {
        const at = current();
        // inherited, not copied: the pool makes the password a property that copies do not have
        const more = { connectionTimeoutMillis: milliseconds, ...(options ? { options: options() } : {}) };
        super(Object.assign(Object.create(config) as object, hosts[at], more));
        this.#at = at;
        // the pool listens from when this counts as connected until it is checked out
        this.on('error', () => undefined);
      }

      override connect(callback: (error?: unknown) => void): void {
        const done = (error?: unknown): void => {
          if (error) failed(this.#at, error);
          else worked(this.#at);
          callback(error);
        };
        super.connect((error) => {
          if (error || needs === 'any') done(error);
          else void this.#connected(done);
        });
      }

      async #connected(done: (error?: unknown) => void): Promise<void> {
        const writable = await this.#check();
        if (writable === true) return done();
        done(writable);
        await this.end(); // the pool forgets a client that did not connect, and does not end it
      }

      /** Whether the server is what is needed; otherwise why not. */
      async #check(): Promise<unknown> {
        const text = "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS readonly";
        try {
          const question: { text: string; query_timeout: number } = { text, query_timeout: milliseconds };
          const [row] = (await this.query(question)).rows as { standby?: unknown; readonly?: unknown }[];
          const writable = needs === 'primary' ? row?.standby === false : row?.readonly === 'off';
          return writable || new NotWritableError(row?.standby === true);
        } catch (error) {
          return error;
        }
      }
    };
  }
}

/**
 * The `pg` package.
 *
 * @param load - how it is imported
 * @throws MemoryConfigError (`missing_peer`)
 */
async function loadPg(load: () => Promise<unknown> = () => import('pg')): Promise<PgModule> {
  try {
    const module = (await load()) as { default?: PgModule } & PgModule;
    return module.default ?? module;
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    const absent = (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && /['"]pg['"]/.test(String(message));
    throw new MemoryConfigError(
      absent
        ? 'Postgres needs the "pg" package: npm install pg'
        : `Postgres: the "pg" package is installed but could not be loaded (${typeof code === 'string' ? code : 'no error code'}). Reinstall it.`,
      { provider: 'postgres', setting: 'type', code: 'missing_peer' },
    );
  }
}

/** The TLS options of a configuration, with the files its connection string names. */
async function tlsOf(config: PostgresConfig, files: Readonly<Record<string, string>>): Promise<boolean | object | undefined> {
  const { ssl } = config;
  if (ssl === undefined || ssl === false) return ssl;
  const options: Record<string, unknown> = { rejectUnauthorized: true, ...(ssl === true ? {} : ssl) };
  // pg hides the key of an object it has seen
  if (typeof ssl === 'object' && 'key' in ssl) options['key'] = ssl.key;
  for (const [parameter, path] of Object.entries(files)) {
    const setting = TLS_FILES[parameter];
    if (setting === undefined || (parameter === 'sslrootcert' && path === 'system')) continue;
    try {
      options[setting] = await readFile(path, 'utf8');
    } catch (error) {
      throw new MemoryConfigError(
        `createPostgresProvider "connectionString": the file that ${parameter} names cannot be read (${(error as { code?: string }).code ?? 'unknown'}). Correct the path, or pass the text as ssl: { ${setting} }.`,
        { provider: 'postgres', setting: 'connectionString' },
      );
    }
  }
  return options;
}

/**
 * A pool of our own.
 *
 * @param config - checked
 * @param deadline - of a call, in ms: no statement runs longer at the server
 * @param prepared - whether statements are prepared by name
 * @throws MemoryConfigError for a missing package or a file that cannot be read
 */
export async function ownPool(config: PostgresConfig, deadline: number, prepared: boolean): Promise<PooledConnections> {
  const { Pool, Client } = await loadPg();
  const target = targetOf(config);
  const { user, password, database, parameters, patience } = target;
  const hosts = new Hosts(target);
  // a host that takes no connection must leave time for the others
  const attempt = Math.max(1, Math.min(patience ?? deadline, Math.floor(deadline / hosts.count)));
  const ssl = await tlsOf(config, target.files);
  const maxUses = config.poolMaxQueries ?? USES;
  const planner = { lookupsOnly: config.layout !== 'document' };
  const options = (): string => [PLANNING, planner.lookupsOnly ? LOOKUPS : '', parameters['options'] ?? ''].join(' ').trim();
  const make = (limits: boolean): PoolLike =>
    new Pool({
      ...(limits ? { statement_timeout: deadline, idle_in_transaction_session_timeout: 60_000 } : {}),
      application_name: 'jaf',
      ...parameters,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
      ...(database === undefined ? {} : { database }),
      // pg hides the key of the object it gets, and a second pool needs it too
      ...(ssl === undefined ? {} : { ssl: typeof ssl === 'object' ? { ...ssl } : ssl }),
      Client: hosts.clientClass(Client, attempt, limits ? options : undefined),
      max: config.poolMaxSize ?? config.maxConnections ?? POOL,
      min: config.poolMinSize ?? 0,
      maxUses,
      idleTimeoutMillis: (config.poolMaxInactiveConnectionLifetime ?? IDLE_S) * 1000,
      // a program that is done ends, as with any other provider
      allowExitOnIdle: true,
      connectionTimeoutMillis: deadline,
      keepAlive: true,
    });
  // a pooler in front of the server, which is why statements are not prepared, may refuse limits at the start
  return new PooledConnections(make(prepared), prepared, {
    min: config.poolMinSize ?? 0,
    without: () => make(false),
    hosts,
    maxUses,
    planner,
  });
}
