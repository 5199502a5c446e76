/**
 * Import: every record through `restoreConversation`, several at a time.
 *
 * @module
 */
import type { ConversationExport } from './backup.js';
import { MAX_LINE, recordsOf, type Source, type SourceRecord } from './backup-lines.js';
import { toSnapshot } from './backup-records.js';
import { MemoryAbortError, MemoryConflictError, MemoryConnectionError, MemoryError } from './errors.js';
import { internalsOf } from './internals.js';
import { Lanes } from './lanes.js';
import type { MemoryProvider } from './types.js';

/** Options of an import. */
export interface ImportOptions {
  /** Of a conversation that exists: leave it and count it as skipped, replace it, or count it as failed. */
  readonly onConflict: 'skip' | 'replace' | 'fail';
  /** Stops it: what has begun is finished, then a `MemoryAbortError` is thrown. Run it again with `onConflict: 'skip'`. */
  readonly signal?: AbortSignal | undefined;
  /** Restores under way at the same time; default 16. */
  readonly concurrency?: number | undefined;
  /** Characters (UTF-16 units) of a line, and of an object that is not cut into lines; default 256 MB. A longer one is damaged. */
  readonly maxLine?: number | undefined;
  /** Called as conversations are done, with what the report will count. */
  readonly onProgress?: ((done: { readonly imported: number; readonly skipped: number; readonly failed: number }) => void) | undefined;
}

/**
 * What an import did: conversations `imported` (replaced ones included), and what `failed` and why, in order. `line` counts from 1;
 * in a single object it is the position of the conversation (0: the object itself).
 */
export interface ImportReport {
  imported: number;
  /** There already (`onConflict: 'skip'`), or over by now. */
  skipped: number;
  failed: { line: number; reason: string }[];
}

/** Restores at the same time: enough for a store whose answers take milliseconds. */
export const CONCURRENCY = 16;
/** UTF-16 units of records in them: half of what a provider queues in bytes. */
export const WEIGHT = 33_554_432;

/**
 * Imports an export, exactly: times, owner, metadata, sequence, trace and expiry. A damaged line is listed and does not stop the
 * others; a lost connection does, and the import can be run again with `onConflict: 'skip'`.
 *
 * @param provider - where to
 * @param source - the object of {@link exportConversations}, or the lines of {@link exportLines} or of the object's file (one per
 * item)
 * @param options - see {@link ImportOptions}
 * @throws MemoryConnectionError when the store cannot be reached; MemoryAbortError
 */
export async function importConversations(
  provider: MemoryProvider,
  source: ConversationExport | AsyncIterable<string> | Iterable<string>,
  options: ImportOptions,
): Promise<ImportReport> {
  return await importRecords(provider, source, options);
}

/** As {@link importConversations}, from a source that may know of damage itself. */
export async function importRecords(provider: MemoryProvider, source: Source, options: ImportOptions): Promise<ImportReport> {
  const { signal, onProgress } = options;
  const report: ImportReport = { imported: 0, skipped: 0, failed: [] };
  const lanes = new Lanes(options.concurrency ?? CONCURRENCY, WEIGHT);
  const done = (line: number, reason: string | undefined): void => {
    if (reason !== undefined) report.failed.push({ line, reason });
    onProgress?.({ imported: report.imported, skipped: report.skipped, failed: report.failed.length });
  };
  try {
    for await (const { line, record, problem, size } of recordsOf(source, options.maxLine ?? MAX_LINE)) {
      if (signal?.aborted) throw new MemoryAbortError('import: aborted.', { provider: 'none' });
      if (problem !== undefined) done(line, problem);
      else await lanes.start(size, async () => done(line, await importRecord(provider, record, options, report)));
    }
    await lanes.finish();
  } finally {
    await lanes.settle();
  }
  report.failed.sort((a, b) => a.line - b.line);
  return report;
}

/** Imports one record. @returns why it could not, if so */
async function importRecord(
  provider: MemoryProvider,
  record: SourceRecord['record'],
  { onConflict }: ImportOptions,
  report: ImportReport,
): Promise<string | undefined> {
  const snapshot = toSnapshot(record);
  if (typeof snapshot === 'string') return snapshot;
  if (snapshot.expiresAt && snapshot.expiresAt.getTime() <= nowOf(provider)) {
    report.skipped++;
    return undefined;
  }
  const result = await provider.restoreConversation(snapshot, { onConflict });
  if (result.ok) {
    if (result.data.duplicate) report.skipped++;
    else report.imported++;
    return undefined;
  }
  if (result.error instanceof MemoryConnectionError) throw result.error;
  return reasonOf(result.error);
}

/** The time by which a restore decides what is over. */
export function nowOf(provider: MemoryProvider): number {
  return internalsOf(provider)?.core.now() ?? Date.now();
}

/** Why a conversation was not restored, for a list; no content. */
export function reasonOf(error: unknown): string {
  if (error instanceof MemoryConflictError) return 'the conversation exists';
  return error instanceof MemoryError ? error.message : 'an unexpected failure';
}
