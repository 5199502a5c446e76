/**
 * Copying conversations from one store to another, and comparing both sides.
 *
 * @module
 */
import { CONCURRENCY, nowOf, reasonOf, WEIGHT } from './backup-import.js';
import { toLine } from './backup-records.js';
import { MemoryAbortError, MemoryConnectionError } from './errors.js';
import { Lanes } from './lanes.js';
import { readings, snapshotOf } from './snapshots.js';
import type { ConversationSnapshot, MemoryProvider, MemoryQuery } from './types.js';
import { isCorrupt } from './verify.js';

/** Options of {@link copyConversations}. */
export interface CopyOptions {
  /** Of a conversation that exists in the target and is not equal: leave it, replace it, or count it as failed. Default `skip`. */
  readonly onConflict?: 'skip' | 'replace' | 'fail' | undefined;
  /** Read each conversation back, and compare it with its source. Default true. */
  readonly verify?: boolean | undefined;
  /** Stops it: what has begun is finished, then a `MemoryAbortError` is thrown. Run it again: what is there and equal is passed over. */
  readonly signal?: AbortSignal | undefined;
  /** Conversations under way at the same time; default 16. */
  readonly concurrency?: number | undefined;
  /** Called after each conversation. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** What a copy did: the first two are counts, the others name conversations. */
export interface CopyReport {
  /** Copied now. */
  copied: number;
  /** In the target already, and (unless `verify` is false) equal. */
  present: number;
  /** Over before it could be copied, or removed from the source meanwhile. */
  gone: number;
  /** In the target with other contents (`onConflict: 'skip'`, or somebody writes to the target). */
  different: string[];
  /** Written to in the source while it was copied: the target has an earlier state. */
  changed: string[];
  /** Not copied, and why; also those whose stored data is damaged in the source. */
  failed: { conversationId: string; reason: string }[];
}

/**
 * Copies conversations exactly, as they are read: times, owner, metadata, sequence, trace and expiry. Each is compared afterwards,
 * as canonical JSON. Memory stays bounded.
 *
 * @param from - where from; it may be written to meanwhile
 * @param to - where to
 * @param query - which; default all
 * @param options - see {@link CopyOptions}
 * @throws MemoryConnectionError when a store cannot be reached; MemoryAbortError
 * @example
 * const { copied, different, changed, failed } = await copyConversations(sqlite, postgres);
 */
export async function copyConversations(
  from: MemoryProvider,
  to: MemoryProvider,
  query: MemoryQuery = {},
  options: CopyOptions = {},
): Promise<CopyReport> {
  const { signal, onProgress } = options;
  const report: CopyReport = { copied: 0, present: 0, gone: 0, different: [], changed: [], failed: [] };
  const lanes = new Lanes(options.concurrency ?? CONCURRENCY, WEIGHT);
  let done = 0;
  try {
    for await (const { id, snapshot, error } of readings(from, query, 'copy')) {
      if (signal?.aborted) throw new MemoryAbortError('copy: aborted.', { provider: 'none' });
      if (!snapshot) {
        report.failed.push({ conversationId: id, reason: error.message });
        onProgress?.(++done);
        continue;
      }
      const line = toLine(snapshot);
      await lanes.start(line.length, async () => {
        await copyOne(from, to, snapshot, line, options, report);
        onProgress?.(++done);
      });
    }
    await lanes.finish();
  } finally {
    await lanes.settle();
  }
  return report;
}

async function copyOne(
  from: MemoryProvider,
  to: MemoryProvider,
  snapshot: ConversationSnapshot,
  line: string,
  { onConflict = 'skip', verify = true }: CopyOptions,
  report: CopyReport,
): Promise<void> {
  const { conversationId: id } = snapshot;
  if (snapshot.expiresAt && snapshot.expiresAt.getTime() <= nowOf(to)) {
    report.gone++;
    return;
  }
  let result = await to.restoreConversation(snapshot, { onConflict: 'skip' });
  if (result.ok && result.data.duplicate) {
    if (!verify && onConflict === 'skip') {
      report.present++;
      return;
    }
    const there = await lineOf(to, id);
    if (there === line) {
      report.present++;
      return;
    }
    if (onConflict === 'skip') {
      report.different.push(id);
      return;
    }
    result = await to.restoreConversation(snapshot, { onConflict });
  }
  if (!result.ok) {
    if (result.error instanceof MemoryConnectionError) throw result.error;
    report.failed.push({ conversationId: id, reason: reasonOf(result.error) });
    return;
  }
  report.copied++;
  if (!verify) return;
  const [copy, source] = await Promise.all([lineOf(to, id), lineOf(from, id)]);
  if (source === undefined) report.gone++;
  else if (source !== line) report.changed.push(id);
  else if (copy !== line) report.different.push(id);
}

/** The canonical text of a stored conversation; damaged data equals nothing. */
async function lineOf(provider: MemoryProvider, id: string): Promise<string | undefined> {
  try {
    const snapshot = await snapshotOf(provider, id);
    return snapshot && toLine(snapshot);
  } catch (error) {
    if (isCorrupt(error)) return 'damaged';
    throw error;
  }
}
