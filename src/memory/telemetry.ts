/**
 * What a provider tells `node:diagnostics_channel`: its operations on the tracing channel `jaf:memory`, its events on the
 * channel `jaf:memory:event`. Ids, names and counts, never content. While nobody listens it costs one look.
 *
 * @module
 */
import { channel, tracingChannel } from 'node:diagnostics_channel';
import type { StorageDriver, StoreTarget } from './driver.js';
import { MemoryError } from './errors.js';
import type { Result } from './result.js';
import type { CallContext } from './retry.js';
import type { ConversationMemory, MemoryEvent, MessagePage, WriteReceipt } from './types.js';

/**
 * One call of a provider's method, the message of the channels `tracing:jaf:memory:start`, `end`, `asyncStart`, `asyncEnd` and
 * `error`. The same object from the first to the last; `userId` may come, and what is below it comes, at the end.
 */
export interface MemoryOperation {
  /** Name of the backend, e.g. `sqlite`. */
  readonly provider: string;
  /** The method; for the walks of an export or a clean-up `exportConversations` and `cleanupConversations`. */
  readonly operation: string;
  /** Where the store is, as far as that is known. */
  readonly target?: StoreTarget;
  /** The conversation the call names. */
  readonly conversationId?: string;
  /** The user of a `forUser` handle, else the one a write or a query names. */
  userId?: string;
  /** How long it took; of a walk, without the time its reader took. */
  milliseconds?: number;
  /** What was thrown, or is in the `Failure`. Its text may name an id. */
  error?: unknown;
  /** `code` of that error, `internal` for one that is no `MemoryError`. */
  code?: string;
  /** Messages that were written or read. */
  messages?: number;
  /** Conversations that were read or removed. */
  conversations?: number;
  /** The write had been made before. */
  duplicate?: boolean;
}

/** The operations: subscribe with `tracingChannel('jaf:memory').subscribe({ start, end, asyncStart, asyncEnd, error })`. */
const operations = tracingChannel<unknown, MemoryOperation>('jaf:memory');
/** The events: what `onEvent` is told. */
const events = channel('jaf:memory:event');

/** Whether anybody listens to operations. */
export function isTraced(): boolean {
  return operations.hasSubscribers;
}

/** Methods whose id is a user's. */
const BY_USER: ReadonlySet<string> = new Set(['getStats', 'clearUserConversations']);

/** What is known of a call when it begins. */
export function noteOf(call: CallContext, { target }: Pick<StorageDriver, 'target'>, userId: string | undefined): MemoryOperation {
  const byUser = BY_USER.has(call.operation);
  const user = userId ?? (byUser ? call.id : undefined);
  return {
    provider: call.provider,
    operation: call.operation,
    ...(target ? { target } : {}),
    ...(call.id !== undefined && !byUser ? { conversationId: call.id } : {}),
    ...(user === undefined ? {} : { userId: user }),
  };
}

/** Runs a call between `start` and `asyncEnd`, with what subscribers have bound to `start`. */
export function traced<T>(note: MemoryOperation, run: () => Promise<T>): Promise<T> {
  const started = performance.now();
  return operations.start.runStores(note, () => {
    // a call does everything up to its first wait here, so that calls apply in call order
    const running = run();
    operations.end.publish(note);
    return running.then(
      (result) => {
        readCounts(note, result);
        endNote(note, performance.now() - started, note.error);
        return result;
      },
      (error: unknown) => {
        endNote(note, performance.now() - started, error);
        throw error;
      },
    );
  });
}

/** Tells of a walk that begins; it goes on in other contexts than this one. */
export function beginWalk(note: MemoryOperation): MemoryOperation {
  note.conversations = 0;
  note.messages = 0;
  operations.start.publish(note);
  operations.end.publish(note);
  return note;
}

/** Tells how a call ended. */
export function endNote(note: MemoryOperation, milliseconds: number, error?: unknown): void {
  note.milliseconds = milliseconds;
  if (error !== undefined) {
    note.error = error;
    note.code = error instanceof MemoryError ? error.code : 'internal';
    operations.error.publish(note);
  }
  operations.asyncStart.publish(note);
  operations.asyncEnd.publish(note);
}

/** Counts of what a method answered. */
function readCounts(note: MemoryOperation, answer: unknown): void {
  switch (note.operation) {
    case 'storeMessages':
    case 'appendMessages':
    case 'restoreConversation': {
      const result = answer as Result<WriteReceipt>;
      if (!result.ok) note.error = result.error;
      else note.duplicate = result.data.duplicate;
      if (!result.ok || result.data.duplicate) note.messages = 0;
      return;
    }
    case 'getConversation': {
      const found = answer as ConversationMemory | undefined;
      note.conversations = found ? 1 : 0;
      note.messages = found?.messages.length ?? 0;
      return;
    }
    case 'getRecentMessages':
      note.messages = (answer as readonly unknown[]).length;
      return;
    case 'getMessages':
      note.messages = (answer as MessagePage).items.length;
      return;
    case 'findConversations': {
      const found = answer as readonly ConversationMemory[];
      note.conversations = found.length;
      note.messages = found.reduce((sum, one) => sum + one.messages.length, 0);
      return;
    }
    case 'deleteConversation':
    case 'clearUserConversations':
    case 'purgeExpired':
      note.conversations = Number(answer);
      return;
    default:
  }
}

/**
 * Tells an event to the listener of a provider and to the channel.
 *
 * @param listener - an exception in it becomes a process warning
 * @param event - complete
 */
export function emitEvent(listener: ((event: MemoryEvent) => void) | undefined, event: MemoryEvent): void {
  if (events.hasSubscribers) events.publish(event);
  if (!listener) return;
  try {
    listener(event);
  } catch (error) {
    process.emitWarning(`onEvent threw on "${event.type}": ${error instanceof Error ? error.name : typeof error}`, {
      code: 'JAF_ON_EVENT',
    });
  }
}
