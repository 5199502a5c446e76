/**
 * Where message objects come from: which store and conversation returned them, or took them from a run. By identity of the
 * objects, so equal words are never taken for the same message.
 *
 * @module
 */
import { internalsOf } from './internals.js';
import type { ConversationMemory, Message } from './types.js';

const origins = new WeakMap<Message, { readonly store: object; readonly conversationId: string }[]>();

/** What stands for the store behind a provider: handles of one provider share it; a provider somebody else wrote is its own. */
export function storeOf(provider: object): object {
  return internalsOf(provider)?.core.driver ?? provider;
}

/**
 * Remembers that these objects are messages of that conversation. Only for objects made by us: a caller may say the same
 * object twice.
 */
export function markStored(messages: readonly Message[], store: object, conversationId: string): void {
  for (const message of messages) {
    const known = origins.get(message);
    if (!known) origins.set(message, [{ store, conversationId }]);
    else if (!known.some((o) => o.store === store && o.conversationId === conversationId)) known.push({ store, conversationId });
  }
}

/** Whether this very object is known to be a message of that conversation. */
export function isStored(message: Message, store: object, conversationId: string): boolean {
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
