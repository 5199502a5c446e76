/**
 * The SQLite driver as a backend of the kit.
 *
 * @module
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, loadSqlite } from '../../providers/sqlite/client.js';
import { createSqliteDriver } from '../../providers/sqlite/driver.js';
import { fail } from '../assert.js';
import type { Backend } from '../backend.js';

/** The SQLite driver on a file of its own for each case, in the folder for temporary files. */
export function sqliteBackend(): Backend {
  let folder: string | undefined;
  const path = (): string => (folder === undefined ? fail('sqlite: create comes first') : join(folder, 'store.db'));
  return {
    name: 'sqlite',
    capabilities: ['persistent', 'shared', 'bodies'],
    create: async (clock) => {
      folder = await mkdtemp(join(tmpdir(), 'jaf-conformance-'));
      return createSqliteDriver({ path: path(), clock: clock.now });
    },
    reopen: async (clock) => createSqliteDriver({ path: path(), clock: clock.now }),
    bodies: async () => {
      const db = connect(await loadSqlite(), path());
      try {
        const row = db
          .prepare('SELECT (SELECT coalesce(sum(next - (id & 4294967295)), 0) FROM messages) + (SELECT count(*) FROM segments) AS n')
          .get();
        return Number((row as { readonly n: unknown }).n);
      } finally {
        db.close();
      }
    },
    destroy: async () => {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
      folder = undefined;
    },
  };
}
