/**
 * Connections: a pool of our own, a pool of the caller, or one connection the caller lends.
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import { MemoryConfigError } from '../../errors.js';
import type { PgLike, PostgresConfig } from '../../types.js';
import { isSane, NotConnectedError, PoolBusyError, sqlState, TripTimeoutError } from './failures.js';
import type { Row } from './records.js';
import type { Statement } from './statements.js';

/** What is used of a client that was checked out of a pool. */
interface Checked extends PgLike {
  release(error?: Error | boolean): void;
  on?(event: 'error', listener: () => void): unknown;
}

/** What is used of a pool. */
interface PoolLike extends PgLike {
  connect(): Promise<Checked>;
  end(): Promise<void>;
  on(event: 'error', listener: () => void): unknown;
  readonly totalCount: number;
  readonly idleCount?: number;
  readonly waitingCount?: number;
}

interface PgModule {
  readonly Pool: new (config: object) => PoolLike;
}

/** Default of the pool's size, of the uses and of the idle seconds of a connection. */
const POOL = 10;
const USES = 50_000;
const IDLE_S = 300;

/** Whether a client is a pool: it counts its connections; a `Client` also has `connect`. */
export function isPool(client: PgLike): client is PoolLike {
  const { connect, totalCount } = client as { connect?: unknown; totalCount?: unknown };
  return typeof connect === 'function' && typeof totalCount === 'number';
}

/**
 * The `pg` package.
 *
 * @param load - how it is imported
 * @throws MemoryConfigError (`missing_peer`)
 */
export async function loadPg(load: () => Promise<unknown> = () => import('pg')): Promise<PgModule> {
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

/** A connection string with what it leaves out filled in from the single fields (it would win over them with blanks). */
function connectionString(config: PostgresConfig): string | undefined {
  if (config.connectionString === undefined) return undefined;
  const url = new URL(config.connectionString);
  const { host, port, username, password, database } = config;
  if (host?.startsWith('/')) url.searchParams.set('host', host);
  else if (host !== undefined) url.hostname = host.includes(':') ? `[${host}]` : host;
  if (url.hostname === '' && !url.searchParams.has('host')) url.hostname = 'localhost';
  if (port !== undefined) {
    if (url.hostname === '') url.searchParams.set('port', String(port));
    else url.port = String(port);
  }
  if (username !== undefined) url.username = encodeURIComponent(username);
  if (password !== undefined) url.password = encodeURIComponent(password);
  if (database !== undefined) url.pathname = `/${encodeURIComponent(database)}`;
  return url.href;
}

/**
 * The configuration of our own pool.
 *
 * @param config - checked; what the connection string names is left out of the single fields
 * @param deadline - of a call, in ms: no statement runs longer at the server
 * @param limits - whether limits are sent with the start of a connection (poolers in front of the server may refuse them)
 */
export function poolConfig(config: PostgresConfig, deadline: number, limits: boolean): object {
  const url = connectionString(config);
  const { host, port, username, password, database, ssl } = config;
  return {
    ...(url === undefined ? { host, port, user: username, password, database } : { connectionString: url }),
    ...(ssl === undefined ? {} : { ssl: ssl === true ? { rejectUnauthorized: true } : ssl }),
    max: config.poolMaxSize ?? config.maxConnections ?? POOL,
    min: config.poolMinSize ?? 0,
    maxUses: config.poolMaxQueries ?? USES,
    idleTimeoutMillis: (config.poolMaxInactiveConnectionLifetime ?? IDLE_S) * 1000,
    // a program that is done ends, as with any other provider
    allowExitOnIdle: true,
    connectionTimeoutMillis: deadline,
    keepAlive: true,
    application_name: 'jaf',
    ...(limits ? { statement_timeout: deadline, idle_in_transaction_session_timeout: 60_000 } : {}),
  };
}

/** Several statements on one connection. */
export type Session = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

/** What a layout sends its statements through. */
export interface Connections {
  /** The caller's own connection: one statement at a time, nothing repeated, no transaction of ours. */
  readonly borrowed: boolean;
  /** Connects as many as should stay open. */
  warmUp(trip: Trip): Promise<void>;
  /** One statement, one round trip. */
  run(statement: Statement, values: readonly unknown[], trip: Trip): Promise<readonly Row[]>;
  /** Several statements without parameters in one round trip. */
  script(text: string, trip: Trip): Promise<void>;
  /** Several round trips on one connection; what fails leaves no open transaction. */
  session<T>(work: (query: Session) => Promise<T>, trip: Trip): Promise<T>;
  metrics(): { readonly activeConnections?: number; readonly [k: string]: number | undefined };
  close(): Promise<void>;
}

const ignore = (): void => undefined;

/** Clients with a listener of ours; for all providers, which may share a pool. */
const heard = new WeakSet<Checked>();

/** A result of several statements is a list of results. */
function rowsOf(result: unknown): readonly Row[] {
  return Array.isArray(result) ? [] : ((result as { rows: Row[] }).rows ?? []);
}

/** Rejects when the work takes too long; what it does afterwards is ignored. */
function within<T>(work: Promise<T>, milliseconds: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), milliseconds);
    work.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}

/** A pool, ours or the caller's. */
export class PooledConnections implements Connections {
  readonly borrowed = false;
  #pool: PoolLike;
  readonly #own: { readonly min: number; readonly without: () => PoolLike } | undefined;
  readonly #prepared: boolean;

