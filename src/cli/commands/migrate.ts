/**
 * `jaf-memory migrate`: moves a store to another layout.
 *
 * @module
 */
import type { Command } from 'commander';
import { MemoryError } from '../../memory/errors.js';
import type { ConvertReport } from '../../memory/providers/postgres/convert-move.js';
import type { PostgresConfig } from '../../memory/types.js';
import type { Output, Progress } from '../output.js';
import { EXIT, report, type Run, type Session, UsageError } from '../session.js';
import { namesOf, type TableOptions } from '../store-names.js';
import { bytesText, counted, printableLine, wrap } from '../text.js';
import { migrateRedis } from './migrate-redis.js';

interface Options extends TableOptions {
  readonly to?: string;
  readonly batch?: string;
  readonly dryRun?: true;
  readonly dropOld?: true;
  readonly removeSource?: true;
}

const BATCH = 100;
const MOST_BATCH = 10_000;
/** What can be done, by type of store. */
const POSSIBLE = {
  postgres:
    '--to rows moves a PostgreSQL table of documents to the layout rows (first with --dry-run, if you like), --drop-old drops the old table afterwards',
  redis: '--to lists converts what earlier versions stored in Redis, one text for each conversation (first with --dry-run, if you like)',
};
const LAYOUTS: Readonly<Record<string, keyof typeof POSSIBLE>> = { rows: 'postgres', lists: 'redis' };

function batchOf(text: string | undefined): number {
  if (text === undefined) return BATCH;
  const batch = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (batch >= 1 && batch <= MOST_BATCH) return batch;
  throw new UsageError(`--batch must be an integer from 1 to ${MOST_BATCH}, got ${JSON.stringify(text.slice(0, 60))}.`);
}

/** A bar for each of the two passes. */
class Passes {
  readonly #out: Output;
  #shown: { readonly stage: string; readonly progress: Progress } | undefined;

  constructor(out: Output) {
    this.#out = out;
  }

  update(stage: 'copy' | 'verify', done: number, total: number): void {
    if (this.#shown?.stage !== stage) {
      this.stop();
      this.#shown = { stage, progress: this.#out.progress(stage === 'copy' ? 'copied' : 'verified', total) };
    }
    this.#shown.progress.update(done);
  }

  stop(): void {
    this.#shown?.progress.stop();
    this.#shown = undefined;
  }
}

/** Ids shown; the rest is counted. */
const SHOWN = 20;

function printIds(out: Output, ids: readonly string[]): void {
  for (const id of ids.slice(0, SHOWN)) out.line(`  ${printableLine(id)}`);
  if (ids.length > SHOWN) out.line(`  and ${ids.length - SHOWN} more (--json prints all)`);
}

/** The rows of a table of documents that a report counts. */
function contents({ documents, tombstones, messages, bytes }: ConvertReport): string {
  const deleted = tombstones === 0 ? '' : `, ${counted(tombstones, 'deleted one')} not yet forgotten`;
  return `${counted(documents - tombstones, 'conversation')}${deleted}, ${counted(messages, 'message')}, ${bytesText(bytes)}`;
}

/** Prints what a move came to, and says with which code to exit. */
function conclude(out: Output, found: ConvertReport, seconds: number): number {
  const { state, table, documents, copied, different, unreadable, old } = found;
  if (out.json) out.value({ ...found, seconds });
  const print = (text: string): void => {
    if (!out.json) for (const line of wrap(text, out.width)) out.line(line);
  };
  switch (state) {
    case 'already':
      print(`${table} has the layout rows already: there is nothing to do.`);
      return EXIT.ok;
    case 'planned':
      print(`${table} is a table of documents (shape: ${found.shape ?? ''}): ${contents(found)}.`);
      if (found.expired > 0) print(`${counted(found.expired, 'conversation')} of them expired, and will be moved as such.`);
      if (found.found > 0) print(`${counted(found.found, 'document')} copied by an earlier run.`);
      if (found.others) print(`Columns that would stay with the old table: ${printableLine(found.others.join(', '))}.`);
      print(`A move would keep the old table as ${old ?? ''}. Nothing was changed.`);
      return EXIT.ok;
    case 'moved':
      print(`${table} has the layout rows now: ${contents(found)}; every copy was compared with its document.`);
      print(
        `${counted(copied, 'document')} copied in ${seconds.toFixed(1)} s${found.found > 0 ? `, ${found.found} by earlier runs` : ''}.`,
      );
      if (found.others) print(`Columns that stay with the old table: ${printableLine(found.others.join(', '))}.`);
      print(`The old table is kept as ${old ?? ''}. Start the programs again; when all is well: jaf-memory migrate --drop-old`);
      return EXIT.ok;
    case 'interrupted':
      out.note(
        `Interrupted. ${counted(copied + found.found, 'document')} of ${documents} are copied, and nothing else was changed: run it again to go on.`,
      );
      return EXIT.interrupted;
    case 'busy':
      out.error(
        `others keep writing to ${table}, or hold it: nothing was switched over. Stop them, and run this again: what was copied stays.`,
        {
          code: 'busy',
        },
      );
      return EXIT.partly;
    case 'different':
      print(`${counted(different.length, 'copy').replace(/copys$/, 'copies')} of ${table} not as the documents are:`);
      if (!out.json) printIds(out, different);
      out.error('copies differ from their documents, and nothing was switched over. Run this again: they are copied again.', {
        code: 'different',
      });
      return EXIT.findings;
    case 'unreadable':
      print(`${counted(unreadable.length, 'document')} of ${table} cannot be understood:`);
      if (!out.json) printIds(out, unreadable);
      out.error(
        'documents whose messages are not an array, or were damaged by another program, cannot be moved. Correct or delete them, and run this again.',
        {
          code: 'unreadable',
        },
      );
      return EXIT.findings;
  }
}

