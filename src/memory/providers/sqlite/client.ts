/**
 * SQLite itself: which module gives it, and how a file is opened and set up.
 *
 * @module
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { MemoryConfigError } from '../../errors.js';
import { pathError } from './failures.js';

/** What SQLite stores and returns here. */
export type SqlValue = null | number | string | Uint8Array;

/** A prepared statement: what is used of `StatementSync`. */
export interface Statement {
  run(...values: readonly SqlValue[]): { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint };
  get(...values: readonly SqlValue[]): unknown;
  all(...values: readonly SqlValue[]): unknown[];
  /** Rows as arrays from now on; Node has it since 22.16. */
  setReturnArrays?(enabled: boolean): void;
  /** Likewise. */
  columns?(): readonly { readonly name: string }[];
}

/** A connection: what is used of `DatabaseSync`. */
export interface Database {
  exec(text: string): void;
  prepare(text: string): Statement;
  close(): void;
}

interface SqliteModule {
  readonly DatabaseSync: new (path: string) => Database;
}

const PEER = '@photostructure/sqlite';

/**
 * Node's own SQLite. Loading it prints an ExperimentalWarning on the stderr of whoever uses this package; they did not
 * choose the module and can do nothing about it, so exactly that warning is held back while it loads (it is emitted
 * synchronously, once).
 */
function builtin(): SqliteModule | undefined {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: never[]): void => {
    if (String(warning).startsWith('SQLite is an experimental feature')) return;
    emitWarning.call(process, warning, ...rest);
  };
  try {
    return process.getBuiltinModule('node:sqlite') as SqliteModule | undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/**
 * `node:sqlite`, or the package with the same interface where Node has none (Node 20).
 *
 * @param load - how the package is imported
 * @param own - how Node's own module is found
 * @throws MemoryConfigError (`missing_peer`)
 */
export async function loadSqlite(
  load: () => Promise<unknown> = () => import('@photostructure/sqlite'),
  own: () => SqliteModule | undefined = builtin,
): Promise<SqliteModule> {
  const found = own();
  if (found) return found;
  try {
    return (await load()) as SqliteModule;
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    const absent = (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && (message ?? '').includes(PEER);
    throw new MemoryConfigError(
      absent
        ? `SQLite on Node ${process.versions.node.split('.')[0]} needs the "${PEER}" package: npm install ${PEER}`
        : `SQLite: the "${PEER}" package is installed but could not be loaded (${code ?? 'no error code'}). Reinstall it for this platform, or use Node 22.13.`,
      { provider: 'sqlite', setting: 'type', code: 'missing_peer' },
    );
  }
}

/** Whether the path means a database that lives in this process only. */
export function isInMemory(path: string): boolean {
  return path === ':memory:';
}

/** @throws MemoryConfigError when the place cannot hold a database; SQLite's own message would be "unable to open". */
function checkPlace(path: string): void {
  const file = resolve(path);
  const folder = dirname(file);
  if (!existsSync(folder)) throw pathError(path, `is in a folder that does not exist: ${folder}. Create it first (mkdir -p).`);
  if (existsSync(file) && statSync(file).isDirectory()) throw pathError(path, 'is a folder. Name a file in it.');
  // without this SQLite falls back to read-only, silently, until the first write
  for (const part of [file, `${file}-wal`, `${file}-shm`]) {
    if (!existsSync(part) || isWritable(part)) continue;
    throw pathError(
      path,
      `is read-only${part === file ? '' : ` (its log ${part} is)`}. Make it writable for this user, or use another file.`,
    );
  }
  if (!isWritable(folder)) {
    throw pathError(path, `is in a folder this user cannot write to: ${folder}. SQLite keeps its -wal and -shm files beside the database.`);
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false; // the answer, not a failure: whatever access() has against writing
  }
}

/** Pages (4 KiB) in the write-ahead log before a commit moves them into the database: 16 MB. With SQLite's 1,000 an append
 * pays for a checkpoint four times as often (measured: mean 41 against 34 µs). */
const CHECKPOINT_PAGES = 4000;
/** Bytes the log file is cut down to after a checkpoint. */
const JOURNAL_BYTES = 67_108_864;
/** KiB of page cache. */
const CACHE_KIB = 16_384;

/**
 * Opens a connection; nothing is read or written yet.
 *
 * @param module - see {@link loadSqlite}
 * @param path - the file, or `:memory:`
 * @throws MemoryConfigError naming the path
 */
export function connect(module: SqliteModule, path: string): Database {
  if (isInMemory(path)) return new module.DatabaseSync(path);
  checkPlace(path);
  // absolute: a path that begins with "file:" would be taken for a URI
  return new module.DatabaseSync(resolve(path));
}

/**
 * Sets up a connection to a database of ours.
 *
 * @param db - an open connection
 * @param durability - what an acknowledged write survives: `normal` a crash of the process, `full` also of the power
 * @returns the journal mode SQLite agreed to: `wal`, or `memory` for `:memory:`
 */
export function configure(db: Database, durability: 'normal' | 'full'): string {
  const { journal_mode: mode } = db.prepare('PRAGMA journal_mode = WAL').get() as { journal_mode: string };
  db.exec(`
    PRAGMA synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'};
    PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
    PRAGMA journal_size_limit = ${JOURNAL_BYTES};
    PRAGMA cache_size = -${CACHE_KIB};
    PRAGMA foreign_keys = OFF;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA secure_delete = ON`); // deleted conversations must not stay readable in free pages
  return mode;
}
