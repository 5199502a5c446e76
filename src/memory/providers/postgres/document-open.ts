/**
 * Finding a table of documents, and making one where it is asked for. Any number of processes may do this at the same time.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { MemoryConfigError } from '../../errors.js';
import type { PostgresConfig } from '../../types.js';
import type { Session } from './client.js';
import { type Shape, shapeOf } from './document-shape.js';
import { isSane, sqlState } from './failures.js';
import { look, refuseNewer } from './migrate.js';
import { quoteName, type StoreNames, tableOf, withNames } from './names.js';
import { Statements } from './statements.js';

function fail(why: string, setting = 'tableName'): MemoryConfigError {
  return new MemoryConfigError(`createPostgresProvider "${setting}": ${why}`, { provider: 'postgres', setting });
}

/** The statements that make a new table of documents, then those of the two small tables beside it. */
export function documentStatements(names: StoreNames): { readonly table: string; readonly beside: string } {
  const statements = new Statements(names);
  const index = (column: string): string => quoteName(`idx_${names.table}_${column}`);
  return {
    table: statements.get('documentTable', { userIndex: index('user_id'), createdIndex: index('created_at') }).text,
    beside: statements.get('documentBeside').text,
  };
}

/**
 * The shape of the table of documents, when there is one and the configuration allows it (`auto`, `document`), or when one
 * is asked for (`document`): then it is made.
 *
 * @param query - a session
 * @param names - of the store
 * @param layout - as configured
 * @param mayCreate - false inside of a caller's transaction
 * @returns undefined when the layout is `rows`
 * @throws MemoryConfigError saying what to do
 */
export async function openDocuments(
  query: Session,
  names: StoreNames,
  layout: PostgresConfig['layout'],
  mayCreate: boolean,
): Promise<Shape | undefined> {
  const before = await findStore(query, names, layout);
  if (before === 'rows' || before?.ready) return before === 'rows' ? undefined : before.shape;
  if (!before && layout !== 'document') return undefined;
  const { table, beside } = documentStatements(names);
  if (!mayCreate) {
    throw fail(
      `${tableOf(names)} or the tables beside it do not exist, and inside of a transaction nothing is created. Make the provider once outside of one, or run: ${beside}`,
    );
  }
  await query('BEGIN');
  try {
    await query('SET LOCAL statement_timeout = 0');
    await query('SET LOCAL client_min_messages = warning');
    // the one of ./migrate.ts: a table of either layout is made by one process
    await query("SELECT pg_advisory_xact_lock(hashtextextended('jaf:migrate', 0))");
    const found = await findStore(query, names, layout);
    if (found === 'rows')
      throw fail(`${tableOf(names)} was just made in the layout rows by another process. Set the same layout everywhere.`, 'layout');
    if (!found) {
      if (names.schema !== undefined) {
        const [there] = await query('SELECT to_regnamespace($1) IS NOT NULL AS there', [quoteName(names.schema)]);
        if (there?.['there'] !== true) await query(`CREATE SCHEMA ${quoteName(names.schema)}`);
      }
      await query(table);
    }
    if (!found?.ready) {
      await query(beside);
      await query(withNames("INSERT INTO {settings} (name, value) VALUES ('key', $1) ON CONFLICT (name) DO NOTHING", names), [
        randomBytes(32).toString('hex'),
      ]);
    }
    await query('COMMIT');
    return found?.shape ?? 'document';
  } catch (error) {
    if (isSane(error) || error instanceof MemoryConfigError) await query('ROLLBACK');
    if (sqlState(error) !== '42501') throw error;
    throw fail(
      `the role may not create what is missing. Run as an owner: ${before ? '' : `${table} `}${beside} INSERT INTO ${tableOf(names, 'settings')} (name, value) VALUES ('key', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')); and GRANT SELECT, INSERT, UPDATE, DELETE on these tables, and USAGE on the sequence of "id", to the role ("jaf-memory schema --layout document --role" prints all of it).`,
    );
  }
}

/**
 * What is there: tables of the other layout, or documents, `ready` when the tables beside them are there too. Writes nothing.
 *
 * @param query - a session
 * @param names - of the store
 * @param layout - as configured
 * @returns undefined when there is nothing
 * @throws MemoryConfigError for a table that is not ours, a newer schema, or another layout than the configured one
 */
export async function findStore(
  query: Session,
  names: StoreNames,
  layout: PostgresConfig['layout'],
): Promise<'rows' | { readonly shape: Shape; readonly ready: boolean } | undefined> {
  const { version, foreign } = await look(query, names);
  if (!foreign) {
    refuseNewer(version, names);
    if (version > 0 && layout === 'document')
      throw fail(`${tableOf(names)} has the layout rows. Leave the setting out, or use another table.`, 'layout');
    return version > 0 ? 'rows' : undefined;
  }
  const columns = await query(
    'SELECT attname::text AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped',
    [tableOf(names)],
  );
  const shape = shapeOf(columns.map((row) => String(row['name'])));
  if (shape && layout === 'rows') {
    throw fail(
      `${tableOf(names)} holds conversations as documents. Leave the setting out to use it as it is, or run: jaf-memory migrate --to rows`,
      'layout',
    );
  }
  if (!shape) throw fail(`there is a table ${tableOf(names)} with another shape, which was not made by this package. Use another name.`);
  const [beside] = await query('SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL AS ready', [
    tableOf(names, 'settings'),
    tableOf(names, 'bars'),
  ]);
  return { shape, ready: beside?.['ready'] === true };
}
