/**
 * The SQLite driver: every operation is one transaction on one connection, and runs without a pause, so that nothing of
 * this process comes in between. Another process that holds the write lock makes it fail as `retryable` at once; waiting
 * inside SQLite would freeze the process.
 *
 * @module
 */
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Classified,
  DriverCapabilities,
  DriverHealth,
  Inspect,
  Inspection,
  List,
  Pack,
  PackOutcome,
  Page,
  Purge,
  PurgeOutcome,
  Read,
  Remove,
  RemoveOutcome,
  StatsPage,
  StatsQuery,
  StorageDriver,
  Stored,
  StoreInfo,
  StoreTarget,
  Write,
  WriteOutcome,
} from '../../driver.js';
import { MemoryConnectionError, MemoryError } from '../../errors.js';
import { decideRemove, isVisible } from '../../local.js';
import { cutBodies } from './bodies.js';
import { configure, connect, type Database, isInMemory, loadSqlite } from './client.js';
import { classify, isContention, LogInUseError, openError, pathError } from './failures.js';
import { FileGuard } from './guard.js';
import { inspectPage } from './inspect.js';
import { inlineBudget } from './leftovers.js';
import { checkOwnership, migrate, SCHEMA_VERSION } from './migrate.js';
import { forgottenUpTo, purgeBatch, storeTombstone } from './purge.js';
import { foldPage, listPage, readOne } from './reads.js';
import { Recent } from './recent.js';
import { find } from './rows.js';
import { Statements } from './statements.js';
import { writeOne } from './writes.js';

/** What a SQLite driver needs to know. */
export interface SqliteDriverOptions {
  /** The file, or `:memory:`. */
  readonly path: string;
  /** Default `normal`. */
  readonly durability?: 'normal' | 'full' | undefined;
  /** The driver's own time in ms, looked at before anything expired is removed; default `Date.now`. */
  readonly clock?: (() => number) | undefined;
}

/**
 * Milliseconds of work after which the event loop gets a turn. Without it a loop of awaited writes, which wait for nothing,
 * would keep out timers, sockets, and the packing that should keep up with it (measured: 1 of 14 segments was packed).
 */
const TURN_MS = 1;

/** Milliseconds an attempt to empty the log may hold up this process. */
const SCRUB_WAIT_MS = 100;

/** Milliseconds opening may wait for other processes that open, migrate or write. */
const OPEN_MS = 5000;

/**
 * Makes a SQLite driver. Nothing is opened yet.
 *
 * @param options - see {@link SqliteDriverOptions}
 */
export function createSqliteDriver(options: SqliteDriverOptions): StorageDriver {
  return new SqliteDriver(options);
}

interface Open {
  readonly db: Database;
  readonly sql: Statements;
  readonly info: StoreInfo;
  readonly guard: FileGuard;
}

class SqliteDriver implements StorageDriver {
  readonly name = 'sqlite';
  readonly contract = 1;
  readonly capabilities: DriverCapabilities;
  readonly target: StoreTarget;
  readonly #path: string;
  readonly #durability: 'normal' | 'full';
  readonly #clock: () => number;
  #open: Open | undefined;
  #opening: Promise<StoreInfo> | undefined;
  readonly #recent = new Recent();
  /** Milliseconds of work since the last turn of the event loop. */
  #worked = 0;

  constructor(options: SqliteDriverOptions) {
    this.#path = options.path;
    this.target = { namespace: basename(options.path) };
    this.#durability = options.durability ?? 'normal';
    this.#clock = options.clock ?? Date.now;
    const here = isInMemory(options.path);
    this.capabilities = {
      durability: here ? 'none' : this.#durability === 'full' ? 'power' : 'process',
      shared: !here,
      segments: 'deflate',
      batchCreations: true,
    };
  }

  // -------------------------------------------------------------------------------------------------- open and close

