/**
 * `jaf-memory import FILE`: what `export` wrote, into a store.
 *
 * @module
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { importRecords, type ImportReport } from '../../memory/backup-import.js';
import { MAX_LINE } from '../../memory/backup-lines.js';
import { MemoryError } from '../../memory/errors.js';
import { unpacked } from '../compression.js';
import { linesOf } from '../lines.js';
import type { Output, Progress } from '../output.js';
import { fileError } from '../partial-file.js';
import { readCount } from '../query.js';
import { EXIT, report, type Run, UsageError } from '../session.js';
import { counted, printableLine } from '../text.js';

interface Options {
  readonly onConflict: 'skip' | 'replace' | 'fail';
  readonly concurrency: string;
  readonly maxLine?: string;
}

/** Bytes read at a time: what they unpack to is held in memory. */
const CHUNK = 32_768;
const MB = 1_000_000;
/** Failures that are printed; the rest is counted. */
const SHOWN = 20;

/** Bytes of a file as they are read, with progress where the size is known. */
async function* bytesOf(file: string, onBytes: (bytes: number) => void, signal: AbortSignal): AsyncGenerator<Buffer> {
  const input = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: CHUNK });
  const stop = (): void => {
    input.destroy();
  };
  signal.addEventListener('abort', stop, { once: true });
  let bytes = 0;
  try {
    for await (const chunk of input) {
      bytes += (chunk as Buffer).length;
      onBytes(bytes);
      yield chunk as Buffer;
    }
  } catch (error) {
    if (!signal.aborted) throw fileError(`read ${JSON.stringify(file)}`, error);
  } finally {
    signal.removeEventListener('abort', stop);
    input.destroy();
  }
}

/** The size of what can be read from the beginning. @throws UsageError */
async function sizeOf(file: string): Promise<number | undefined> {
  if (file === '-') return undefined;
  try {
    const found = await stat(file);
    if (found.isDirectory()) throw new UsageError(`read ${JSON.stringify(file)}: it is a folder. Name a file.`);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    throw fileError(`read ${JSON.stringify(file)}`, error);
  }
}

function printFailures(out: Output, { failed }: ImportReport, onConflict: Options['onConflict']): void {
  for (const { line, reason } of failed.slice(0, SHOWN)) out.line(`  line ${line}: ${printableLine(reason)}`);
  if (failed.length > SHOWN) out.line(`  and ${failed.length - SHOWN} more (--json prints all)`);
  if (onConflict === 'fail' && failed.some(({ reason }) => reason === 'the conversation exists'))
    out.note('--on-conflict skip leaves conversations that exist as they are, replace replaces them.');
}

/** Adds the command. */
export function registerImport(program: Command, run: Run): void {
  program
    .command('import')
    .description('read conversations from a file of export into the store, exactly as they were')
    .argument('<file>', 'a file of export, plain, gzip or zstd, lines or the single object; "-": the standard input')
    .addOption(
      new Option('--on-conflict <what>', 'of a conversation that exists: leave it, replace it, or count it as failed')
        .choices(['skip', 'replace', 'fail'])
        .default('fail'),
    )
    .option('--concurrency <count>', 'conversations under way at the same time', '16')
    .option('--max-line <bytes>', 'a longer line is damaged (default: 256 MB)')
    .addHelpText(
      'after',
      `
A damaged line is named and left out; the others are imported (exit code 4). It may be interrupted at any time: run it again
with --on-conflict skip. What has expired since is skipped.

Examples:
  jaf-memory import backup.ndjson.gz
  gpg -d backup.gpg | jaf-memory import - --on-conflict skip`,
    )
    .action(
      run(async (session, file: string, options: Options) => {
        const { out, signal } = session;
        const concurrency = readCount(options.concurrency, '--concurrency', 1);
        const maxLine = options.maxLine === undefined ? MAX_LINE : readCount(options.maxLine, '--max-line', 1);
        const size = await sizeOf(file);
        const provider = await session.open(true);
        const bar: Progress = size === undefined ? out.counting('bytes read') : out.progress('MB', Math.ceil(size / MB));
        let read = 0;
        let now = { imported: 0, skipped: 0, failed: 0 };
        const counts = (found: typeof now): string =>
          `${found.imported} imported, ${found.skipped} skipped${found.failed > 0 ? `, ${found.failed} failed` : ''}`;
        const onBytes = (bytes: number): void => {
          read = bytes;
          bar.update(size === undefined ? bytes : Math.ceil(bytes / MB));
        };
        let done: ImportReport;
        try {
          done = await importRecords(provider, linesOf(unpacked(bytesOf(file, onBytes, signal)), maxLine), {
            onConflict: options.onConflict,
            concurrency,
            maxLine,
            signal,
            onProgress: (counts_) => {
              now = counts_;
            },
          });
        } catch (error) {
          bar.stop();
          const begun = now.imported + now.skipped > 0;
          if (begun || signal.aborted)
            out.note(`${signal.aborted ? 'Interrupted' : 'Stopped'}: ${counts(now)}. Run it again with --on-conflict skip.`);
          const code = report(error, out, signal.aborted);
          return begun && error instanceof MemoryError && error.retryable ? EXIT.partly : code;
        }
        bar.stop();
        if (signal.aborted) {
          out.note(`Interrupted: ${counts(now)}. Run it again with --on-conflict skip.`);
          return EXIT.interrupted;
        }
        if (read === 0) done.failed.push({ line: 0, reason: 'the file is empty' });
        if (out.json) out.value(done);
        else {
          out.prose(`${counted(done.imported, 'conversation')} imported, ${done.skipped} skipped, ${done.failed.length} failed.`);
          printFailures(out, done, options.onConflict);
        }
        return done.failed.length === 0 ? EXIT.ok : EXIT.partly;
      }),
    );
}
