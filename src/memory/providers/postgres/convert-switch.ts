/**
 * The names of a move from documents to the layout `rows`, and the moment in which the new tables take them.
 *
 * @module
 */
import { MemoryConfigError } from '../../errors.js';
import type { Session } from './client.js';
import { sqlState } from './failures.js';
import { keyStatement } from './migrate.js';
import { derivedName, quoteName, type StoreNames, SUFFIXES, tableOf, tablesOf } from './names.js';
import { textOf } from './records.js';
import type { Statements } from './statements.js';

/** Bytes PostgreSQL keeps of a name, and those that leave room for our suffixes. */
const LONGEST = 63;
const STAGING = 48;

/** Tables with the same shape in both layouts: they stay. */
const SHARED = ['settings', 'bars'] as const;

/** Setting of a store that was moved: the table it was moved from. */
const ORIGIN = 'moved_from';

/** The names a move works with, all in one schema. */
export interface MoveNames {
  /** The table of documents, and afterwards the store. */
  readonly final: StoreNames & { readonly schema: string };
  /** The new tables until then. */
  readonly staging: StoreNames;
  /** What was copied; quoted. */
  readonly copied: string;
  /** The table of documents afterwards; not quoted. */
  readonly old: string;
}

/** The names of a move. */
export function moveNames(schema: string, table: string): MoveNames {
  const staging = { schema, table: derivedName(table, '_jaf_new', STAGING) };
  return {
    final: { schema, table },
    staging,
    copied: tableOf({ schema, table: `${staging.table}_copied` }),
    old: derivedName(table, '_before_jaf_rows', LONGEST),
  };
}

/** A reason why nothing can be moved. */
export function moveFailure(why: string): MemoryConfigError {
  return new MemoryConfigError(`migrate: ${why}`, { provider: 'postgres', setting: 'tableName' });
}

async function exists(query: Session, table: string): Promise<boolean> {
  const [row] = await query('SELECT to_regclass($1) IS NOT NULL AS there', [table]);
  return row?.['there'] === true;
}

/**
 * Checks that the small tables beside the documents, where there are any, are in their schema: `search_path` may have led
 * a provider to make them elsewhere, and with them bars and the key would be left behind.
 *
 * @throws MemoryConfigError naming the table
 */
export async function checkBeside(query: Session, configured: StoreNames, { final }: MoveNames): Promise<void> {
  for (const suffix of SHARED) {
    if ((await exists(query, tableOf(configured, suffix))) && !(await exists(query, tableOf(final, suffix)))) {
      throw moveFailure(
        `${tableOf(configured, suffix)} is not in the schema of ${tableOf(final)}. Run: ALTER TABLE ${tableOf(configured, suffix)} SET SCHEMA ${quoteName(final.schema)}`,
      );
    }
  }
}

/**
 * Checks that nothing has the names the new tables will take.
 *
 * @throws MemoryConfigError naming what is in the way
 */
export async function checkNames(query: Session, { final, old }: MoveNames): Promise<void> {
  const before = tableOf({ ...final, table: old });
  if (await exists(query, before)) {
    throw moveFailure(`${before} is there already, from an earlier move. Rename it, or drop it if nobody needs it, and run this again.`);
  }
  const kept = new Set([tableOf(final), ...SHARED.map((suffix) => tableOf(final, suffix))]);
  for (const table of [...tablesOf(final), tableOf(final, 'documents')]) {
    if (!kept.has(table) && (await exists(query, table))) {
      throw moveFailure(`${table} is there already and is not ours, and the layout rows needs that name. Rename it.`);
    }
  }
}

/** The new tables go, wherever a move stands that was not finished. */
export async function dropStaging(query: Session, { staging, copied }: MoveNames): Promise<void> {
  await query(`DROP TABLE IF EXISTS ${[copied, ...tablesOf(staging)].join(', ')} CASCADE`);
}

/**
 * Gives the new tables their names and the old one another; inside of a transaction that holds the table of documents
 * alone. Whoever waits for it will look its name up again and find the new one.
 *
 * @param query - a session with an open transaction
 * @param names - of the move
 * @param statements - with the names of the table of documents
 * @param owner - of the table of documents
 */
