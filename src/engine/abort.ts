/**
 * Waiting that an `AbortSignal` can end.
 *
 * @module
 */
import { RunAbortError } from './errors.js';

/** @throws RunAbortError when the signal is aborted */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new RunAbortError(signal);
}

/**
 * Waits for a promise or for the signal, whichever is first. What is waited for goes on; only the waiting ends.
 *
 * @throws RunAbortError when the signal was first
 */
export async function abortable<T>(promise: PromiseLike<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => reject(new RunAbortError(signal));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    const forget = (): void => signal.removeEventListener('abort', stop);
    promise.then(forget, forget);
    promise.then(resolve, reject);
  });
}

/** Reads an async iterable until it ends or the signal is aborted; a producer that hangs is left behind. */
export async function* abortableItems<T>(items: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  let finished = false;
  try {
    for (;;) {
      const step = await abortable(iterator.next(), signal);
      if (step.done) {
        finished = true;
        return;
      }
      yield step.value;
    }
  } finally {
    // a generator that waits for a dead server answers return() only after that wait: do not wait with it
    if (!finished) iterator.return?.()?.then(undefined, () => undefined);
  }
}
