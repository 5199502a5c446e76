/**
 * The errors of a run. They come in `outcome.error`; `run()` itself does not reject. Errors of the memory, of a model and
 * of its client are passed on as they are.
 *
 * @module
 */
import { MemoryConfigError } from '../memory/errors.js';

/** What went wrong in a run; see {@link RunError}. */
export type RunErrorCode =
  /** The model wanted more than `maxTurns` calls. */
  | 'max_turns'
  /** The model answered something that is not an assistant message, or nothing. */
  | 'model_reply'
  /** The final text is not JSON, or does not fit `outputSchema`. */
  | 'output_invalid'
  /** `signal` was aborted, or the reader left a stream. */
  | 'aborted'
  /** A run inside a tool would wait for the run it belongs to. */
  | 'nested_run';

/** A run could not be completed. */
export class RunError extends Error {
  /** Stable, machine-readable. */
  readonly code: RunErrorCode;
  /**
   * @param code - see {@link RunErrorCode}
   * @param message - what, why, and what to do; shown as `[jaf: code] message`
   * @param options - the cause
   */
  constructor(code: RunErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(`[jaf: ${code}] ${message}`, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The run was ended by its signal; `name` is `AbortError`, `cause` is the signal's reason. */
export class RunAbortError extends RunError {
  constructor(signal: AbortSignal | undefined) {
    super('aborted', 'run: aborted. What was acknowledged by the store stays; run again to go on.', { cause: signal?.reason });
    this.name = 'AbortError';
  }
}

/** A setting of a run is wrong. */
export function configError(setting: string, message: string, code?: string): MemoryConfigError {
  return new MemoryConfigError(message, { provider: 'none', setting, code });
}

/** Anything thrown, as an `Error`. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(typeof thrown === 'string' ? thrown : 'something that is not an Error was thrown', { cause: thrown });
}
