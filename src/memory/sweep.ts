/**
 * The background sweep of a provider.
 *
 * @module
 */
import { MemoryError } from './errors.js';
import { internalsOf } from './internals.js';
import type { MemoryProvider } from './types.js';

/** Default of `sweep.every`, in seconds. */
export const SWEEP_SECONDS = 60;

/**
 * Purges in the background until the provider is closed, one sweep at a time; the timer does not keep the process alive.
 * What went is told by the event `expired`; beside it `swept` (with `milliseconds`) says that it was the sweep, and
 * `sweep_failed` (with `code`) that one failed: the next one tries again.
 *
 * @param provider - one made by `createProvider`
 * @param every - seconds between sweeps
 */
export function startSweeping(provider: MemoryProvider, every: number): void {
  sweeper(provider, every, () => true)();
}

/**
 * As {@link startSweeping}, but only while there is something to wait for.
 *
 * @param provider - one made by `createProvider`
 * @param every - seconds between sweeps
 * @param needed - asked after each sweep; false ends the timer
 * @returns starts the timer, unless it is running
 */
export function sweeper(provider: MemoryProvider, every: number, needed: () => boolean): () => void {
  const core = internalsOf(provider)?.core;
  if (!core) throw new TypeError('sweeper: expected a provider made by createProvider');
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  const stop = (): void => {
    clearInterval(timer);
    timer = undefined;
  };
  const sweep = async (): Promise<void> => {
    if (running) return;
    running = true;
    const started = performance.now();
    try {
      const conversations = await provider.purgeExpired();
      if (conversations > 0) core.emit({ type: 'swept', milliseconds: Math.round(performance.now() - started) });
    } catch (error) {
      // closed in the middle of it: the next process sweeps
      if (!core.closed) core.emit({ type: 'sweep_failed', code: error instanceof MemoryError ? error.code : 'internal' });
    } finally {
      running = false;
      if (!needed()) stop();
    }
  };
  core.onClose(stop);
  return () => {
    if (timer || core.closed) return;
    timer = setInterval(() => void sweep(), every * 1000);
    timer.unref();
  };
}
