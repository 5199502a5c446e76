/**
 * Moves a table of documents to the layout `rows`, beside the programs that use it: the new tables are filled and checked
 * under other names, then take over in one short transaction. For the command line only.
 *
 * What others see: until the switch the table of documents, as ever, and whatever they write to it is copied again; during
 * the switch they wait; afterwards the name is that of the new table of headers, and a program that expects documents fails.
 *
 * @module
 */
import { checkPostgresConfig } from '../../config.js';
import { DEADLINE } from '../../core.js';
import { MemoryConfigError } from '../../errors.js';
import { errorOf } from '../../retry.js';
import type { PostgresConfig } from '../../types.js';
import type { Session } from './client.js';
import { type ConvertOptions, type ConvertReport, Move, NOTHING } from './convert-move.js';
import { checkBeside, checkNames, dropOrigin, type Dropped, moveFailure, moveNames } from './convert-switch.js';
import { shapeOf } from './document-shape.js';
import { classify, sqlState } from './failures.js';
import { look } from './migrate.js';
import { quoteName, type StoreNames, tableOf } from './names.js';
import { ownPool } from './pool.js';
import { textOf } from './records.js';
import { Statements } from './statements.js';

/** Milliseconds to wait for another move: that of a process that was killed ends with its connection. */
const OTHER_MS = 10_000;
/** Milliseconds: a day's work must not be cut off. */
const NO_LIMIT = 2_147_483_647;

/** Columns of the three shapes. */
const COLUMNS: ReadonlySet<string> = new Set([
  'id',
  'conversation_id',
  'user_id',
  'messages',
  'metadata',
  'created_at',
  'updated_at',
  'last_activity',
]);

/**
 * Connects, and ends the connection with the work.
 *
 * @param config - of the store
 * @param work - on one connection without time limits
 * @throws MemoryError: of ours as it is, everything else as what it means
 */
export async function withPostgres<T>(config: PostgresConfig, work: (query: Session) => Promise<T>): Promise<T> {
  const checked = checkPostgresConfig(config, { operation: 'migrate' });
  const deadline = checked.deadline ?? DEADLINE;
  try {
    const connections = await ownPool({ ...checked, poolMinSize: 0, poolMaxSize: 1 }, deadline, false);
    try {
      connections.expectWalks();
      await connections.warmUp({ timeout: deadline });
      return await connections.session(
        async (query) => {
          for (const setting of ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'])
            await query(`SET ${setting} = 0`);
          await query('SET client_min_messages = warning');
          return await work(query);
        },
        { timeout: NO_LIMIT },
      );
    } finally {
      await connections.close();
    }
  } catch (error) {
    if (error instanceof MemoryConfigError) throw error;
    throw errorOf({ provider: 'postgres', operation: 'migrate' }, classify(error), false);
  }
}

/**
 * Drops the table of documents that a finished move left.
 *
 * @param query - a session
 * @param names - of the store
 * @returns undefined when there is none
 * @throws MemoryConfigError when the store was not moved yet
 */
export async function dropDocuments(query: Session, names: StoreNames): Promise<Dropped> {
  const { version, foreign } = await look(query, names);
  if (foreign)
    throw moveFailure(
      `${tableOf(names)} was not moved to the layout rows yet, so there is nothing to drop. Run "jaf-memory migrate --to rows" first.`,
    );
  if (version === 0) throw moveFailure(`there is no table ${tableOf(names)}. Name it with --table, or set JAF_POSTGRES_TABLE_NAME.`);
  try {
    return await dropOrigin(query, names);
  } catch (error) {
    if (sqlState(error) !== '2BP01') throw error;
    throw moveFailure(`other objects (views, foreign keys) need the old table of ${tableOf(names)}. Drop them first.`);
  }
}

/**
 * Moves a table of documents to the layout `rows`, or goes on with it.
 *
 * @param query - a session without time limits
 * @param configured - names of the store
 * @param options - see {@link ConvertOptions}
 * @throws MemoryConfigError when it cannot be done, saying why; failures of the database as they are
 */
export async function convertDocuments(query: Session, configured: StoreNames, options: ConvertOptions): Promise<ConvertReport> {
  const found = await look(query, configured);
  const table = tableOf(configured);
  if (!found.foreign) {
    if (found.version > 0) return { ...NOTHING, state: 'already', table };
    throw moveFailure(`there is no table ${table}. Name it with --table, or set JAF_POSTGRES_TABLE_NAME.`);
  }
  const [place] = await query(new Statements(configured).get('convertSchema').text, [table]);
  const columns = await query(
    'SELECT attname::text AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped',
    [table],
  );
  const shape = shapeOf(columns.map((row) => textOf(row['name'])));
  if (!shape || place?.['kind'] !== 'r') throw moveFailure(`${table} is not a table of documents: it has another shape.`);
  if (place['secured'] === true) {
    throw moveFailure(
      `${table} has row security, and its policies would not hold for the new tables. Disable it (ALTER TABLE … DISABLE ROW LEVEL SECURITY), move, and write new policies.`,
    );
  }
  if (place['own'] !== true) {
    throw moveFailure(
      `only the owner of ${table} can rename it: connect as ${quoteName(textOf(place['owner']))}, or as a member of that role.`,
    );
  }
  const names = moveNames(textOf(place['schema']), configured.table);
  await checkBeside(query, configured, names);
  await checkNames(query, names);
  const others = columns.map((row) => textOf(row['name'])).filter((name) => !COLUMNS.has(name));
  const move = new Move(query, names, { shape, owner: textOf(place['owner']), others }, options);
  if (options.dryRun) return await move.plan();
  await takeTurn(query, `jaf:convert:${tableOf(names.final)}`);
  // the one before may have finished
  return (await look(query, configured)).foreign ? await move.make() : { ...NOTHING, state: 'already', table };
}

/** One move of a table at a time. */
async function takeTurn(query: Session, name: string): Promise<void> {
  for (const end = Date.now() + OTHER_MS; ; ) {
    const [row] = await query('SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken', [name]);
    if (row?.['taken'] === true) return;
    if (Date.now() > end) throw moveFailure('another process is moving this table. Let it finish, or end it, and run this again.');
    await query('SELECT pg_sleep(0.2)');
  }
}
