/**
 * Where message objects come from: which store and conversation returned them, or took them from a run. By identity of the
 * objects, so equal words are never taken for the same message.
 *
 * @module
 */
import { internalsOf } from './internals.js';
import type { ConversationMemory, Message } from './types.js';

/** A conversation of a store. One object serves all messages of a read. */
export interface Origin {
  readonly store: object;
  readonly conversationId: string;
}

/** Of messages that were frozen before they were marked, or marked twice. */
const origins = new WeakMap<Message, readonly Origin[]>();

/** Answers the object it is given, so that a subclass can put a private field on it. */
const Given = function (object: object): object {
  return object;
} as unknown as new (
  object: object,
) => object;

/**
 * The origin as a private field of a message that was parsed just now: nobody can see it, copies do not have it, and it costs
 * nothing to speak of, where a WeakMap entry costs 0.2 µs and as much again at each garbage collection.
 */
class Stamp extends Given {
  readonly #origin: Origin;

  constructor(message: Message, origin: Origin) {
    super(message);
    this.#origin = origin;
  }

  static of(message: Message): Origin | undefined {
    return #origin in message ? (message as unknown as Stamp).#origin : undefined;
  }
}

/** What stands for the store behind a provider: handles of one provider share it; a provider somebody else wrote is its own. */
export function storeOf(provider: object): object {
  return internalsOf(provider)?.core.driver ?? provider;
}

/**
 * Remembers that these objects are messages of that conversation. Only for objects made by us: a caller may say the same
 * object twice.
 */
export function markStored(messages: readonly Message[], origin: Origin): void {
  const here = [origin];
  for (const message of messages) {
    const known = origins.get(message);
    if (!known) origins.set(message, here);
    else if (!isStored(message, origin)) origins.set(message, [...known, origin]);
  }
}

/** {@link markStored} for a message that was made just now and is not frozen yet. */
export function markParsed(message: Message, origin: Origin): void {
  // oxlint-disable-next-line no-new -- it is the message that gets the field
  new Stamp(message, origin);
}

/** Whether this very object is known to be a message of that conversation. */
export function isStored(message: Message, { store, conversationId }: Origin): boolean {
  const stamp = Stamp.of(message);
  if (stamp && stamp.store === store && stamp.conversationId === conversationId) return true;
  return (origins.get(message) ?? []).some((o) => o.store === store && o.conversationId === conversationId);
}

/** Which life of a conversation a window was cut from, and where that begins: together they name its first message for good. */
export interface Beginning {
  readonly store: object;
  readonly epoch: number;
  /** Sequence of the first message. */
  readonly first: number;
}

const beginnings = new WeakMap<ConversationMemory, Beginning>();

/** Remembers where the conversation begins that a window was cut from. */
export function markWindow(window: ConversationMemory, beginning: Beginning): void {
  beginnings.set(window, beginning);
}

/** Where the conversation begins that a window was cut from; undefined for a whole one, and one that somebody else made. */
export function beginningOf(window: ConversationMemory): Beginning | undefined {
  return beginnings.get(window);
}