  /**
   * @param pool - a pool
   * @param prepared - whether statements are prepared by name
   * @param own - for our own pool: connections to keep open, and the same pool without limits sent at the start
   */
  constructor(pool: PoolLike, prepared: boolean, own?: { readonly min: number; readonly without: () => PoolLike }) {
    this.#pool = pool;
    this.#prepared = prepared;
    this.#own = own;
    if (own) pool.on('error', ignore); // the pool drops a connection that dies while idle, and makes another when it is needed
  }

  async warmUp(trip: Trip): Promise<void> {
    const first = await this.#checkout(trip.timeout).catch(async (error: unknown) => {
      // PgBouncer passes on a few settings only
      const refused = error instanceof NotConnectedError && sqlState(error.cause) === '08P01';
      if (!refused || !this.#own) throw error;
      const strict = this.#pool;
      this.#pool = this.#own.without();
      this.#pool.on('error', ignore);
      await strict.end();
      return await this.#checkout(trip.timeout);
    });
    const others = await Promise.allSettled(
      Array.from({ length: Math.max(0, (this.#own?.min ?? 0) - 1) }, () => this.#checkout(trip.timeout)),
    );
    first.release();
    for (const other of others) if (other.status === 'fulfilled') other.value.release();
  }

  /** @throws NotConnectedError, PoolBusyError: nothing was sent */
  async #checkout(milliseconds: number): Promise<Checked> {
    let late = false;
    const connecting = this.#pool.connect();
    void connecting.then((client) => late && client.release(), ignore);
    let client;
    try {
      client = await within(connecting, milliseconds, () => {
        late = true;
        return new PoolBusyError();
      });
    } catch (error) {
      if (!(error instanceof PoolBusyError)) throw new NotConnectedError(error);
      // waiting behind others, or for a server that does not answer
      throw (this.#pool.waitingCount ?? 0) > 0 ? error : new NotConnectedError(new Error('timeout'));
    }
    // while it is checked out nobody else listens, and an error nobody hears ends the process
    if (client.on && !heard.has(client)) {
      heard.add(client);
      client.on('error', ignore);
    }
    return client;
  }

  async #use<T>(work: (client: Checked, left: number) => Promise<T>, trip: Trip): Promise<T> {
    const end = performance.now() + trip.timeout;
    // a little early: who is still without a connection knows that nothing was sent, and should be able to say so
    const client = await this.#checkout(trip.timeout - Math.min(50, trip.timeout * 0.05));
    try {
      const left = Math.max(1, end - performance.now());
      const result = await within(work(client, left), left, () => new TripTimeoutError());
      client.release();
      return result;
    } catch (error) {
      // a statement without an answer, or a transaction without an end, goes with its connection
      client.release(!isSane(error));
      throw error;
    }
  }

  async run(statement: Statement, values: readonly unknown[], trip: Trip): Promise<readonly Row[]> {
    const config = this.#prepared ? { ...statement, values: values as unknown[] } : { text: statement.text, values: values as unknown[] };
    return rowsOf(await this.#use((client) => client.query(config), trip));
  }

  async script(text: string, trip: Trip): Promise<void> {
    await this.#use((client) => client.query({ text }), trip);
  }

  session<T>(work: (query: Session) => Promise<T>, trip: Trip): Promise<T> {
    return this.#use(async (client) => {
      const query: Session = async (text, values) =>
        rowsOf(await client.query(values === undefined ? { text } : { text, values: values as unknown[] }));
      try {
        return await work(query);
      } catch (error) {
        if (isSane(error)) await query('ROLLBACK');
        throw error;
      }
    }, trip);
  }

  metrics(): { activeConnections: number; idleConnections?: number; waiting?: number } {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    return {
      activeConnections: totalCount,
      ...(idleCount === undefined ? {} : { idleConnections: idleCount }),
      ...(waitingCount === undefined ? {} : { waiting: waitingCount }),
    };
  }

  async close(): Promise<void> {
    if (this.#own) await this.#pool.end();
  }
}

/** A `Client` or `PoolClient` of the caller, perhaps inside of a transaction. */
export class BorrowedConnection implements Connections {
  readonly borrowed = true;
  readonly #client: PgLike;
  readonly #prepared: boolean;

  constructor(client: PgLike, prepared: boolean) {
    this.#client = client;
    this.#prepared = prepared;
  }

  async warmUp(): Promise<void> {
    // it is the caller's to connect
  }

  /** The caller's connection is not cut off when time is up; the layer sends nothing else until it answers. */
  async #query(config: { name?: string; text: string; values?: unknown[] }): Promise<readonly Row[]> {
    return rowsOf(await this.#client.query(config));
  }

  run(statement: Statement, values: readonly unknown[]): Promise<readonly Row[]> {
    return this.#query(
      this.#prepared ? { ...statement, values: values as unknown[] } : { text: statement.text, values: values as unknown[] },
    );
  }

  async script(text: string): Promise<void> {
    await this.#query({ text });
  }

  session<T>(work: (query: Session) => Promise<T>): Promise<T> {
    return work((text, values) => this.#query(values === undefined ? { text } : { text, values: values as unknown[] }));
  }

  metrics(): { activeConnections: number } {
    return { activeConnections: 1 };
  }

  async close(): Promise<void> {
    // the caller's to close
  }
}
