/**
 * Export and import: the document's single object, and lines for stores of any size.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical.js';
import { MemoryConflictError, MemoryConnectionError, MemoryError, MemoryValidationError } from './errors.js';
import { internalsOf } from './internals.js';
import type { ConversationSnapshot, MemoryProvider, MemoryQuery, Message, Metadata } from './types.js';
import { kindOf } from './problems.js';

/**
 * The document's export: everything in one object. `export_timestamp`: when it was made, ISO 8601 in UTC; `user_id`: of the
 * query, `null` when it named none; `conversation_count`: length of `conversations`.
 */
export interface ConversationExport {
  export_timestamp: string;
  user_id: string | null;
  conversation_count: number;
  /** Each with the document's fields (`conversation_id`, `user_id`, `messages`, `metadata`) and times, expiry and first sequence. */
  conversations: unknown[];
}

/** What the first line of an export says. */
const FORMAT = 'jaf-export';
const END = 'jaf-export-end';
const VERSION = 1;

/** Whole conversations with their first sequence, from any provider. */
async function* snapshots(provider: MemoryProvider, query: MemoryQuery): AsyncGenerator<ConversationSnapshot> {
  if (query.messageLimit !== undefined) {
    throw new MemoryValidationError('export: query.messageLimit: an export holds whole conversations. Leave it out.', {
      provider: 'none',
      issues: [{ path: 'query.messageLimit', reason: 'an export holds whole conversations' }],
    });
  }
  const internals = internalsOf(provider);
  if (internals) {
    yield* internals.snapshots(query);
    return;
  }
  for await (const conversation of provider.iterateConversations(query)) {
    const { firstSeq } = await provider.getMessages(conversation.conversationId, { limit: 0 });
    yield { ...conversation, firstSeq };
  }
}

function toRecord(c: ConversationSnapshot): object {
  return {
    conversation_id: c.conversationId,
    user_id: c.userId ?? null,
    messages: c.messages,
    metadata: c.metadata,
    created_at: c.createdAt.toISOString(),
    updated_at: c.updatedAt.toISOString(),
    ...(c.expiresAt === undefined ? {} : { expires_at: c.expiresAt.toISOString() }),
    first_seq: c.firstSeq,
  };
}

/**
 * Exports conversations into one object, as in the document. Everything is in memory at once: for a large store use
 * {@link exportLines}.
 *
 * @param provider - where from
 * @param query - which; default all
 */
export async function exportConversations(provider: MemoryProvider, query: MemoryQuery = {}): Promise<ConversationExport> {
  const conversations: unknown[] = [];
  for await (const snapshot of snapshots(provider, query)) conversations.push(toRecord(snapshot));
  return {
    export_timestamp: new Date().toISOString(),
    user_id: query.userId ?? null,
    conversation_count: conversations.length,
    conversations,
  };
}

/**
 * Exports conversations as lines of canonical JSON without line ends: a header, one line per conversation, and a last line
 * with their number and SHA-256. Memory stays bounded.
 *
 * @param provider - where from
 * @param query - which; default all
 * @example
 * for await (const line of exportLines(provider)) file.write(`${line}\n`);
 */
export async function* exportLines(provider: MemoryProvider, query: MemoryQuery = {}): AsyncGenerator<string, void, undefined> {
  const { signal: _signal, ...asked } = query;
  yield canonicalJson({
    format: FORMAT,
    version: VERSION,
    export_timestamp: new Date().toISOString(),
    user_id: query.userId ?? null,
    query: datesAsText(asked),
  });
  const digest = createHash('sha256');
  let count = 0;
  for await (const snapshot of snapshots(provider, query)) {
    const line = canonicalJson(toRecord(snapshot));
    digest.update(`${line}\n`);
    count++;
    yield line;
  }
  yield canonicalJson({ format: END, conversation_count: count, sha256: digest.digest('hex') });
}

function datesAsText(query: object): object {
  return Object.fromEntries(
    Object.entries(query).map(([key, value]) => [key, value instanceof Date ? value.toISOString() : (value as unknown)]),
  );
}

/**
 * What an import did: conversations `imported` (replaced ones included), and what `failed` and why. `line` counts from 1; in a
 * single object it is the position of the conversation (0: the object itself).
 */
export interface ImportReport {
  imported: number;
  /** There already (`onConflict: 'skip'`), or over by now. */
  skipped: number;
  failed: { line: number; reason: string }[];
}

/**
 * Imports an export, exactly: times, owner, metadata, sequence and expiry. A damaged record is listed and does not stop the
 * others; a lost connection does, and the import can be run again with `onConflict: 'skip'`.
 *
 * @param provider - where to
 * @param source - the object of {@link exportConversations}, or the lines of {@link exportLines} (one per item)
 * @param options - what to do with a conversation that exists
 * @throws MemoryConnectionError when the store cannot be reached
 */
