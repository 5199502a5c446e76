/**
 * `jaf-memory copy --from URL --to URL`: from one store to another, compared.
 *
 * @module
 */
import { type Command, Option } from 'commander';
import { copyConversations, type CopyReport } from '../../memory/backup-copy.js';
import { MemoryError } from '../../memory/errors.js';
import { parseProviderUrl } from '../../memory/factory.js';
import { describeProvider } from '../../memory/inspect.js';
import type { MemoryProviderConfig } from '../../memory/types.js';
import type { Output } from '../output.js';
import { addFilterOptions, type FilterOptions, readCount, readFilters } from '../query.js';
import { EXIT, report, type Run, UsageError } from '../session.js';
import { counted, printableLine } from '../text.js';

interface Options extends FilterOptions {
  readonly from?: string;
  readonly to?: string;
  readonly onConflict: 'skip' | 'replace' | 'fail';
  readonly verify: boolean;
  readonly concurrency: string;
}

/** Ids that are printed of each kind; the rest is counted. */
const SHOWN = 20;

const isLost = (config: MemoryProviderConfig): boolean =>
  config.type === 'memory' || (config.type === 'sqlite' && config.path === ':memory:');

function printIds(out: Output, title: string, ids: readonly string[]): void {
  if (ids.length === 0) return;
  out.prose(`${counted(ids.length, 'conversation')} ${title}:`);
  for (const id of ids.slice(0, SHOWN)) out.line(`  ${id}`);
  if (ids.length > SHOWN) out.line(`  and ${ids.length - SHOWN} more (--json prints all)`);
}

function conclude(out: Output, found: CopyReport, verified: boolean): number {
  if (out.json) out.value({ ...found, verified });
  else {
    out.prose(
      `${counted(found.copied, 'conversation')} copied, ${found.present} there already${verified ? ', each compared with its source' : ''}${found.gone > 0 ? `; ${found.gone} expired or removed meanwhile` : ''}.`,
    );
    printIds(out, 'in the target with other contents (--on-conflict replace replaces them)', found.different.map(printableLine));
    printIds(
      out,
      'written to meanwhile: the target has an earlier state (run it again with --on-conflict replace)',
      found.changed.map(printableLine),
    );
    printIds(
      out,
      'not copied',
      found.failed.map(({ conversationId, reason }) => `${printableLine(conversationId)}: ${printableLine(reason)}`),
    );
  }
  if (found.different.length > 0) return EXIT.findings;
  return found.changed.length > 0 || found.failed.length > 0 ? EXIT.partly : EXIT.ok;
}

/** Adds the command. */
export function registerCopy(program: Command, run: Run): void {
  const command = program
    .command('copy')
    .description('copy conversations from one store to another, and compare both sides')
    .option('--from <url>', 'where from (default: the configured store)')
    .option('--to <url>', 'where to; a file or tables that are not there are made')
    .addOption(
      new Option('--on-conflict <what>', 'of a conversation that is there with other contents: leave it, replace it, or count it as failed')
        .choices(['skip', 'replace', 'fail'])
        .default('skip'),
    )
    .option('--no-verify', 'do not read back and compare')
    .option('--concurrency <count>', 'conversations under way at the same time', '16');
  addFilterOptions(command)
    .addHelpText(
      'after',
      `
Times, owners, metadata, sequence numbers and expiry stay as they are. The source may be written to meanwhile: what changed
under the copy is named. It may be interrupted at any time: run it again, and what is there and equal is passed over.
A password in a URL is seen by everybody who may list processes: give the source by JAF_* variables, and passwords by
JAF_POSTGRES_PASSWORD or JAF_REDIS_PASSWORD.

Example:
  jaf-memory copy --from sqlite:./chat.db --to postgres://app@db/app`,
    )
    .action(
      run(async (session, options: Options) => {
        const { out, signal } = session;
        const query = readFilters(options);
        const concurrency = readCount(options.concurrency, '--concurrency', 1);
        if (options.to === undefined) throw new UsageError('say where to: --to sqlite:./other.db, redis://… or postgres://….');
        if (options.from !== undefined && session.explicit)
          throw new UsageError('--from and --provider both name the source. Give one of them.');
        if (options.from === undefined && !session.configured)
          throw new UsageError('say where from: --from sqlite:./chat.db, redis://… or postgres://…, or the JAF_* variables.');
        const source = options.from === undefined ? session.config() : parseProviderUrl(options.from);
        const target = parseProviderUrl(options.to);
        if (isLost(target)) throw new UsageError('--to is a store in memory: everything would be gone at the end. Name another.');
        const [a, b] = [describeProvider(source), describeProvider(target)];
        if (a.location === b.location && a.type === b.type) throw new UsageError(`--from and --to are the same store (${a.location}).`);
        const [from, to] = [await session.openOther(source, false), await session.openOther(target, true)];
        const total = Object.keys(query).length === 0 ? (await from.getStats()).totalConversations : undefined;
        const bar = total === undefined ? out.counting('conversations copied') : out.progress('copied', total);
        let done = 0;
        try {
          const found = await copyConversations(from, to, query, {
            onConflict: options.onConflict,
            verify: options.verify,
            concurrency,
            signal,
            onProgress: (count) => {
              done = count;
              bar.update(count);
            },
          });
          bar.stop();
          return conclude(out, found, options.verify);
        } catch (error) {
          bar.stop();
          if (done > 0 || signal.aborted)
            out.note(
              `${signal.aborted ? 'Interrupted' : 'Stopped'}: ${counted(done, 'conversation')} done. Run it again: what is there and equal is passed over.`,
            );
          const code = report(error, out, signal.aborted);
          return done > 0 && error instanceof MemoryError && error.retryable ? EXIT.partly : code;
        }
      }),
    );
}
