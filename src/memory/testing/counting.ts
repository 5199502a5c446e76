/**
 * Counting trips.
 *
 * @module
 */
import type { StorageDriver } from '../driver.js';
import { aroundTrips, type Operation } from './around.js';

/** A driver that counts its trips. */
export interface CountingDriver extends StorageDriver {
  /** Trips so far, by operation; those that never happened are absent. */
  readonly counts: Readonly<Partial<Record<Operation, number>>>;
  /** All trips so far. */
  readonly total: number;
  /** Begins again at nothing. */
  reset(): void;
}

/**
 * Counts the trips of a driver, also those that fail.
 *
 * @param driver - the driver under it
 * @example
 * const driver = counting(inner);
 * await createProvider(driver).getConversation('chat-1');
 * driver.counts; // { read: 1 }
 */
export function counting(driver: StorageDriver): CountingDriver {
  let counts: Partial<Record<Operation, number>> = {};
  const counted = aroundTrips(driver, (operation, _args, send) => {
    counts[operation] = (counts[operation] ?? 0) + 1;
    return send();
  });
  return {
    ...counted,
    get counts() {
      return counts;
    },
    get total() {
      return Object.values(counts).reduce((sum, n) => sum + n, 0);
    },
    reset: () => {
      counts = {};
    },
  };
}
