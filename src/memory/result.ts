/**
 * Results: what a write answers instead of throwing.
 *
 * @module
 */
import type { MemoryError } from './errors.js';

/** A write that succeeded. */
export class Success<T> {
  /** Tells the two apart: `if (result.ok)`. */
  readonly ok = true as const;
  /** What the call answers; of a provider's writes a receipt. */
  readonly data: T;
  /** @param data - what the call answers */
  constructor(data: T) {
    this.data = data;
  }
}

/** A write that failed; nothing was thrown. */
export class Failure<E> {
  /** Tells the two apart: `if (!result.ok)`. */
  readonly ok = false as const;
  /** Why it failed; of a provider's writes a {@link MemoryError}. */
  readonly error: E;
  /** @param error - why it failed */
  constructor(error: E) {
    this.error = error;
  }
}

/** The answer of a write: look at `ok`, or use `instanceof Success` and `instanceof Failure`. */
export type Result<T, E = MemoryError> = Success<T> | Failure<E>;

/**
 * Takes the data out of a result, or throws its error. An ignored `Failure` is a silently lost message: unwrap every
 * write whose result you do not look at.
 *
 * @param result - what a write answered
 * @returns the data of a `Success`
 * @throws the error of a `Failure`
 * @example
 * const receipt = unwrap(await provider.appendMessages('chat-1', [user('Hello')]));
 */
export function unwrap<T, E>(result: Result<T, E>): T {
  if (result.ok) return result.data;
  throw result.error;
}
