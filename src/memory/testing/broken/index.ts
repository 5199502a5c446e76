/**
 * Deliberately broken drivers: each must fail on the case named for it, or the kit has gone blind.
 *
 * @module
 */
import type { BrokenDriver } from './broken.js';
import { brokenReads } from './reads.js';
import { brokenRetries } from './retries.js';
import { brokenWrites } from './writes.js';

export type { BrokenDriver } from './broken.js';

/** Every classic mistake the kit knows. */
export const brokenDrivers: readonly BrokenDriver[] = [...brokenWrites, ...brokenReads, ...brokenRetries];
