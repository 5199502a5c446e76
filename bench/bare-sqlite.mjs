// The least SQLite could do: one prepared INSERT per message, two in a transaction, WAL, synchronous = NORMAL.
const load = async () => {
  try {
    return await import('node:sqlite');
  } catch {
    return await import('@photostructure/sqlite');
  }
};

/** Opens a file with a bare table. */
export async function openBareSqlite(path) {
  const { DatabaseSync } = await load();
  const db = new DatabaseSync(path);
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE m (id INTEGER PRIMARY KEY, conversation TEXT NOT NULL, body TEXT NOT NULL)',
  );
  const insert = db.prepare('INSERT INTO m (conversation, body) VALUES (?, ?)');
  return {
    insert: (id, bodies) => {
      db.exec('BEGIN IMMEDIATE');
      for (const body of bodies) insert.run(id, body);
      db.exec('COMMIT');
    },
    close: () => {
      // the package for Node 20 closes the file only when its statements are collected as garbage
      db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      db.close();
    },
  };
}
