/**
 * A conversation as an export holds it: the document's spelling, as text with a checksum, and back.
 *
 * @module
 */
import { crc32 } from 'node:zlib';
import { canonicalJson } from './canonical.js';
import { kindOf } from './problems.js';
import type { ConversationSnapshot, Message, Metadata } from './types.js';

/**
 * The record of a conversation.
 *
 * @param c - whole
 */
export function toRecord(c: ConversationSnapshot): object {
  return {
    conversation_id: c.conversationId,
    user_id: c.userId ?? null,
    messages: c.messages,
    metadata: c.metadata,
    created_at: c.createdAt.toISOString(),
    updated_at: c.updatedAt.toISOString(),
    ...(c.expiresAt === undefined ? {} : { expires_at: c.expiresAt.toISOString() }),
    first_seq: c.firstSeq,
    ...(c.traceId === undefined ? {} : { trace_id: c.traceId }),
  };
}

/** What a line with a checksum begins with: canonical order puts it in front of every other field. */
const PREFIX = '{"checksum":"';
const DIGITS = 8;

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(DIGITS, '0');
}

/**
 * A record as one line of canonical JSON. Its field `checksum` is the CRC-32 of the line without that field, so that a damaged
 * line is known by itself.
 *
 * @param record - with at least one field, each of which comes after `checksum` in canonical order
 */
export function lineOf(record: object): string {
  const text = canonicalJson(record);
  return `${PREFIX}${checksum(text)}",${text.slice(1)}`;
}

/**
 * The record of a conversation as a line, see {@link lineOf}.
 *
 * @param c - whole
 */
export function toLine(c: ConversationSnapshot): string {
  return lineOf(toRecord(c));
}

/**
 * Whether a line has no checksum, or the right one.
 *
 * @param text - the line
 * @param record - the line, parsed
 */
export function isSound(text: string, record: object): boolean {
  const { checksum: given, ...rest } = record as Record<string, unknown>;
  if (given === undefined) return true;
  const end = PREFIX.length + DIGITS;
  if (text.startsWith(PREFIX) && text.startsWith('",', end) && checksum(`{${text.slice(end + 2)}`) === given) return true;
  // another program may have written the same values in another way
  return checksum(canonicalJson(rest)) === given;
}

/**
 * The conversation of a record, in either spelling. The document's own form has no times and no first sequence: they are now,
 * and 1. What only a restore can check is not checked.
 *
 * @param record - parsed
 * @returns the conversation, or what is wrong with the record
 */
export function toSnapshot(record: unknown): ConversationSnapshot | string {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return `expected an object, got ${kindOf(record)}`;
  const fields = record as Record<string, unknown>;
  const field = (snake: string, camel: string): unknown => fields[snake] ?? fields[camel] ?? undefined;
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
  const traceId = field('trace_id', 'traceId');
  const messages = (fields['messages'] ?? []) as readonly Message[];
  const createdAt = times['createdAt'] ?? times['updatedAt'] ?? now;
  return {
    conversationId: field('conversation_id', 'conversationId') as string,
    ...(userId === undefined ? {} : { userId: userId as string }),
    ...(traceId === undefined ? {} : { traceId: traceId as string }),
    messages,
    messageCount: messages.length,
    metadata: (fields['metadata'] ?? {}) as Metadata,
    createdAt,
    updatedAt: times['updatedAt'] ?? createdAt,
    ...(times['expiresAt'] ? { expiresAt: times['expiresAt'] } : {}),
    version: 0,
    firstSeq: (field('first_seq', 'firstSeq') ?? 1) as number,
  };
}
