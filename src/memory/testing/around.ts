/**
 * Standing between callers and a driver.
 *
 * @module
 */
import type { StorageDriver } from '../driver.js';

/** The methods of a driver that are one trip. */
export const OPERATIONS = ['ping', 'write', 'pack', 'read', 'list', 'stats', 'remove', 'purge', 'bar'] as const;
/** One of them. */
export type Operation = (typeof OPERATIONS)[number];

/**
 * A driver whose trips go through a function; everything else goes straight to the driver under it.
 *
 * @param driver - the driver under it
 * @param trip - called for each trip; `send` carries it out
 */
export function aroundTrips(
  driver: StorageDriver,
  trip: <R>(operation: Operation, args: readonly unknown[], send: () => Promise<R>) => Promise<R>,
): StorageDriver {
  return {
    name: driver.name,
    contract: driver.contract,
    capabilities: driver.capabilities,
    target: driver.target,
    open: () => driver.open(),
    close: () => driver.close(),
    ping: (t) => trip('ping', [], () => driver.ping(t)),
    write: (batch, t) => trip('write', [batch], () => driver.write(batch, t)),
    pack: (pack, t) => trip('pack', [pack], () => driver.pack(pack, t)),
    read: (read, t) => trip('read', [read], () => driver.read(read, t)),
    list: (list, t) => trip('list', [list], () => driver.list(list, t)),
    stats: (query, t) => trip('stats', [query], () => driver.stats(query, t)),
    remove: (remove, t) => trip('remove', [remove], () => driver.remove(remove, t)),
    purge: (purge, t) => trip('purge', [purge], () => driver.purge(purge, t)),
    ...(driver.scrub ? { scrub: (t) => driver.scrub?.(t) ?? Promise.resolve() } : {}),
    ...(driver.inspect ? { inspect: (i, t) => driver.inspect?.(i, t) ?? Promise.resolve({ looked: 0, orphans: 0 }) } : {}),
    bar: (hash, until, t) => trip('bar', [hash, until], () => driver.bar(hash, until, t)),
    classify: (error) => driver.classify(error),
  };
}

/**
 * A driver that stays open when a provider on it is closed: several providers can share it.
 *
 * @param driver - the driver under it; whoever opened it closes it
 */
export function keepOpen(driver: StorageDriver): StorageDriver {
  return { ...aroundTrips(driver, (_operation, _args, send) => send()), close: async () => undefined };
}
