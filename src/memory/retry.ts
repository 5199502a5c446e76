/**
 * What a failed trip means for the caller: how long to wait before another, and which error to show in the end.
 *
 * @module
 */
import type { Classified } from './driver.js';
import { MemoryConfigError, MemoryConnectionError, type MemoryError, MemoryStorageError } from './errors.js';

/** First and longest wait (ms) after a refused or lost connection, and after a lock or a moved slot. */
const WAITS = { connection: [20, 500], contention: [1, 100] } as const;

/**
 * Milliseconds to wait before the next attempt: exponential with full jitter
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 *
 * @param kind - of the failure
 * @param attempt - how many attempts have failed, from 1
 */
export function backoff(kind: keyof typeof WAITS, attempt: number): number {
  const [first, longest] = WAITS[kind];
  return Math.random() * Math.min(longest, first * 2 ** Math.min(attempt, 20));
}

/** Which kind of wait a failure wants; undefined when another attempt cannot help. */
export function waitKind(failure: Classified): keyof typeof WAITS | undefined {
  switch (failure.kind) {
    case 'refused':
    case 'lost':
    case 'timeout':
      return 'connection';
    case 'retryable':
      return 'contention';
    default:
      return undefined;
  }
}

/** Whether the trip may have been carried out although it failed. */
export function mayHaveApplied(failure: Classified): boolean {
  return failure.kind === 'lost' || failure.kind === 'timeout' || failure.kind === 'unreplicated';
}

/** What a call was about, for its errors. */
export interface CallContext {
  readonly provider: string;
  readonly operation: string;
  /** Conversation or user id. */
  readonly id?: string | undefined;
  /** Stands for the store: messages that are read are known to come from it (origin.ts). */
  readonly store?: object;
  /** Set when a step of a call of several was carried out: that a later one fails does not mean that nothing happened. */
  begun?: boolean;
}

/** `appendMessages "weather-chat-1"`. */
export function describeCall(call: CallContext): string {
  return call.id === undefined ? call.operation : `${call.operation} ${JSON.stringify(call.id)}`;
}

const ADVICE = {
  refused: 'Is the server running and reachable? See healthCheck() and jaf-memory doctor.',
  lost: 'Try again; a write with an operationId is never applied twice.',
  timeout: 'Try again, or give a longer deadline.',
  unreplicated: 'The write stands on the primary; try again to wait for its replicas.',
  retryable: 'Try again.',
} as const;

/**
 * The error of a failed call.
 *
 * @param call - what was called
 * @param failure - what the driver says of it
 * @param unknown - whether an attempt may have been applied
 */
export function errorOf(call: CallContext, failure: Classified, unknown: boolean): MemoryError {
  const outcome = unknown || call.begun ? 'unknown' : 'not_applied';
  const { provider, operation } = call;
  switch (failure.kind) {
    case 'refused':
    case 'lost':
    case 'timeout':
    case 'unreplicated':
      return new MemoryConnectionError(`${describeCall(call)}: ${failure.reason}. ${ADVICE[failure.kind]}`, {
        provider,
        code: failure.kind,
        outcome,
      });
    case 'retryable':
      return new MemoryConnectionError(`${describeCall(call)}: ${failure.reason}. ${ADVICE.retryable}`, {
        provider,
        code: 'timeout',
        outcome,
      });
    case 'config':
      return new MemoryConfigError(`${describeCall(call)}: ${failure.reason}.`, { provider, setting: operation, outcome });
    default:
      return new MemoryStorageError(`${describeCall(call)}: ${failure.reason}.`, { provider, operation, code: failure.kind, outcome });
  }
}
