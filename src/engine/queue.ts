/**
 * Runs that store to one conversation take turns within a process: one store and conversation id, one queue.
 * Between processes the conversation's version decides.
 *
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { abortable } from './abort.js';
import { RunError } from './errors.js';
import { storeOf } from '../memory/origin.js';

const tails = new WeakMap<object, Map<string, Promise<void>>>();

/** A turn that is being taken in the current chain of calls. */
interface Holding {
  readonly store: object;
  readonly conversationId: string;
  active: boolean;
}
const holdings = new AsyncLocalStorage<readonly Holding[]>();

/**
 * Does the work when every run begun before it on this conversation has ended.
 *
 * @throws RunAbortError when the signal is aborted while it waits
 * @throws RunError (`nested_run`) when the caller is itself inside a turn of this conversation and would wait for itself
 */
export async function inTurn<T>(
  provider: object,
  conversationId: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const store = storeOf(provider);
  const held = holdings.getStore() ?? [];
  if (held.some((h) => h.active && h.store === store && h.conversationId === conversationId)) {
    throw new RunError(
      'nested_run',
      `run "${conversationId}": called by a tool of a run on the same conversation, which it would wait for. Use another conversationId.`,
    );
  }
  const queue = tails.get(store) ?? new Map<string, Promise<void>>();
  tails.set(store, queue);
  const before = queue.get(conversationId) ?? Promise.resolve();
  let release = (): void => undefined;
  const mine = new Promise<void>((resolve) => {
    release = resolve;
  });
  // never rejects: `before` is built the same way
  const tail = before.then(() => mine);
  queue.set(conversationId, tail);
  const holding: Holding = { store, conversationId, active: true };
  try {
    await abortable(before, signal);
    return await holdings.run([...held, holding], work);
  } finally {
    holding.active = false;
    release();
    if (queue.get(conversationId) === tail) queue.delete(conversationId);
  }
}
