/**
 * Finds out what is there, and brings the schema of the layout `rows` up to date. Any number of processes may do this at
 * the same time: one takes the lock and works, the others find it done.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { MemoryConfigError } from '../../errors.js';
import type { Session } from './client.js';
import { isSane, sqlState } from './failures.js';
import { partitionOf, quoteName, quoteText, type StoreNames, tableOf, withNames } from './names.js';
import { textOf } from './records.js';
import { sql } from './sql.generated.js';

/** The migrations in order: sql/001-….sql and so on. */
const migrations: readonly (readonly [version: number, text: string])[] = Object.keys(sql)
  .filter((name) => /^\d{3}-/.test(name))
  .sort()
  .map((name) => [Number(name.slice(0, 3)), sql[name] ?? '']);

/** The newest schema this version knows. */
export const SCHEMA_VERSION: number = migrations.at(-1)?.[0] ?? 0;
/** `server_version_num` of the oldest server this works with. */
const OLDEST = 130_000;

const LEDGER = 'CREATE TABLE IF NOT EXISTS {migrations} (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())';

/** What a look at the database found. */
export interface Found {
  /** Of our schema; 0 when it is not there. */
  readonly version: number;
  /** Whether there is a table with the configured name that is not ours. */
  readonly foreign: boolean;
}

function fail(why: string, setting = 'tableName', code = 'config'): MemoryConfigError {
  return new MemoryConfigError(`createPostgresProvider "${setting}": ${why}`, { provider: 'postgres', setting, code });
}

/**
 * Looks at the database; writes nothing, fails on nothing that may be absent.
 *
 * @param query - a session
 * @param names - of the store
 * @throws MemoryConfigError for a server that cannot be used
 */
export async function look(query: Session, names: StoreNames): Promise<Found> {
  // reading a catalog makes the session notice what others have created meanwhile; to_regclass alone, or waiting for an
  // advisory lock, does not
  const [session] = await query('SELECT current_user::text AS role FROM pg_class LIMIT 1');
  try {
    return await lookAs(query, names);
  } catch (error) {
    if (sqlState(error) !== '42501') throw error;
    const role = quoteName(textOf(session?.['role']));
    throw fail(
      `role ${role} may not use the schema of ${tableOf(names)}, or read its tables. Run as an owner: ${names.schema === undefined ? '' : `GRANT USAGE ON SCHEMA ${quoteName(names.schema)} TO ${role}; `}GRANT SELECT, INSERT, UPDATE, DELETE on the tables of the store to ${role}; where there are none yet, run what "jaf-memory schema --role" prints.`,
    );
  }
}

async function lookAs(query: Session, names: StoreNames): Promise<Found> {
  const [row] = await query(
    `SELECT current_setting('server_version_num')::int AS server, current_setting('server_encoding') AS encoding,
      to_regclass($1) IS NOT NULL AS ledger, to_regclass($2) IS NOT NULL AS store`,
    [tableOf(names, 'migrations'), tableOf(names)],
  );
  if (Number(row?.['server']) < OLDEST)
    throw fail(`the server is PostgreSQL ${Math.floor(Number(row?.['server']) / 10_000)}; 13 or newer is needed.`, 'connectionString');
  if (row?.['encoding'] !== 'UTF8')
    throw fail(`the database is encoded in ${textOf(row?.['encoding'])}. Create one with ENCODING 'UTF8'.`, 'database');
  if (row?.['ledger'] !== true) return { version: 0, foreign: row?.['store'] === true };
  const [ledger] = await query(`SELECT coalesce(max(version), 0) AS version FROM ${tableOf(names, 'migrations')}`);
  return { version: Number(ledger?.['version']), foreign: false };
}

/**
 * The version, when this package can work with it.
 *
 * @throws MemoryConfigError (`schema_newer`)
 */
export function refuseNewer(version: number, names: StoreNames): number {
  if (version <= SCHEMA_VERSION) return version;
  throw fail(
    `the tables of ${tableOf(names)} were made by a newer version of jaf (their schema is ${version}, this version knows ${SCHEMA_VERSION}). Upgrade the jaf package, or use another table.`,
    'tableName',
    'schema_newer',
  );
}

/**
 * Whether the connection is in a transaction of the caller. Without parameters, so that it is one message: outside of a
 * transaction block both times are then those of its arrival.
 *
 * @param query - a session
 */
export async function isInTransaction(query: Session): Promise<boolean> {
  const [row] = await query('SELECT now() <> statement_timestamp() AS inside');
  return row?.['inside'] === true;
}

/**
 * Checks that the schema is there and current, without changing anything: for a caller's transaction.
 *
 * @throws MemoryConfigError saying what to do
 */
export async function checkSchema(query: Session, names: StoreNames): Promise<void> {
  const found = await look(query, names);
  refuseForeign(found, names);
  if (refuseNewer(found.version, names) === SCHEMA_VERSION) return;
  throw fail(
    `the tables of ${tableOf(names)} ${found.version === 0 ? 'do not exist' : 'have an older schema'}, and inside of a transaction nothing is created. Make the provider once outside of one, or run what "jaf-memory schema" prints.`,
  );
}

function refuseForeign(found: Found, names: StoreNames): void {
  if (!found.foreign) return;
  throw fail(
    `there is a table ${tableOf(names)} with another shape, which was not made by this package. Use another name; or, if it holds documents, leave "layout" out to use it as it is, or move it with "jaf-memory migrate --to rows".`,
  );
}

