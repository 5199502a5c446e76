/**
 * What a deliberately broken driver is.
 *
 * @module
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { StorageDriver } from '../../driver.js';
import { aroundTrips } from '../around.js';

/** A classic mistake, put around a healthy driver. */
export interface BrokenDriver {
  /** The mistake. */
  readonly name: string;
  /** How one comes to make it. */
  readonly mistake: string;
  /** The case that must fail on it: `topic: name`. */
  readonly failsOn: string;
  /** Puts the mistake around a driver. */
  readonly wrap: (driver: StorageDriver) => StorageDriver;
}

/** A driver that differs from another in some methods. */
export function variant(driver: StorageDriver, change: Partial<StorageDriver>): StorageDriver {
  return { ...aroundTrips(driver, (_operation, _args, send) => send()), ...change };
}

/** Lets whatever is waiting go first: the moment between the two halves of a mistake. */
export async function pause(): Promise<void> {
  await nextTurn();
}
