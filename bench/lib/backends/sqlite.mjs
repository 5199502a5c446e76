// SQLite: the provider in both durabilities, and prepared statements on a bare table, two INSERTs in a transaction.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSqliteProvider } from 'jaf/memory';
import { jafStore, PATIENT } from './jaf.mjs';

const load = async () => {
  try {
    return await import('node:sqlite');
  } catch {
    return await import('@photostructure/sqlite');
  }
};

/** Opens the backend: files in a folder of their own. */
export async function openSqlite() {
  const folder = mkdtempSync(join(tmpdir(), 'jaf-bench-'));
  const { DatabaseSync } = await load();
  let files = 0;
  const file = () => join(folder, `${++files}.db`);
  const provided = (durability) => async (options) => {
    const path = file();
    return { ...jafStore(await createSqliteProvider({ path, durability, sweep: false, ...PATIENT, ...options })), path };
  };
  const probe = new DatabaseSync(':memory:');
  const { version } = probe.prepare('SELECT sqlite_version() AS version').get();
  probe.close();
  return {
    provider: 'sqlite',
    versions: { SQLite: version },
    DatabaseSync,
    /** A database in a file of its own, set up as the bare stores are. */
    bareFile: () => {
      const db = new DatabaseSync(file());
      db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
      return db;
    },
    jaf: { 'jaf (normal)': provided('normal'), 'jaf (full)': provided('full') },
    bare: {
      'bare INSERT (normal)': () => bareTable(DatabaseSync, file(), 'NORMAL'),
      'bare INSERT (full)': () => bareTable(DatabaseSync, file(), 'FULL'),
    },
    settle: async () => undefined,
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function bareTable(DatabaseSync, path, synchronous) {
  const db = new DatabaseSync(path);
  db.exec(
    `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous};` +
      'CREATE TABLE m (id TEXT NOT NULL, n INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (id, n)) WITHOUT ROWID',
  );
  const insert = db.prepare('INSERT INTO m VALUES (?, ?, ?)');
  const last = db.prepare('SELECT body FROM m WHERE id = ? ORDER BY n DESC LIMIT ?');
  const all = db.prepare('SELECT body FROM m WHERE id = ? ORDER BY n');
  const next = new Map();
  const add = async (id, messages) => {
    let n = next.get(id) ?? 0;
    db.exec('BEGIN IMMEDIATE');
    for (const message of messages) insert.run(id, n++, JSON.stringify(message));
    db.exec('COMMIT');
    next.set(id, n);
  };
  return {
    path,
    fill: add,
    append: add,
    recent: async (id, limit) =>
      last
        .all(id, limit)
        .reverse()
        .map(({ body }) => JSON.parse(body)),
    whole: async (id) => all.all(id).map(({ body }) => JSON.parse(body)),
    count: async (id) => db.prepare('SELECT count(*) AS n FROM m WHERE id = ?').get(id).n,
    close: async () => db.close(),
  };
}
