/**
 * Looks at a store without leaving a trace: nothing is created, locked or migrated.
 *
 * @module
 */
import { constants, existsSync } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MemoryError } from './errors.js';
import type { MemoryProviderConfig } from './types.js';

/**
 * What is there: no file or tables yet, a file without tables of ours (empty, or another program's), a store, or nothing that
 * can be used. `unreachable`: nobody answered, or not us.
 */
export type StoreState = 'absent' | 'foreign' | 'store' | 'unusable' | 'unreachable';

/** What a look at a store found. */
export interface StoreLook {
  readonly state: StoreState;
  /** For people; with `unusable` and `unreachable` also what to do. */
  readonly text: string;
}

const unusable = (text: string): StoreLook => ({ state: 'unusable', text });

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of the path is not a folder',
};

/** Why a file or folder cannot be used, by Node's error code. */
function reasonOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? (REASONS[code] ?? code) : 'unknown error';
}

/** Whether a database has our tables, and tables this version can read. */
async function lookInside(file: string): Promise<StoreLook> {
  const [{ loadSqlite }, { classify }, { checkOwnership }] = await Promise.all([
    import('./providers/sqlite/client.js'),
    import('./providers/sqlite/failures.js'),
    import('./providers/sqlite/migrate.js'),
  ]);
  const { DatabaseSync } = await loadSqlite();
  // `immutable` opens without the side files of the write-ahead log; where they are, another process has them open already
  const live = existsSync(`${file}-wal`) || existsSync(`${file}-shm`);
  try {
    const db = new DatabaseSync(`${pathToFileURL(file).href}?${live ? 'mode=ro' : 'immutable=1'}`);
    try {
      checkOwnership(db, file);
      const ours = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'jaf_schema'").get() !== undefined;
      return ours
        ? { state: 'store', text: `SQLite: ${file} is a conversation store that can be read and written.` }
        : {
            state: 'foreign',
            text: `SQLite: ${file} is a database without conversations; the tables for them will be created by the first use.`,
          };
    } finally {
      db.close();
    }
  } catch (error) {
    if (error instanceof MemoryError) return unusable(error.message);
    const { kind, reason } = classify(error);
    // somebody is writing at this moment: that it works is what was asked
    if (kind === 'retryable') return { state: 'store', text: `SQLite: ${file} is in use by another process, and can be read and written.` };
    return unusable(`${file} cannot be opened: ${reason}.`);
  }
}

/**
 * Looks at the place of a SQLite store.
 *
 * @param path - of the file; not `:memory:`
 * @throws MemoryConfigError (`missing_peer`) when this Node has no SQLite
 */
async function lookAtFile(path: string): Promise<StoreLook> {
  const file = resolve(path);
  const folder = dirname(file);
  try {
    const found = await stat(file);
    if (!found.isFile()) return unusable(`${file} is not a file. Name a file in JAF_SQLITE_PATH or in the provider URL.`);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ENOENT') return unusable(`${file} cannot be looked at: ${reasonOf(error)}.`);
    try {
      await access(folder, constants.W_OK | constants.X_OK);
    } catch (reason) {
      return unusable(
        `${file} does not exist and cannot be created in ${folder}: ${reasonOf(reason)}. Create the folder or allow writing to it.`,
      );
    }
    return { state: 'absent', text: `SQLite: ${file} does not exist yet; it will be created by the first use.` };
  }
  try {
    await access(file, constants.R_OK | constants.W_OK);
    // write-ahead logging keeps two more files beside the database
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    return unusable(
      `${file} and its folder must be readable and writable: ${reasonOf(error)}. Change their permissions, or use another file.`,
    );
  }
  const handle = await open(file, 'r');
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(16), 0, 16, 0);
    if (bytesRead === 0) return { state: 'foreign', text: `SQLite: ${file} is empty; it will be filled by the first use.` };
    if (buffer.toString('latin1', 0, bytesRead) !== 'SQLite format 3\0')
      return unusable(`${file} is not a SQLite database. Name another file.`);
  } finally {
    await handle.close();
  }
  return await lookInside(file);
}

/**
 * Looks at the store a configuration means.
 *
 * @param config - checked or not
 * @returns undefined for a store that exists only in its process
 * @throws MemoryConfigError: a bad setting, or a package that is missing (`missing_peer`)
 */
export async function lookAtStore(config: MemoryProviderConfig): Promise<StoreLook | undefined> {
  switch (config.type) {
    case 'sqlite': {
      const path = config.path ?? './jaf-memory.db';
      return path === ':memory:' ? undefined : await lookAtFile(path);
    }
    case 'postgres': {
      const { lookAtDatabase } = await import('./providers/postgres/probe.js');
      const { type: _type, ...own } = config;
      return await lookAtDatabase(own);
    }
    case 'redis': {
      const { lookAtRedis } = await import('./providers/redis/index.js');
      const { type: _type, ...own } = config;
      return await lookAtRedis(own);
    }
    default:
      return undefined;
  }
}