export async function switchOver(query: Session, names: MoveNames, statements: Statements, owner: string): Promise<void> {
  const { final, staging, old, copied } = names;
  const rights = await query(statements.get('convertRights').text, [tableOf(final)]);
  await query(`DROP TABLE ${copied}`);
  for (const suffix of SHARED) if (await exists(query, tableOf(final, suffix))) await query(`DROP TABLE ${tableOf(staging, suffix)}`);

  const tables = [...tablesOf(staging), tableOf(final)];
  const indexes = await query(statements.get('convertIndexes').text, [tables, tableOf(final)]);
  const newNames = new Map(
    indexes
      .filter((row) => row['source'] !== true && textOf(row['name']).startsWith(staging.table))
      .map((row) => [textOf(row['quoted']), final.table + textOf(row['name']).slice(staging.table.length)]),
  );
  const taken = new Set(newNames.values());
  // the old table's own first: its primary key may have the name of the new one's
  for (const row of indexes) {
    const name = textOf(row['name']);
    if (row['source'] !== true || !taken.has(name)) continue;
    await query(`ALTER INDEX ${textOf(row['quoted'])} RENAME TO ${quoteName(derivedName(old, name.slice(final.table.length), LONGEST))}`);
  }
  await query(`ALTER TABLE ${tableOf(final)} RENAME TO ${quoteName(old)}`);
  for (const [index, name] of newNames) await query(`ALTER INDEX ${index} RENAME TO ${quoteName(name)}`);
  const made: string[] = [];
  for (const suffix of [undefined, ...SUFFIXES]) {
    const table = tableOf(staging, suffix);
    if (!(await exists(query, table))) continue; // a shared one that was there
    await query(`ALTER TABLE ${table} RENAME TO ${quoteName(suffix === undefined ? final.table : `${final.table}_${suffix}`)}`);
    made.push(tableOf(final, suffix));
  }
  const view = tableOf(final, 'documents');
  await query(`ALTER VIEW ${tableOf(staging, 'documents')} RENAME TO ${quoteName(`${final.table}_documents`)}`);
  await query(keyStatement(final));
  await query(
    `INSERT INTO ${tableOf(final, 'settings')} (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    [ORIGIN, old],
  );
  // who could use the documents can use the store; who could only read them does not get its key
  for (const row of rights) {
    const granted = textOf(row['rights']);
    const writes = /INSERT|UPDATE|DELETE/.test(granted);
    const open = writes ? made : made.filter((table) => table !== tableOf(final, 'settings'));
    await query(`GRANT ${granted} ON ${open.join(', ')} TO ${textOf(row['role'])}`);
    if (granted.includes('SELECT')) await query(`GRANT SELECT ON ${view} TO ${textOf(row['role'])}`);
  }
  const [session] = await query('SELECT current_user::text AS role');
  if (session?.['role'] === owner) return;
  try {
    for (const table of made) await query(`ALTER TABLE ${table} OWNER TO ${quoteName(owner)}`);
    await query(`ALTER VIEW ${view} OWNER TO ${quoteName(owner)}`);
  } catch (error) {
    if (sqlState(error) !== '42501') throw error;
    throw moveFailure(
      `the new tables cannot be given to ${quoteName(owner)}, the owner of the old one: GRANT CREATE ON SCHEMA ${quoteName(final.schema)} TO ${quoteName(owner)}, or run this as that role.`,
    );
  }
}

/** What became of the old table of a store. */
export type Dropped = { readonly table: string; readonly dropped: boolean } | undefined;

/**
 * Drops the table of documents a store was moved from.
 *
 * @param query - a session
 * @param names - of the store, in the layout `rows`
 * @returns the table, and whether it was there; undefined when the store was not moved, or it was dropped before
 */
export async function dropOrigin(query: Session, names: StoreNames): Promise<Dropped> {
  const settings = tableOf(names, 'settings');
  const [row] = await query(`SELECT value FROM ${settings} WHERE name = $1`, [ORIGIN]);
  if (!row) return undefined;
  const table = tableOf({ ...names, table: textOf(row['value']) });
  const there = await exists(query, table);
  await query('BEGIN');
  await query(`DROP TABLE IF EXISTS ${table}`);
  await query(`DELETE FROM ${settings} WHERE name = $1`, [ORIGIN]);
  await query('COMMIT');
  return { table, dropped: there };
}
