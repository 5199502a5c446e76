/**
 * Export: the document's single object, and lines for stores of any size. Sorted by id, so that equal stores make equal texts.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { lineOf, toLine, toRecord } from './backup-records.js';
import { canonicalJson } from './canonical.js';
import type { MemoryStorageError } from './errors.js';
import { compareIds } from './local.js';
import { readings } from './snapshots.js';
import type { MemoryProvider, MemoryQuery } from './types.js';

/**
 * The document's export: everything in one object. `export_timestamp`: when it was made, ISO 8601 in UTC; `user_id`: of the
 * query, `null` when it named none; `conversation_count`: length of `conversations`.
 */
export interface ConversationExport {
  export_timestamp: string;
  user_id: string | null;
  conversation_count: number;
  /**
   * Sorted by id. Each with the document's fields (`conversation_id`, `user_id`, `messages`, `metadata`), and `created_at`,
   * `updated_at`, `expires_at` (if it expires), `first_seq` and `trace_id` (if it has one).
   */
  conversations: unknown[];
}

/** Options of an export. */
export interface ExportOptions {
  /** Stands in the export as the time it was made; default now. With the same time, equal stores make equal exports. */
  readonly timestamp?: Date | undefined;
  /** Called with each conversation whose stored data is damaged, which is then left out. Without it, the first one ends the export. */
  readonly onDamaged?: ((conversationId: string, error: MemoryStorageError) => void) | undefined;
  /** Called as conversations are read from the store (all, before the first line), and as their lines are handed out. */
  readonly onProgress?: ((stage: 'read' | 'written', done: number, total: number | undefined) => void) | undefined;
  /** Bytes of text sorted in memory; the rest goes through temporary files. Default 16 MB. */
  readonly sortMemory?: number | undefined;
}

/** What the first and the last line of an export say. */
export const FORMAT = 'jaf-export';
/** See {@link FORMAT}. */
export const END = 'jaf-export-end';
/** Of the format. */
export const VERSION = 1;

/** The parts of an export: what stands in front, and the records in order. */
interface Gathered {
  readonly head: { readonly export_timestamp: string; readonly user_id: string | null; readonly conversation_count: number };
  readonly lines: AsyncIterable<string>;
}

/** Walks the store once, and hands out the sorted lines; nothing is left behind when the reader stops. */
async function* gathered(
  provider: MemoryProvider,
  query: MemoryQuery,
  options: ExportOptions,
  print: (parts: Gathered) => AsyncGenerator<string, void, undefined>,
): AsyncGenerator<string, void, undefined> {
  const { onDamaged, onProgress, timestamp = new Date() } = options;
  const { SortedLines } = await import('./sorted.js');
  const sorted = new SortedLines(options.sortMemory);
  try {
    let read = 0;
    for await (const { id, snapshot, error } of readings(provider, query, 'export')) {
      if (snapshot) await sorted.add(id, toLine(snapshot));
      else if (onDamaged) onDamaged(id, error);
      else throw error;
      onProgress?.('read', ++read, undefined);
    }
    const count = await sorted.count();
    let written = 0;
    async function* counted(): AsyncGenerator<string> {
      for await (const line of sorted.lines()) {
        yield line;
        onProgress?.('written', ++written, count);
      }
    }
    const head = { export_timestamp: timestamp.toISOString(), user_id: query.userId ?? null, conversation_count: count };
    yield* print({ head, lines: counted() });
  } finally {
    await sorted.close();
  }
}

/**
 * Exports conversations into one object, as in the document, sorted by id. Everything is in memory at once: for a large store
 * use {@link exportLines}.
 *
 * @param provider - where from
 * @param query - which; default all
 * @param options - see {@link ExportOptions}
 * @throws MemoryStorageError (`corrupt`) for damaged data, unless `onDamaged` is given
 */
export async function exportConversations(
  provider: MemoryProvider,
  query: MemoryQuery = {},
  options: ExportOptions = {},
): Promise<ConversationExport> {
  const { onDamaged, onProgress, timestamp = new Date() } = options;
  const records = new Map<string, object>();
  for await (const { id, snapshot, error } of readings(provider, query, 'export')) {
    if (snapshot) records.set(id, toRecord(snapshot));
    else if (onDamaged) onDamaged(id, error);
    else throw error;
    onProgress?.('read', records.size, undefined);
  }
  const conversations = [...records].sort(([a], [b]) => compareIds(a, b)).map(([, record]) => record);
  return {
    export_timestamp: timestamp.toISOString(),
    user_id: query.userId ?? null,
    conversation_count: conversations.length,
    conversations,
  };
}

/**
 * Exports conversations as lines of canonical JSON (RFC 8785) without line ends: a header with their number, one line per
 * conversation in order of the ids (as UTF-8 bytes), and a last line with the SHA-256 of those lines, each with "\n". Memory stays
 * bounded: what is too much is sorted in temporary files (`TMPDIR`), which nobody else can read.
 *
 * @param provider - where from; it may be written to meanwhile: each conversation is as it was at one moment
 * @param query - which; default all
 * @param options - see {@link ExportOptions}
 * @throws MemoryStorageError (`corrupt`) for damaged data, unless `onDamaged` is given
 * @example
 * for await (const line of exportLines(provider)) file.write(`${line}\n`);
 */
export async function* exportLines(
  provider: MemoryProvider,
  query: MemoryQuery = {},
  options: ExportOptions = {},
): AsyncGenerator<string, void, undefined> {
  yield* gathered(provider, query, options, async function* ({ head, lines }) {
    const { signal: _signal, ...asked } = query;
    yield lineOf({ format: FORMAT, version: VERSION, ...head, query: datesAsText(asked) });
    const digest = createHash('sha256');
    for await (const line of lines) {
      digest.update(`${line}\n`);
      yield line;
    }
    yield lineOf({ format: END, conversation_count: head.conversation_count, sha256: digest.digest('hex') });
  });
}

/** How the object begins where {@link exportObjectLines} cuts it. */
export const OBJECT_HEAD: RegExp = /^\{"conversation_count":(\d+),"conversations":\[$/;
/** How it ends there. */
export const OBJECT_END = '],"export_timestamp":';

/**
 * The single object as text, cut into lines: a conversation is one line, so that it can be read back without holding all.
 *
 * @param provider - where from
 * @param query - which
 * @param options - see {@link ExportOptions}
 */
export async function* exportObjectLines(
  provider: MemoryProvider,
  query: MemoryQuery,
  options: ExportOptions,
): AsyncGenerator<string, void, undefined> {
  yield* gathered(provider, query, options, async function* ({ head, lines }) {
    yield `{"conversation_count":${head.conversation_count},"conversations":[`;
    let before: string | undefined;
    for await (const line of lines) {
      if (before !== undefined) yield `${before},`;
      before = line;
    }
    if (before !== undefined) yield before;
    yield `${OBJECT_END}${JSON.stringify(head.export_timestamp)},"user_id":${canonicalJson(head.user_id)}}`;
  });
}

function datesAsText(query: object): object {
  return Object.fromEntries(
    Object.entries(query).map(([key, value]) => [key, value instanceof Date ? value.toISOString() : (value as unknown)]),
  );
}