/**
 * Brings the schema up to date; does nothing when it is.
 *
 * @param query - a session of ours
 * @param names - of the store
 * @throws MemoryConfigError: `schema_newer`, a foreign table, or rights that are missing
 */
export async function migrate(query: Session, names: StoreNames): Promise<void> {
  const before = await look(query, names);
  refuseForeign(before, names);
  if (refuseNewer(before.version, names) === SCHEMA_VERSION) return;
  await query('BEGIN');
  try {
    await query('SET LOCAL statement_timeout = 0');
    await query('SET LOCAL lock_timeout = 0');
    await query('SET LOCAL client_min_messages = warning');
    // one for all stores: two may want to create the same schema
    await query("SELECT pg_advisory_xact_lock(hashtextextended('jaf:migrate', 0))");
    await apply(query, names);
    await query('COMMIT');
  } catch (error) {
    if (isSane(error) || error instanceof MemoryConfigError) await query('ROLLBACK');
    if (sqlState(error) !== '42501') throw error;
    throw await missingRight(query, names);
  }
}

async function apply(query: Session, names: StoreNames): Promise<void> {
  // again, behind the lock: another process may have migrated in between
  const found = await look(query, names);
  refuseForeign(found, names);
  if (refuseNewer(found.version, names) === SCHEMA_VERSION) return;
  if (names.schema !== undefined) {
    const [there] = await query('SELECT to_regnamespace($1) IS NOT NULL AS there', [quoteName(names.schema)]);
    if (there?.['there'] !== true) await query(`CREATE SCHEMA ${quoteName(names.schema)}`);
  }
  await query(withNames(LEDGER, names));
  for (const [version, text] of migrations) {
    if (version <= found.version) continue;
    await query(`INSERT INTO ${tableOf(names, 'migrations')} (version) VALUES ($1)`, [version]);
    await query(withNames(text, names));
  }
  await query(`INSERT INTO ${tableOf(names, 'settings')} (name, value) VALUES ('key', $1) ON CONFLICT (name) DO NOTHING`, [
    randomBytes(32).toString('hex'),
  ]);
}

/** Which right is missing to create the schema. */
async function missingRight(query: Session, names: StoreNames): Promise<MemoryConfigError> {
  const [row] = await query(
    `SELECT current_user::text AS role, current_database()::text AS database, coalesce($1, current_schema()::text) AS schema, to_regnamespace(quote_ident($1)) IS NOT NULL AS there`,
    [names.schema ?? null],
  );
  const role = quoteName(textOf(row?.['role']));
  const grant =
    names.schema !== undefined && row?.['there'] !== true
      ? `CREATE SCHEMA ${quoteName(names.schema)} AUTHORIZATION ${role}`
      : `GRANT USAGE, CREATE ON SCHEMA ${quoteName(textOf(row?.['schema']) || 'public')} TO ${role}`;
  return fail(
    `the tables of ${tableOf(names)} do not exist (or are older than this version), and role ${role} may not create them. Run as an owner: ${grant}; or the statements "jaf-memory schema" prints.`,
  );
}

/** A table that may be partitioned, as sql/ marks it. Storage parameters belong to its partitions. */
const PARTITIONED = /^-- partitions: (\w+)\nCREATE TABLE (\{\w+\}) \(\n([\s\S]*?)^\)( WITH \([^)]*\))?;/gm;

/** A migration with its marked tables hash partitioned by conversation; or, without a number, without the marks. */
function withPartitions(text: string, names: StoreNames, partitions: number | undefined): string {
  if (partitions === undefined) return text.replaceAll(/^-- partitions: \w+\n/gm, '');
  return text.replaceAll(PARTITIONED, (_, kind: string, table: string, columns: string, storage = '') => {
    const parts = Array.from({ length: partitions }, (__, n) => {
      const name = partitionOf(names, kind, n);
      return `CREATE TABLE ${name} PARTITION OF ${table} FOR VALUES WITH (MODULUS ${partitions}, REMAINDER ${n})${storage};`;
    });
    return `CREATE TABLE ${table} (\n${columns}) PARTITION BY HASH (conversation_id);\n${parts.join('\n')}`;
  });
}

/** The statement that makes the schema where it is missing: `IF NOT EXISTS` would ask for the right even where it is there. */
export function schemaStatement({ schema }: StoreNames): string[] {
  if (schema === undefined) return [];
  const name = quoteName(schema);
  return [`DO ${quoteText(`BEGIN IF to_regnamespace(${quoteText(name)}) IS NULL THEN CREATE SCHEMA ${name}; END IF; END`)};`];
}

/** The statement that gives a store its key, where it has none: 32 random bytes without an extension. */
export function keyStatement(names: StoreNames): string {
  return `INSERT INTO ${tableOf(names, 'settings')} (name, value)\n  VALUES ('key', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))\n  ON CONFLICT (name) DO NOTHING;`;
}

/**
 * The statements that make a new store in the layout `rows`: what `jaf-memory schema` prints.
 *
 * @param names - of the store
 * @param partitions - into how many hash partitions its tables are cut; absent = not at all
 */
export function schemaStatements(names: StoreNames, partitions?: number): string {
  return [
    ...schemaStatement(names),
    `${withNames(LEDGER, names)};`,
    ...migrations.map(
      ([version, text]) =>
        `INSERT INTO ${tableOf(names, 'migrations')} (version) VALUES (${version});\n${withNames(withPartitions(text, names, partitions), names).trimEnd()}`,
    ),
    keyStatement(names),
  ].join('\n\n');
}
