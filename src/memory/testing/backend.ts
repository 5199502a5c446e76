/**
 * What a storage backend hands to the kit.
 *
 * @module
 */
import type { StorageDriver } from '../driver.js';
import type { MemoryProvider } from '../types.js';
import type { FakeClock } from './clock.js';

/**
 * What a backend can do beyond the basics. Cases that need one are skipped for a backend that does not declare it, and
 * the skipped ones are listed: nothing else skips a case.
 *
 * - `persistent`: a driver made by `reopen` after the first was closed finds what was stored;
 * - `shared`: a driver made by `reopen` works beside the first on the same store;
 * - `roundTrips`: the backend counts what it sends, see {@link Backend.roundTrips};
 * - `bodies`: the backend counts what it keeps, see {@link Backend.bodies}.
 */
export type Capability = 'persistent' | 'shared' | 'roundTrips' | 'bodies';

/**
 * A storage backend as the kit runs it: one small file.
 *
 * @example
 * export const backend: Backend = {
 *   name: 'my-store',
 *   capabilities: ['persistent'],
 *   async create(clock) { folder = await mkdtemp(…); return createMyDriver({ folder, clock: clock.now }); },
 *   async reopen(clock) { return createMyDriver({ folder, clock: clock.now }); },
 *   async destroy() { await rm(folder, { recursive: true }); },
 * };
 */
export interface Backend {
  /** Shown in reports. */
  readonly name: string;
  /** What it can do beyond the basics. */
  readonly capabilities: readonly Capability[];
  /**
   * A driver on a fresh, empty store; `open` is called by the kit.
   *
   * @param clock - the driver's own clock, where it has none but the process's; a server keeps its own
   */
  create(clock: FakeClock): Promise<StorageDriver>;
  /** Another driver on the store of the last `create` (`persistent` or `shared`). */
  reopen?(clock: FakeClock): Promise<StorageDriver>;
  /** Puts something around every provider of the cases: a decorator is held to what a provider is held to. */
  decorate?(provider: MemoryProvider, clock: FakeClock): MemoryProvider;
  /** Round trips the driver of the last `create` has made so far (`roundTrips`). */
  roundTrips?(): number;
  /** Message bodies and segments that take up space in the store of the last `create`, invisible ones included (`bodies`). */
  bodies?(): Promise<number>;
  /** Removes the store of the last `create`; its drivers are closed. */
  destroy(): Promise<void>;
}
