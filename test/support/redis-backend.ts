/** The Redis driver as a backend of the conformance kit, through any connection. */
import type { Backend } from 'jaf/memory/testing';
import type { Connection } from '../../src/memory/providers/redis/client.js';
import { createRedisDriver } from '../../src/memory/providers/redis/driver.js';
import type { connect } from './redis.js';

type Client = Awaited<ReturnType<typeof connect>>;

/**
 * A backend.
 *
 * @param open - makes a connection; called when a driver is opened
 * @param keys - every key of a namespace, with a client of the server that holds it
 */
export function redisBackend(
  name: string,
  open: () => Promise<Connection>,
  keys: (prefix: string) => Promise<readonly { readonly client: Client; readonly name: string }[]>,
): Backend {
  let stores = 0;
  let prefix = '';
  const driver = (): ReturnType<typeof createRedisDriver> => createRedisDriver({ keyPrefix: prefix }, open);
  return {
    name,
    capabilities: ['persistent', 'shared', 'bodies'],
    create: async () => {
      prefix = `jaf-test-${name}-${process.pid}-${++stores}:`;
      return driver();
    },
    reopen: async () => driver(),
    bodies: async () => {
      let count = 0;
      for (const { client, name: key } of await keys(prefix)) {
        if (/\}m[01]:/.test(key)) count += await client.lLen(key);
        else if (/\}s:/.test(key)) count += await client.hLen(key);
      }
      return count;
    },
    destroy: async () => {
      for (const { client, name: key } of await keys(prefix)) await client.unlink(key);
    },
  };
}
