/**
 * From stored text to what a reader gets: decoding, windows, frozen conversations.
 *
 * @module
 */
import { DamagedError, decodeMessage, decodeMetadata } from './codec.js';
import type { Body, Header, Stored, Window } from './driver.js';
import { MemoryStorageError } from './errors.js';
import { resolveWindow } from './local.js';
import { markWindow } from './origin.js';
import { type CallContext, describeCall } from './retry.js';
import { unpackSegment } from './segment.js';
import type { ConversationMemory, ConversationSnapshot, JsonValue, MemoryQuery, Message, Metadata } from './types.js';
import { dropLeadingResults } from './window.js';

/** The window of a `messageLimit`: absent = all, 0 = none. */
export function windowOf(messageLimit: number | undefined): Window {
  return messageLimit === undefined ? { kind: 'all' } : messageLimit === 0 ? { kind: 'none' } : { kind: 'last', count: messageLimit };
}

/**
 * Decodes the messages of a window that a driver read.
 *
 * @param stored - what it answered
 * @param window - what it was asked for
 * @returns the messages, from the first sequence that `resolveWindow` says, without gaps
 * @throws MemoryStorageError (`corrupt`) naming the conversation and the sequence
 */
export async function decodeMessages(stored: Stored, window: Window, call: CallContext): Promise<Message[]> {
  const { header } = stored;
  const { from, to } = resolveWindow(header, window);
  const origin = call.store && { store: call.store, conversationId: header.id };
  const out: Message[] = [];
  let seq = from;
  try {
    for (const segment of stored.segments) {
      seq = Math.max(segment.from, from);
      const bodies = await unpackSegment(segment);
      for (let i = 0; i < bodies.length; i++) take(segment.from + i, bodies[i] as Body);
    }
    for (const { seq: at, body } of stored.bodies) take(at, body);
  } catch (error) {
    if (error instanceof DamagedError) throw damaged(call, header.id, seq, error.message);
    throw error;
  }
  if (from + out.length < to) throw damaged(call, header.id, from + out.length, 'it is missing');
  return out;

  function take(at: number, body: Body): void {
    if (at < from || at >= to) return;
    seq = from + out.length;
    if (at !== seq) throw new DamagedError('it is missing');
    out.push(decodeMessage(body, origin));
  }
}

function damaged(call: CallContext, id: string, seq: number, reason: string): MemoryStorageError {
  return new MemoryStorageError(
    `${describeCall(call)}: message ${seq} of conversation ${JSON.stringify(id)} is damaged: ${reason}. Other messages stay readable with getMessages().`,
    { provider: call.provider, operation: call.operation, code: 'corrupt' },
  );
}

/** The metadata of a header. @throws MemoryStorageError (`corrupt`) */
function metadataOf(header: Header, call: CallContext): Metadata {
  try {
    return decodeMetadata(header.metadata);
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    throw new MemoryStorageError(
      `${describeCall(call)}: the metadata of conversation ${JSON.stringify(header.id)} is damaged: ${error.message}.`,
      {
        provider: call.provider,
        operation: call.operation,
        code: 'corrupt',
      },
    );
  }
}

/**
 * A conversation as readers get it: whole and raw, or the newest messages without orphan results in front.
 *
 * @param messageLimit - absent = whole
 * @throws MemoryStorageError (`corrupt`)
 */
export async function toConversation(stored: Stored, messageLimit: number | undefined, call: CallContext): Promise<ConversationMemory> {
  const { header } = stored;
  const messages = await decodeMessages(stored, windowOf(messageLimit), call);
  const conversation: ConversationMemory = Object.freeze({
    conversationId: header.id,
    ...(header.owner === undefined ? {} : { userId: header.owner }),
    messages: Object.freeze(messageLimit === undefined ? messages : dropLeadingResults(messages)),
    messageCount: header.next - header.first,
    metadata: metadataOf(header, call),
    createdAt: new Date(header.createdAt),
    updatedAt: new Date(header.updatedAt),
    ...(header.expiresAt === undefined ? {} : { expiresAt: new Date(header.expiresAt) }),
    version: header.version,
  });
  if (call.store && messages.length < conversation.messageCount)
    markWindow(conversation, { store: call.store, epoch: header.epoch, first: header.first });
  return conversation;
}

/** A whole conversation with its first sequence, for exact restores. @throws MemoryStorageError (`corrupt`) */
export async function toSnapshot(stored: Stored, call: CallContext): Promise<ConversationSnapshot> {
  return Object.freeze({ ...(await toConversation(stored, undefined, call)), firstSeq: stored.header.first });
}

/** Whether a header matches what a driver need not look at: trace and metadata (and what a read by id skips). */
export function matchesQuery(header: Header, query: MemoryQuery, owner: string | undefined, call: CallContext): boolean {
  if (query.conversationId !== undefined && header.id !== query.conversationId) return false;
  if (owner !== undefined && header.owner !== owner) return false;
  if (query.traceId !== undefined && header.trace !== query.traceId) return false;
  if (query.since !== undefined && header.updatedAt < query.since.getTime()) return false;
  if (query.until !== undefined && header.updatedAt > query.until.getTime()) return false;
  return query.metadata === undefined || contains(metadataOf(header, call), query.metadata);
}

/** Objects match when they contain every key asked for; everything else must be equal. */
function contains(stored: JsonValue | undefined, wanted: JsonValue): boolean {
  if (typeof wanted !== 'object' || wanted === null) return stored === wanted;
  if (typeof stored !== 'object' || stored === null) return false;
  if (Array.isArray(wanted) || Array.isArray(stored)) {
    if (!Array.isArray(wanted) || !Array.isArray(stored) || wanted.length !== stored.length) return false;
    return (wanted as readonly JsonValue[]).every((item, i) => isSame(stored[i] as JsonValue, item));
  }
  const object = stored as Metadata;
  return Object.entries(wanted as Metadata).every(
    ([key, value]) => value === undefined || (Object.hasOwn(object, key) && contains(object[key], value)),
  );
}

function isSame(a: JsonValue, b: JsonValue): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return a === b;
  return contains(a, b) && contains(b, a);
}
