/**
 * `jaf-memory export`: a backup, or everything about one user.
 *
 * @module
 */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { exportLines, exportObjectLines, type ExportOptions } from '../../memory/backup.js';
import { MemoryAbortError } from '../../memory/errors.js';
import type { MemoryProvider, MemoryQuery } from '../../memory/types.js';
import { compressionOf, packer } from '../compression.js';
import type { Output, Progress } from '../output.js';
import { PartialFile } from '../partial-file.js';
import { addFilterOptions, type FilterOptions, readFilters } from '../query.js';
import { EXIT, type Run, type Session, UsageError } from '../session.js';
import { bytesText, counted, printableLine } from '../text.js';

interface Options extends FilterOptions {
  readonly output?: string;
  readonly format: 'lines' | 'object';
  readonly compress?: string;
}

/** Characters handed on at a time. */
const CHUNK = 65_536;
/** Damaged conversations that are named; the rest is counted. */
const NAMED = 20;

/** The time that stands in the export. */
function timestampOf(env: Session['env']): Date | undefined {
  const text = env['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,11}$/.test(text)) return new Date(Number(text) * 1000);
  throw new UsageError(`SOURCE_DATE_EPOCH must be whole seconds since 1970, got ${JSON.stringify(text.slice(0, 60))}.`);
}

/** Lines as larger pieces of text. */
async function* pieces(lines: AsyncIterable<string>, signal: AbortSignal): AsyncGenerator<Buffer> {
  let text = '';
  for await (const line of lines) {
    if (signal.aborted) throw new MemoryAbortError('export: interrupted.', { provider: 'none' });
    text += `${line}\n`;
    if (text.length < CHUNK) continue;
    yield Buffer.from(text);
    text = '';
  }
  if (text !== '') yield Buffer.from(text);
}

async function writeTo(
  target: PartialFile | NodeJS.WritableStream,
  packed: Duplex | undefined,
  chunks: AsyncIterable<Buffer>,
): Promise<void> {
  const write = async (source: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of source) {
      if (target instanceof PartialFile) await target.write(chunk);
      else if (!target.write(chunk)) await once(target, 'drain');
    }
  };
  if (packed) await pipeline(Readable.from(chunks), packed, write);
  else await write(chunks);
}

/** Conversations there are, where the store can tell without reading them. */
async function totalOf(provider: MemoryProvider, { userId, ...filters }: MemoryQuery): Promise<number | undefined> {
  if (Object.keys(filters).length > 0) return undefined;
  const { totalConversations } = userId === undefined ? await provider.getStats() : await provider.getStats(userId);
  return totalConversations;
}

/** One bar while the store is read, and one while the file is written. */
function progressOf(out: Output, total: number | undefined): { readonly update: NonNullable<ExportOptions['onProgress']>; stop(): void } {
  let shown: { readonly stage: string; readonly progress: Progress } | undefined;
  const stop = (): void => shown?.progress.stop();
  return {
    update: (stage, done, count) => {
      if (shown?.stage !== stage) {
        stop();
        const all = count ?? total;
        shown = { stage, progress: all === undefined ? out.counting(`conversations ${stage}`) : out.progress(stage, all) };
      }
      shown.progress.update(done);
    },
    stop,
  };
}

/** Adds the command. */
export function registerExport(program: Command, run: Run): void {
  const command = program
    .command('export')
    .description('write conversations to a file: a backup, or all there is about one user')
    .option('-o, --output <file>', 'where to (default: the standard output); the file appears when it is whole')
    .addOption(
      new Option('--format <format>', 'one conversation per line, or the single object').choices(['lines', 'object']).default('lines'),
    )
    .addOption(new Option('--compress <kind>', 'default: by the name of the file (.gz, .zst)').choices(['none', 'gzip', 'zstd']));
  addFilterOptions(command)
    .addHelpText(
      'after',
      `
The file holds content in the clear: who has it has the conversations. It is made readable by its owner only.
The store may be written to meanwhile; each conversation is as it was at one moment. Equal stores make equal files, but for
the time in the first line: SOURCE_DATE_EPOCH (seconds) sets it.

Examples:
  jaf-memory export -o backup.ndjson.gz
  jaf-memory export --user ada -o ada.ndjson       all there is about a user (a subject-access request)
  jaf-memory export --until 90d | gpg -e -r ops > old.gpg`,
    )
    .action(
      run(async (session, options: Options) => {
        const { out, signal } = session;
        const query = readFilters(options);
        const compression = compressionOf(options.compress, options.output);
        const timestamp = timestampOf(session.env);
        const provider = await session.read();
        const progress = progressOf(out, await totalOf(provider, query));
        const file = options.output === undefined ? undefined : await PartialFile.create(options.output);
        let damaged = 0;
        let conversations = 0;
        const lines = (options.format === 'object' ? exportObjectLines : exportLines)(
          provider,
          { ...query, signal },
          {
            timestamp,
            onDamaged: (id, error) => {
              if (damaged++ < NAMED)
                out.error(`${JSON.stringify(printableLine(id))} is left out: ${error.message}`, { code: error.code, conversationId: id });
            },
            onProgress: (stage, done, total) => {
              if (stage === 'written') conversations = done;
              progress.update(stage, done, total);
            },
          },
        );
        try {
          await writeTo(file ?? process.stdout, packer(compression), pieces(lines, signal));
          progress.stop();
          await file?.commit();
        } catch (error) {
          progress.stop();
          if (signal.aborted)
            out.note(`Interrupted. ${file ? `There is no ${options.output}` : 'The output is not complete'}: run it again.`);
          throw error;
        } finally {
          await file?.discard();
        }
        if (file) {
          const found = { file: options.output ?? null, conversations, bytes: file.bytes, format: options.format, compression, damaged };
          if (out.json) out.value(found);
          else out.prose(`${counted(conversations, 'conversation')} in ${printableLine(options.output ?? '')}, ${bytesText(file.bytes)}.`);
        } else out.note(`${counted(conversations, 'conversation')}.`);
        if (damaged === 0) return EXIT.ok;
        out.error(`${counted(damaged, 'conversation')} could not be read, and not exported. jaf-memory verify names what is damaged.`, {
          code: 'corrupt',
        });
        return EXIT.findings;
      }),
    );
}
