/**
 * The in-memory driver as a backend of the kit.
 *
 * @module
 */
import { InMemoryDriver } from '../../providers/in-memory/driver.js';
import type { Backend } from '../backend.js';

/** The in-memory driver: the quickest store to try a test on. */
export function inMemoryBackend(): Backend {
  return {
    name: 'memory',
    capabilities: [],
    create: async (clock) => new InMemoryDriver(undefined, clock.now),
    destroy: async () => undefined,
  };
}
