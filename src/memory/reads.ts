/**
 * From stored text to what a reader gets: decoding, windows, frozen conversations.
 *
 * @module
 */
import { DamagedError, decodeMessage, decodeMetadata } from './codec.js';
import type { Body, Header, Stored, Window } from './driver.js';
import { MemoryStorageError } from './errors.js';
import type { Reading } from './internals.js';
import { resolveWindow } from './local.js';
import { markWindow, type Origin } from './origin.js';
import { type CallContext, describeCall } from './retry.js';
import { unpackSegment } from './segment.js';
import type { ConversationMemory, JsonValue, MemoryQuery, Message, Metadata } from './types.js';
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
 * @returns the messages, from the first sequence that `resolveWindow` says, without gaps; a promise only where segments have
 * to be unpacked (a list of 20 headers would wait for 60 promises: half of the layer's time)
 * @throws MemoryStorageError (`corrupt`) naming the conversation and the sequence
 */
export function decodeMessages(stored: Stored, window: Window, call: CallContext): Message[] | Promise<Message[]> {
  if (stored.segments.length > 0) return decodeSegments(stored, window, call);
  const decoder = new Decoder(stored.header, window, call);
  decoder.takeAll(stored.bodies);
  return decoder.end();
}

async function decodeSegments(stored: Stored, window: Window, call: CallContext): Promise<Message[]> {
  const decoder = new Decoder(stored.header, window, call);
  for (const segment of stored.segments) {
    let bodies: readonly Body[];
    try {
      bodies = await unpackSegment(segment);
    } catch (error) {
      throw decoder.failure(error, segment.from);
    }
    decoder.takeAll(bodies.map((body, i) => ({ seq: segment.from + i, body })));
  }
  decoder.takeAll(stored.bodies);
  return decoder.end();
}

/** The messages of one window, in the making. */
class Decoder {
  readonly #from: number;
  readonly #to: number;
  readonly #id: string;
  readonly #call: CallContext;
  readonly #origin: Origin | undefined;
  readonly #messages: Message[] = [];

  constructor(header: Header, window: Window, call: CallContext) {
    const { from, to } = resolveWindow(header, window);
    this.#from = from;
    this.#to = to;
    this.#id = header.id;
    this.#call = call;
    this.#origin = call.store && { store: call.store, conversationId: header.id };
  }

  takeAll(bodies: Stored['bodies']): void {
    for (const { seq, body } of bodies) {
      if (seq < this.#from || seq >= this.#to) continue;
      if (seq !== this.#from + this.#messages.length) throw this.#missing();
      try {
        this.#messages.push(decodeMessage(body, this.#origin));
      } catch (error) {
        throw this.failure(error, seq);
      }
    }
  }

  end(): Message[] {
    if (this.#from + this.#messages.length < this.#to) throw this.#missing();
    return this.#messages;
  }

  /** What is thrown about stored text that cannot be decoded, which begins at a sequence. */
  failure(error: unknown, seq: number): unknown {
    return error instanceof DamagedError ? damaged(this.#call, this.#id, Math.max(seq, this.#from), error.message) : error;
  }

  #missing(): MemoryStorageError {
    return damaged(this.#call, this.#id, this.#from + this.#messages.length, MISSING);
  }
}

/** What is wrong with stored data, and from which sequence on. */
export interface Damage {
  readonly seq: number;
  /** For people; never content. */
  readonly reason: string;
}

/** {@link Damage.reason} of a sequence that has no body. */
export const MISSING = 'it is missing';

const damages = new WeakMap<Error, Damage>();

/** Which message a failure of {@link decodeMessages} is about. */
export function damageOf(error: Error): Damage | undefined {
  return damages.get(error);
}

function damaged(call: CallContext, id: string, seq: number, reason: string): MemoryStorageError {
  const error = new MemoryStorageError(
    `${describeCall(call)}: message ${seq} of conversation ${JSON.stringify(id)} is damaged: ${reason}. Other messages stay readable with getMessages().`,
    { provider: call.provider, operation: call.operation, code: 'corrupt' },
  );
  damages.set(error, { seq, reason });
  return error;
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
export function toConversation(
  stored: Stored,
  messageLimit: number | undefined,
  call: CallContext,
): ConversationMemory | Promise<ConversationMemory> {
  const messages = decodeMessages(stored, windowOf(messageLimit), call);
  return messages instanceof Promise
    ? messages.then((unpacked) => conversationOf(stored.header, unpacked, messageLimit, call))
    : conversationOf(stored.header, messages, messageLimit, call);
}

function conversationOf(
  header: Header,
  messages: readonly Message[],
  messageLimit: number | undefined,
  call: CallContext,
): ConversationMemory {
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

/** A whole conversation with all that an exact restore needs, or the failure to decode it. */
export async function toReading(stored: Stored, call: CallContext): Promise<Reading> {
  const { id, first, trace } = stored.header;
  try {
    const conversation = await toConversation(stored, undefined, call);
    return { id, snapshot: Object.freeze({ ...conversation, firstSeq: first, ...(trace === undefined ? {} : { traceId: trace }) }) };
  } catch (error) {
    if (error instanceof MemoryStorageError && error.code === 'corrupt') return { id, error };
    throw error;
  }
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
