/**
 * Makes a file ours: tells an empty file from our own and from somebody else's, and brings our schema up to date. Many
 * processes may do this at the same time; whoever gets the write lock first does the work.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { Database } from './client.js';
import { pathError } from './failures.js';
import { sql } from './sql.generated.js';

/** "jafm" in the header of the file, so that `file(1)` and others can tell what it is. */
const APPLICATION_ID = 0x6a61666d;

/** The migrations in order: sql/001-….sql and so on. */
const migrations: readonly (readonly [version: number, text: string])[] = Object.keys(sql)
  .filter((name) => /^\d{3}-/.test(name))
  .sort()
  .map((name) => [Number(name.slice(0, 3)), sql[name] ?? '']);

/** The newest schema this version knows. */
export const SCHEMA_VERSION: number = migrations.at(-1)?.[0] ?? 0;

const OURS: ReadonlySet<string> = new Set(['jaf_settings', 'conversations', 'messages', 'segments', 'operations', 'leftovers', 'bars']);

/** The schema a file has; 0 when none of our tables is there yet. */
function schemaOf(db: Database, path: string): { readonly version: number; readonly empty: boolean } {
  const tables = (db.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").all() as { name: string }[]).map(
    (t) => t.name,
  );
  if (tables.includes('jaf_schema')) {
    const { version } = db.prepare('SELECT coalesce(max(version), 0) AS version FROM jaf_schema').get() as { version: number };
    return { version, empty: false };
  }
  const taken = tables.find((name) => OURS.has(name.toLowerCase()));
  if (taken !== undefined) {
    throw pathError(
      path,
      `is a database of another application, which has a table "${taken}" of its own. Give the memory a file of its own.`,
    );
  }
  return { version: 0, empty: tables.length === 0 };
}

/**
 * Refuses what is not ours. Only reads.
 *
 * @param db - an open connection
 * @param path - the file, for errors
 * @throws MemoryConfigError: `schema_newer`, or the file belongs to another application
 */
export function checkOwnership(db: Database, path: string): void {
  refuseNewer(schemaOf(db, path).version, path);
}

/**
 * Brings a file to the newest schema; does nothing when it is there.
 *
 * @param db - an open connection
 * @param path - the file, for errors
 * @throws MemoryConfigError: `schema_newer`, or the file belongs to another application
 */
export function migrate(db: Database, path: string): void {
  if (refuseNewer(schemaOf(db, path).version, path) === SCHEMA_VERSION) return;
  db.exec('BEGIN IMMEDIATE');
  try {
    // again, behind the lock: another process may have migrated in between
    const { version, empty } = schemaOf(db, path);
    refuseNewer(version, path);
    db.exec('CREATE TABLE IF NOT EXISTS jaf_schema (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT');
    if (empty) db.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
    for (const [number, text] of migrations) {
      if (number <= version) continue;
      db.prepare('INSERT INTO jaf_schema (version, applied_at) VALUES (?1, ?2)').run(number, Date.now());
      db.exec(text);
    }
    db.prepare('INSERT OR IGNORE INTO jaf_settings (name, value) VALUES (?1, ?2)').run('key', randomBytes(32).toString('hex'));
    db.exec('COMMIT');
  } catch (error) {
    try {
      db.exec('ROLLBACK');
    } catch {
      // SQLite has rolled back by itself (full disk, I/O error); the first error is the one to report
    }
    throw error;
  }
}

function refuseNewer(version: number, path: string): number {
  if (version <= SCHEMA_VERSION) return version;
  throw pathError(
    path,
    `was written by a newer version of jaf (its schema is ${version}, this version knows ${SCHEMA_VERSION}). Upgrade the jaf package, or use another file.`,
    'schema_newer',
  );
}