async function migratePostgres(session: Session, config: PostgresConfig, options: Options): Promise<number> {
  const { out, signal } = session;
  const names = namesOf(options, { type: 'postgres', ...config });
  const batch = batchOf(options.batch);
  const { convertDocuments, dropDocuments, withPostgres } = await import('../../memory/providers/postgres/convert.js');
  if (options.dropOld) {
    const dropped = await withPostgres(config, (query) => dropDocuments(query, names));
    if (out.json) out.value({ dropped: dropped?.dropped ?? false, table: dropped?.table ?? null });
    else if (!dropped) out.line('There is no old table: it was dropped before, or the store was never moved.');
    else out.line(dropped.dropped ? `Dropped ${dropped.table}.` : `${dropped.table} was gone already.`);
    return EXIT.ok;
  }
  const passes = new Passes(out);
  const started = performance.now();
  let begun = false;
  try {
    const found = await withPostgres(config, (query) =>
      convertDocuments(query, names, {
        batch,
        dryRun: options.dryRun ?? false,
        signal,
        onProgress: (stage, done, total) => {
          begun = true;
          passes.update(stage, done, total);
        },
      }),
    );
    passes.stop();
    return conclude(out, found, (performance.now() - started) / 1000);
  } catch (error) {
    passes.stop();
    const code = report(error, out, signal.aborted);
    // what was copied stays, and the next run goes on
    return begun && code === EXIT.connection && error instanceof MemoryError && error.retryable ? EXIT.partly : code;
  }
}

function checkOptions(options: Options): void {
  const possible = Object.values(POSSIBLE).join('; ');
  const { to } = options;
  if (to === undefined && !options.dropOld) throw new UsageError(`say what to do: ${possible}.`);
  if (to !== undefined && !Object.hasOwn(LAYOUTS, to)) {
    throw new UsageError(`--to must be "rows" or "lists", got ${JSON.stringify(to.slice(0, 60))}: ${possible}.`);
  }
  if (to !== undefined && options.dropOld) {
    throw new UsageError('--drop-old is a step of its own: move first, look at the result, then drop the old table.');
  }
  if (options.dryRun && options.dropOld) throw new UsageError('--dry-run belongs to --to.');
}

/** What was typed must fit the store: nothing that has no effect is accepted in silence. */
function checkFit(type: string, options: Options): void {
  const { to } = options;
  const possible = Object.values(POSSIBLE).join('; ');
  if (!Object.hasOwn(POSSIBLE, type)) throw new UsageError(`a store of type ${type} has no other layout: ${possible}.`);
  if (to !== undefined && LAYOUTS[to] !== type) throw new UsageError(`a store of type ${type} cannot have the layout ${to}: ${possible}.`);
  const strange = (
    type === 'redis'
      ? ([
          ['--drop-old', options.dropOld],
          ['--batch', options.batch],
          ['--table', options.table],
          ['--schema', options.schema],
        ] as const)
      : ([['--remove-source', options.removeSource]] as const)
  ).find(([, given]) => given !== undefined);
  if (strange) throw new UsageError(`${strange[0]} has no meaning with a store of type ${type}.`);
}

/** Adds the command. */
export function registerMigrate(program: Command, run: Run): void {
  program
    .command('migrate')
    .description('move a store to another layout, or convert what earlier versions stored')
    .option('--to <layout>', 'rows: from a PostgreSQL table of documents. lists: what earlier versions stored in Redis')
    .option('--dry-run', 'count, and say what would happen')
    .option('--remove-source', 'Redis: remove each converted text, if nobody wrote to it meanwhile')
    .option('--drop-old', 'PostgreSQL: drop the table a finished move left; no further question')
    .option('--batch <n>', `PostgreSQL: conversations of one transaction (default: ${BATCH})`)
    .option('--table <name>', 'PostgreSQL: table, or schema.table (default: that of the configured store, else conversations)')
    .option('--schema <name>', 'PostgreSQL: schema (default: that of the configured store, else what search_path says)')
    .addHelpText(
      'after',
      '\nPostgreSQL: the new tables are filled beside the old one, and every copy is compared; then they take its name, and\nthe old one is kept as <table>_before_jaf_rows. Redis: each conversation is put into the store under the same prefix if\nit is not there, and compared. Stop the programs that write the old form before. It may be interrupted at any time;\nrun it again, and it goes on.',
    )
    .action(
      run(async (session, options: Options) => {
        checkOptions(options);
        const config = session.config();
        checkFit(config.type, options);
        // a backend with something to move has its case here
        switch (config.type) {
          case 'postgres': {
            const { type: _type, ...own } = config;
            return await migratePostgres(session, own, options);
          }
          case 'redis': {
            const { type: _type, ...own } = config;
            return await migrateRedis(session, own, { dryRun: options.dryRun ?? false, removeSource: options.removeSource ?? false });
          }
          default:
            throw new UsageError(`a store of type ${config.type} has no other layout.`);
        }
      }),
    );
}
