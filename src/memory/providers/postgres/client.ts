/**
 * Connections: a pool of our own, a pool of the caller, or one connection the caller lends.
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import type { PgLike } from '../../types.js';
import { Alarms } from './alarms.js';
import { isSane, NotConnectedError, PoolBusyError, statesOf, TripTimeoutError } from './failures.js';
import { Kept } from './kept.js';
import { sendLean } from './lean.js';
import type { Hosts } from './pool.js';
import type { Row } from './records.js';
import type { Statement } from './statements.js';

/** What is used of a client that was checked out of a pool. */
export interface Checked extends PgLike {
  release(error?: Error | boolean): void;
  ref?(): void;
  unref?(): void;
  on?(event: 'error', listener: () => void): unknown;
  removeListener?(event: 'error', listener: () => void): unknown;
}

/** What is used of a pool. */
export interface PoolLike extends PgLike {
  /** Calls back in the tick in which it stops listening for the client's errors itself. */
  connect(callback: (error: unknown, client?: Checked) => void): unknown;
  end(): Promise<void>;
  on?(event: 'error', listener: () => void): unknown;
  removeListener?(event: 'error', listener: () => void): unknown;
  readonly totalCount: number;
  readonly idleCount?: number;
  readonly waitingCount?: number;
}

/** Timers are exact to a millisecond or two: less would be too late as often as not. */
const EARLY_MS = 5;

/** Whether a client is a pool: it counts its connections; a `Client` also has `connect`. */
export function isPool(client: PgLike): client is PoolLike {
  const { connect, totalCount } = client as { connect?: unknown; totalCount?: unknown };
  return typeof connect === 'function' && typeof totalCount === 'number';
}

/** Several statements on one connection. */
export type Session = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

/** What a layout sends its statements through. */
export interface Connections {
  /** The caller's own connection: one statement at a time, nothing repeated, no transaction of ours. */
  readonly borrowed: boolean;
  /** Connects as many as should stay open. */
  warmUp(trip: Trip): Promise<void>;
  /** Statements will walk whole tables. */
  expectWalks(): void;
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

/** A result of several statements is a list of results. */
function rowsOf(result: unknown): readonly Row[] {
  return Array.isArray(result) ? [] : ((result as { rows: Row[] }).rows ?? []);
}

/** What is known of a pool of our own. */
interface Own {
  /** Connections to keep open. */
  readonly min: number;
  /** The same pool without limits sent at the start. */
  readonly without: () => PoolLike;
  readonly hosts: Hosts;
  /** Uses after which a connection is replaced. */
  readonly maxUses: number;
  /** Whether the planner is told that rows are looked up by indexes, on connections from now on. */
  readonly planner: { lookupsOnly: boolean };
}

/**
 * A pool, ours or the caller's. A connection carries one statement at a time: the next is sent when the last was answered,
 * so a connection that breaks leaves one statement in doubt.
 */
export class PooledConnections implements Connections {
  readonly borrowed = false;
  #pool: PoolLike;
  readonly #own: Own | undefined;
  readonly #prepared: boolean;
  readonly #kept: Kept | undefined;
  readonly #alarms = new Alarms();
  #closed = false;

  /**
   * @param pool - a pool
   * @param prepared - whether statements are prepared by name
   * @param own - for our own pool
   */
  constructor(pool: PoolLike, prepared: boolean, own?: Own) {
    this.#pool = pool;
    this.#prepared = prepared;
    this.#own = own;
    this.#kept = own && new Kept(own.maxUses);
    this.#hear(pool);
  }

  /** The pool drops a connection that dies while idle, and makes another when it is needed: nothing to tell anybody. */
  #hear(pool: PoolLike): void {
    pool.on?.('error', ignore);
  }