  /** @throws MemoryConfigError naming the path, MemoryConnectionError when other processes hold the file for 5 seconds */
  open(): Promise<StoreInfo> {
    this.#opening ??= this.#openNow().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #openNow(): Promise<StoreInfo> {
    const module = await loadSqlite();
    const end = performance.now() + OPEN_MS;
    for (let wait = 5; ; wait = Math.min(wait * 2, 100)) {
      let db: Database | undefined;
      try {
        db = connect(module, this.#path);
        this.#open = this.#prepare(db);
        return this.#open.info;
      } catch (error) {
        db?.close();
        if (!isContention(error)) throw openError(error, this.#path);
        if (performance.now() >= end) {
          throw new MemoryConnectionError(
            `createSqliteProvider ${JSON.stringify(this.#path)}: other processes have held the database for ${OPEN_MS} ms. Try again, or look for a process that keeps a transaction open.`,
            { provider: 'sqlite', code: 'timeout' },
          );
        }
        await sleep(Math.random() * wait);
      }
    }
  }

  #prepare(db: Database): Open {
    db.exec('PRAGMA busy_timeout = 0');
    // first, so that somebody else's database is refused before anything in it is changed
    checkOwnership(db, this.#path);
    const mode = configure(db, this.#durability);
    if (mode !== 'wal' && mode !== 'memory') {
      throw pathError(
        this.#path,
        `is on a file system without write-ahead logging (SQLite answered "${mode}"). Use a local disk, not a network share.`,
      );
    }
    migrate(db, this.#path);
    const sql = new Statements(db);
    const key = sql.value<string>('setting', 'key');
    if (key === undefined) throw pathError(this.#path, 'has lost the key of its store (table jaf_settings). Restore a copy.');
    return { db, sql, info: { key }, guard: new FileGuard(this.#path) };
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined); // whoever opened has that error
    const open = this.#open;
    this.#open = undefined;
    this.#opening = undefined;
    this.#recent.clear();
    if (!open) return;
    // the package for Node 20 closes the file only when its statements are collected as garbage: without this a copy of a
    // file that was closed would miss what is in the log
    truncateLog(open.db);
    open.db.close();
  }

  get #opened(): Open {
    if (!this.#open) throw new Error('the driver is not open');
    return this.#open;
  }

  classify(error: unknown): Classified {
    return error instanceof MemoryError ? { kind: 'config', reason: error.message } : classify(error);
  }

  async ping(): Promise<DriverHealth> {
    const { sql, guard } = this.#opened;
    guard.check(true);
    sql.value('ping');
    const pages = sql.value<number>('pageCount') ?? 0;
    const size = sql.value<number>('pageSize') ?? 0;
    const synchronous = sql.value<number>('synchronous');
    const here = isInMemory(this.#path);
    return {
      message: here ? 'SQLite in memory' : `SQLite file ${this.#path}`,
      schema: `schema ${SCHEMA_VERSION}, the newest this version knows`,
      metrics: { activeConnections: 1, memoryUsage: pages * size, ...(synchronous === undefined ? {} : { synchronous }) },
      ...(here ? { warnings: ['everything is lost when the process ends; give a file as path'] } : {}),
    };
  }

  // ---------------------------------------------------------------------------------------------------- transactions

  #transaction<T>(begin: 'begin' | 'beginRead', work: (sql: Statements) => T): T {
    const { sql, guard } = this.#opened;
    guard.check();
    const began = performance.now();
    sql.run(begin);
    try {
      const result = work(sql);
      sql.run('commit');
      this.#worked += performance.now() - began;
      return result;
    } catch (error) {
      this.#recent.clear();
      try {
        sql.run('rollback');
      } catch {
        // SQLite has rolled back by itself (full disk, I/O error); the first error is the one to report
      }
      throw error;
    }
  }

  /** See {@link TURN_MS}. */
  async #breathe(): Promise<void> {
    this.#worked = 0;
    await turn();
  }

  /** A write transaction after which nothing is taken for known. */
  #change<T>(work: (sql: Statements) => T): T {
    this.#recent.clear();
    return this.#transaction('begin', work);
  }

  // ---------------------------------------------------------------------------------------------------------- writes

  async write(batch: readonly Write[]): Promise<readonly WriteOutcome[]> {
    const outcomes = this.#transaction('begin', (sql) => {
      this.#recent.refresh(sql);
      return batch.map((write) => writeOne(sql, this.#recent, write));
    });
    if (this.#worked >= TURN_MS) await this.#breathe();
    return outcomes;
  }

  async remove(remove: Remove): Promise<RemoveOutcome> {
    return this.#change((sql) => {
      const kept = find(sql, remove.id);
      const decision = decideRemove(kept?.state, remove, kept ? 0 : forgottenUpTo(sql));
      if (decision.apply && kept) storeTombstone(sql, kept, decision.tombstone, inlineBudget());
      return decision.outcome;
    });
  }

  async pack(pack: Pack): Promise<PackOutcome> {
    return this.#change((sql) => {
      const kept = find(sql, pack.id);
      if (!kept || !isVisible(kept.state, pack.now)) return 'stale';
      const { key, base } = kept;
      const { epoch, first, next, packedTo, bytes } = kept.state;
      const [from, to] = [pack.from - base, pack.to - base];
      if (epoch !== pack.epoch || packedTo !== pack.from || first > pack.from || next < pack.to) return 'stale';
      if (typeof pack.data === 'string') throw new TypeError('a segment must be bytes');
      cutBodies(sql, key, to);
      const unpacked = sql.value<number>('messageBytes', key, from, to) ?? 0;
      sql.run('insertSegment', key, from, to, pack.data);
      sql.run('dropMessages', key, from, to);
      sql.run('packConversation', key, pack.to, bytes - unpacked + pack.data.byteLength);
      return 'ok';
    });
  }

  async bar(ownerHash: string, until: number): Promise<void> {
    this.#change((sql) => sql.run('bar', ownerHash, until));
  }

  async purge(purge: Purge): Promise<PurgeOutcome> {
    const outcome = this.#change((sql) => purgeBatch(sql, purge, this.#clock()));
    if (outcome.more) await turn();
    // deleted content was overwritten in the database, and must not stay readable in the log
    else if (purge.kind === 'user' && purge.forget && this.#open) truncateLog(this.#open.db);
    return outcome;
  }

  async inspect(inspect: Inspect): Promise<Inspection> {
    const work = (sql: Statements): Inspection => inspectPage(sql, inspect);
    const found = inspect.fix ? this.#change(work) : this.#transaction('beginRead', work);
    if (found.after !== undefined) await turn();
    return found;
  }

  /**
   * Deleted content is overwritten (`secure_delete`), but not the copies that stay in a page when its rows move to another: only
   * writing the whole file anew leaves none (measured: one id of 600 stayed). Then the log is emptied, which still has all of it.
   */
  async scrub(): Promise<void> {
    const { db, guard } = this.#opened;
    guard.check();
    // other processes leave only moments between their transactions: here waiting inside SQLite is right
    db.exec(`PRAGMA busy_timeout = ${SCRUB_WAIT_MS}`);
    try {
      // the copy would go into memory, as temp_store says
      db.exec('PRAGMA temp_store = FILE; VACUUM');
      const { busy } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number };
      if (busy !== 0) throw new LogInUseError();
    } finally {
      db.exec('PRAGMA busy_timeout = 0; PRAGMA temp_store = MEMORY');
    }
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  async read(read: Read): Promise<Stored | undefined> {
    const stored = this.#transaction('beginRead', (sql) => readOne(sql, read));
    if (this.#worked >= TURN_MS) await this.#breathe();
    return stored;
  }

  async list(list: List): Promise<Page> {
    const page = this.#transaction('beginRead', (sql) => listPage(sql, list));
    if (page.cursor) await turn();
    return page;
  }

  async stats(query: StatsQuery): Promise<StatsPage> {
    const page = this.#transaction('beginRead', (sql) => foldPage(sql, query));
    if (page.cursor) await turn();
    return page;
  }
}

/**
 * Moves the write-ahead log into the database and empties it, as far as nobody else is reading it. It is done after the
 * work it belongs to is committed, and a failure takes nothing back: the log stays, and a later checkpoint does the same.
 */
function truncateLog(db: Database): void {
  try {
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } catch {
    // see above: reported as a failure of the removal or of close(), it would say that something is lost
  }
}

/** Lets timers and sockets of this process have a turn between the pages of a long walk. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