export async function importConversations(
  provider: MemoryProvider,
  source: ConversationExport | AsyncIterable<string> | Iterable<string>,
  options: { onConflict: 'skip' | 'replace' | 'fail' },
): Promise<ImportReport> {
  const report: ImportReport = { imported: 0, skipped: 0, failed: [] };
  for await (const { line, record, problem } of recordsOf(source)) {
    const reason = problem ?? (await importRecord(provider, record, options, report));
    if (reason !== undefined) report.failed.push({ line, reason });
  }
  return report;
}

interface SourceRecord {
  readonly line: number;
  readonly record?: unknown;
  readonly problem?: string;
}

async function* recordsOf(source: ConversationExport | AsyncIterable<string> | Iterable<string>): AsyncGenerator<SourceRecord> {
  if (typeof source === 'object' && !(Symbol.asyncIterator in source) && !(Symbol.iterator in source)) {
    if (!Array.isArray(source.conversations))
      yield { line: 0, problem: `conversations: expected an array, got ${kindOf(source.conversations)}` };
    else for (const [i, record] of source.conversations.entries()) yield { line: i + 1, record };
    return;
  }
  const digest = createHash('sha256');
  let number = 0;
  let count = 0;
  let began = false;
  let ended = false;
  for await (const item of source) {
    number++;
    const text = item.replace(/\r?\n$/, '');
    if (text === '') continue;
    const parsed = parseLine(text);
    if (parsed === undefined) {
      yield { line: number, problem: 'not JSON' };
      continue;
    }
    const { format, sha256, conversation_count } = parsed as { format?: unknown; sha256?: unknown; conversation_count?: unknown };
    if (format === FORMAT) {
      began = true;
      const { version } = parsed as { version?: unknown };
      if (version !== VERSION)
        yield { line: number, problem: `format version ${JSON.stringify(version)} is newer than this jaf knows (${VERSION})` };
    } else if (format === END) {
      ended = true;
      if (conversation_count !== count)
        yield { line: number, problem: `${String(conversation_count)} conversations were written, ${count} are here` };
      else if (sha256 !== digest.digest('hex')) yield { line: number, problem: 'the digest does not match: a line was changed' };
    } else {
      digest.update(`${text}\n`);
      count++;
      yield { line: number, record: parsed };
    }
  }
  if (began && !ended) yield { line: number, problem: 'the last line is missing: the export was cut off' };
}

function parseLine(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Imports one record. @returns why it could not, if so */
async function importRecord(
  provider: MemoryProvider,
  record: unknown,
  options: { onConflict: 'skip' | 'replace' | 'fail' },
  report: ImportReport,
): Promise<string | undefined> {
  if (typeof record !== 'object' || record === null) return `expected an object, got ${kindOf(record)}`;
  const snapshot = toSnapshot(record as Record<string, unknown>);
  if (typeof snapshot === 'string') return snapshot;
  if (snapshot.expiresAt && snapshot.expiresAt.getTime() <= Date.now()) {
    report.skipped++;
    return undefined;
  }
  const result = await provider.restoreConversation(snapshot, options);
  if (result.ok) {
    if (result.data.duplicate) report.skipped++;
    else report.imported++;
    return undefined;
  }
  if (result.error instanceof MemoryConnectionError) throw result.error;
  if (result.error instanceof MemoryConflictError) return 'the conversation exists';
  return result.error instanceof MemoryError ? result.error.message : 'an unexpected failure';
}

/** A record in either spelling; the document's own form has no times and no first sequence. */
function toSnapshot(record: Record<string, unknown>): ConversationSnapshot | string {
  const field = (snake: string, camel: string): unknown => record[snake] ?? record[camel] ?? undefined;
  const now = new Date();
  const times: Record<string, Date | undefined> = {};
  for (const [snake, camel] of [
    ['created_at', 'createdAt'],
    ['updated_at', 'updatedAt'],
    ['expires_at', 'expiresAt'],
  ] as const) {
    const value = field(snake, camel);
    if (value === undefined) continue;
    const date = typeof value === 'string' || value instanceof Date ? new Date(value) : undefined;
    if (!date || Number.isNaN(date.getTime())) return `${snake}: expected an ISO 8601 time, got ${kindOf(value)}`;
    times[camel] = date;
  }
  const userId = field('user_id', 'userId');
  const messages = (record['messages'] ?? []) as readonly Message[];
  const createdAt = times['createdAt'] ?? times['updatedAt'] ?? now;
  return {
    conversationId: field('conversation_id', 'conversationId') as string,
    ...(userId === undefined ? {} : { userId: userId as string }),
    messages,
    messageCount: messages.length,
    metadata: (record['metadata'] ?? {}) as Metadata,
    createdAt,
    updatedAt: times['updatedAt'] ?? createdAt,
    ...(times['expiresAt'] ? { expiresAt: times['expiresAt'] } : {}),
    version: 0,
    firstSeq: (field('first_seq', 'firstSeq') ?? 1) as number,
  };
}