  async warmUp(trip: Trip): Promise<void> {
    const first = await this.#checkout(trip.timeout).catch(async (error: unknown) => {
      // PgBouncer passes on a few settings only; others that speak the protocol do not know them all
      const refused =
        error instanceof NotConnectedError && statesOf(error.cause).some((state) => /^(08P01|42704|0A000)$/.test(state ?? ''));
      if (!refused || !this.#own) throw error;
      const strict = this.#pool;
      this.#pool = this.#own.without();
      this.#hear(this.#pool);
      await strict.end();
      return await this.#checkout(trip.timeout);
    });
    const others = await Promise.allSettled(
      Array.from({ length: Math.max(0, (this.#own?.min ?? 0) - 1) }, () => this.#checkout(trip.timeout)),
    );
    this.#giveBack(first, true);
    for (const other of others) if (other.status === 'fulfilled') this.#giveBack(other.value, true);
  }

  expectWalks(): void {
    const planner = this.#own?.planner;
    if (!planner?.lookupsOnly) return;
    planner.lookupsOnly = false;
    this.#kept?.clear(true);
  }

  /**
   * Asks the pool for a connection, of each of several hosts once. `got` is called in the tick in which the pool stops
   * listening: an error that arrives in the same packet would otherwise be heard by nobody, and end the process.
   */
  #acquire(
    got: (client: Checked) => void,
    failed: (error: unknown) => void,
    wanted: () => boolean,
    tries = this.#own?.hosts.count ?? 1,
  ): void {
    const answer = (error: unknown, client?: Checked): void => {
      if (client) {
        client.on?.('error', ignore);
        got(client);
      } else if (tries > 1 && wanted()) this.#acquire(got, failed, wanted, tries - 1);
      else failed(this.#own ? this.#own.hosts.failure(error) : error);
    };
    try {
      this.#pool.connect(answer);
    } catch (error) {
      failed(error);
    }
  }

  #giveBack(client: Checked, sane: boolean): void {
    const kept = this.#kept;
    const good = sane && (kept?.used(client) ?? true);
    // what is dropped may still fail; of the others the pool hears, or who keeps them
    if (good) client.removeListener?.('error', ignore);
    // who waits for a connection waits at the pool
    if (good && kept && !this.#closed && (this.#pool.waitingCount ?? 1) === 0) kept.keep(client);
    else client.release(!good);
  }

  /** Why there was no connection in time: waiting behind others, or for a server that does not answer. */
  #late(): Error {
    return (this.#pool.waitingCount ?? 0) > 0 ? new PoolBusyError() : new NotConnectedError(new Error('timeout'));
  }

  /** @throws NotConnectedError, PoolBusyError: nothing was sent */
  #checkout(milliseconds: number): Promise<Checked> {
    return new Promise((resolve, reject) => {
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        reject(this.#late());
      }, milliseconds);
      this.#acquire(
        (client) => {
          clearTimeout(timer);
          if (late) this.#giveBack(client, true);
          else resolve(client);
        },
        (error) => {
          clearTimeout(timer);
          reject(new NotConnectedError(error));
        },
        () => !late,
      );
    });
  }

  /** @throws NotConnectedError, PoolBusyError: nothing was sent; TripTimeoutError: it may have been carried out */
  #use<T>(work: (client: Checked) => Promise<T>, trip: Trip): Promise<T> {
    const kept = this.#kept?.take();
    if (kept) return this.#useNow(kept, work, trip);
    return new Promise((resolve, reject) => {
      const end = performance.now() + trip.timeout;
      // a little early: who is still without a connection knows that nothing was sent, and should be able to say so
      const early = Math.max(EARLY_MS, Math.min(50, trip.timeout * 0.05));
      const timer = setTimeout(() => settle(() => reject(this.#late())), trip.timeout - early);
      let over = false;
      const settle = (how: () => void): void => {
        if (over) return;
        over = true;
        clearTimeout(timer);
        how();
      };
      this.#acquire(
        (client) => {
          if (over) this.#giveBack(client, true);
          else settle(() => resolve(this.#useNow(client, work, { timeout: Math.max(1, end - performance.now()) })));
        },
        (error) => settle(() => reject(new NotConnectedError(error))),
        () => !over,
      );
    });
  }

  /** With a connection. */
  #useNow<T>(client: Checked, work: (client: Checked) => Promise<T>, trip: Trip): Promise<T> {
    return new Promise((resolve, reject) => {
      let over = false;
      const alarm = this.#alarms.start(trip.timeout, () => {
        over = true;
        // a statement without an answer, or a transaction without an end, goes with its connection
        this.#giveBack(client, false);
        reject(new TripTimeoutError());
      });
      const settle = (sane: boolean, how: () => void): void => {
        // what fails afterwards fails for nobody
        if (over) return;
        over = true;
        this.#alarms.stop(alarm);
        this.#giveBack(client, sane);
        how();
      };
      const started = work(client);
      started.then(
        () => settle(true, () => resolve(started)),
        (error: unknown) => settle(isSane(error), () => resolve(started)),
      );
    });
  }

  run(statement: Statement, values: readonly unknown[], trip: Trip): Promise<readonly Row[]> {
    const { row } = statement;
    if (row && this.#prepared && this.#own)
      return this.#use((client) => sendLean(client, statement, row, values as readonly (string | null)[]), trip);
    const { name, text } = statement;
    const config = this.#prepared ? { name, text, values: values as unknown[] } : { text, values: values as unknown[] };
    return this.#use((client) => client.query(config), trip).then(rowsOf);
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
      ...(idleCount === undefined ? {} : { idleConnections: idleCount + (this.#kept?.count ?? 0) }),
      ...(waitingCount === undefined ? {} : { waiting: waitingCount }),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#kept?.clear();
    if (this.#own) await this.#pool.end();
    else this.#pool.removeListener?.('error', ignore);
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

  expectWalks(): void {
    // the caller's session is as it is
  }

  /** The caller's connection is not cut off when time is up; the layer sends nothing else until it answers. */
  async #query(config: { name?: string; text: string; values?: unknown[] }): Promise<readonly Row[]> {
    return rowsOf(await this.#client.query(config));
  }

  run(statement: Statement, values: readonly unknown[]): Promise<readonly Row[]> {
    return this.#query(
      this.#prepared
        ? { name: statement.name, text: statement.text, values: values as unknown[] }
        : { text: statement.text, values: values as unknown[] },
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
