/**
 * The message a conversation begins with, where a window leaves it out. That it is no instruction, as in most conversations,
 * is found out once: a stored message never changes, and a trip of its own at each load would cost a run a quarter of its
 * time in the store. An instruction is read each time: nothing of a conversation is kept here that an erasure should reach.
 *
 * @module
 */
import { type Beginning, beginningOf } from '../memory/origin.js';
import type { ConversationMemory, MemoryProvider, Message } from '../memory/types.js';

/** Conversations of one store that are remembered. */
const KEPT = 10_000;

/** Beginnings that are no instruction, by store, then conversation; the one asked for longest ago leaves. */
const plain = new WeakMap<object, Map<string, Beginning>>();

/** Whether a message instructs the model, and stays in front of every window. */
export function isInstruction(message: Message | undefined): boolean {
  return message?.role === 'system' || message?.role === 'developer';
}

/**
 * The instruction a conversation begins with.
 *
 * @param provider - where it is
 * @param window - what was read of it
 * @returns undefined when it begins with another message
 * @throws MemoryError when it cannot be read
 */
export async function leadOf(
  provider: MemoryProvider,
  window: ConversationMemory,
  signal: AbortSignal | undefined,
): Promise<Message | undefined> {
  const { conversationId } = window;
  const beginning = beginningOf(window);
  const known = beginning && plain.get(beginning.store)?.get(conversationId);
  if (known && known.epoch === beginning.epoch && known.first === beginning.first) return undefined;
  const page = await provider.getMessages(conversationId, { limit: 1, ...(signal ? { signal } : {}) });
  const first = page.items[0];
  if (isInstruction(first?.message)) return first?.message;
  // another writer may have trimmed it between the two reads
  if (beginning && first?.seq === beginning.first) remember(conversationId, beginning);
  return undefined;
}

function remember(conversationId: string, beginning: Beginning): void {
  const known = plain.get(beginning.store) ?? new Map<string, Beginning>();
  plain.set(beginning.store, known);
  known.delete(conversationId);
  known.set(conversationId, beginning);
  if (known.size > KEPT) known.delete(known.keys().next().value as string);
}
