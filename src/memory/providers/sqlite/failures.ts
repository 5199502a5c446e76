/**
 * What failures of SQLite mean, for the layer and for the person who configured the file.
 *
 * @module
 */
import type { Classified } from '../../driver.js';
import { MemoryConfigError, MemoryError, MemoryStorageError } from '../../errors.js';

/** The file was deleted, or another was put in its place, while it was open. */
export class FileGoneError extends Error {}

/** Another process reads or writes the file, so that its write-ahead log cannot be emptied. */
export class LogInUseError extends Error {}

/** A conversation has had as many bodies as can be numbered. */
export class PositionsError extends Error {}

/** The primary result code of a failure of SQLite; undefined when it is something else. */
function sqliteCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null | undefined)?.errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}

const BUSY = 5;
const LOCKED = 6;
const PROTOCOL = 15;

/** Whether another process is in the way, for now. 15 is a lost race for the locks of the write-ahead log. */
export function isContention(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === BUSY || code === LOCKED || code === PROTOCOL;
}

/** Reasons by primary result code. SQLite's own messages are not used: they can quote SQL. */
const REASONS: Readonly<Record<number, string>> = {
  3: 'SQLite may not access the database file (permission denied)',
  7: 'SQLite is out of memory',
  8: 'the database file is read-only, or was moved or deleted while open',
  9: 'SQLite was interrupted',
  10: 'SQLite could not read or write the disk (I/O error)',
  13: 'the disk or the database is full',
  14: 'SQLite could not open the database file or its -wal and -shm files',
  18: 'a value is larger than SQLite can store (1 GB)',
};

/**
 * What a failure means. Never throws, never quotes SQL or values.
 *
 * @param error - anything thrown by a driver method
 */
export function classify(error: unknown): Classified {
  if (error instanceof FileGoneError) {
    return {
      kind: 'storage',
      reason: 'the database file was deleted, moved or replaced while it was open; close the provider and open it again',
    };
  }
  if (error instanceof LogInUseError) {
    return { kind: 'retryable', reason: 'another process reads the file, whose write-ahead log may still hold what was removed' };
  }
  if (error instanceof PositionsError) {
    return {
      kind: 'storage',
      reason: 'the conversation has had 4,294,967,296 messages, the most that SQLite can number; go on in a new conversation',
    };
  }
  if (error instanceof SyntaxError) return { kind: 'corrupt', reason: 'a stored row is damaged (not JSON)' };
  const code = sqliteCode(error);
  if (code === undefined) {
    const name = error instanceof Error ? ((error as { code?: string }).code ?? error.name) : typeof error;
    return { kind: 'storage', reason: `the SQLite driver failed (${name})` };
  }
  if (isContention(error)) return { kind: 'retryable', reason: 'the database is locked by another writer' };
  if (code === 11) return { kind: 'corrupt', reason: 'the database file is damaged; restore a copy, or try "sqlite3 FILE .recover"' };
  if (code === 26) return { kind: 'corrupt', reason: 'the file is not a SQLite database any more' };
  return { kind: 'storage', reason: REASONS[code] ?? `SQLite failed with code ${code}` };
}

/**
 * An error about the file.
 *
 * @param path - the file, as configured
 * @param why - why it cannot be used, and what to do
 * @param code - of the error; default `config`
 */
export function pathError(path: string, why: string, code = 'config'): MemoryConfigError {
  return new MemoryConfigError(`createSqliteProvider "path": ${JSON.stringify(path)} ${why}`, {
    provider: 'sqlite',
    setting: 'path',
    code,
  });
}

/**
 * Why a file could not be opened, for the person who configured it.
 *
 * @param error - what was thrown while it was opened
 * @param path - the file, as configured
 */
export function openError(error: unknown, path: string): MemoryError {
  if (error instanceof MemoryError) return error;
  switch (sqliteCode(error)) {
    case 1:
      return pathError(path, 'has tables named like ours with another shape. Give the memory a file of its own.');
    case 8:
      return pathError(path, 'is read-only. Make it writable for this user, or use another file.');
    case 11:
      return pathError(path, 'is damaged. Restore a copy, or try "sqlite3 FILE .recover".');
    case 14:
      return pathError(path, 'cannot be opened. Check that this user may read and write the file and its folder.');
    case 26:
      return pathError(path, 'is not a SQLite database. Name another file; it will be created.');
    default:
      return new MemoryStorageError(`createSqliteProvider ${JSON.stringify(path)}: ${classify(error).reason}.`, {
        provider: 'sqlite',
        operation: 'open',
      });
  }
}
