import type { Backend } from 'jaf/memory/testing';
import { afterAll, beforeAll } from 'vitest';
import { createRedisDriver } from '../../src/memory/providers/redis/driver.js';
import { SharedConnection } from '../../src/memory/providers/redis/node-redis-shared.js';
import { connect, keysOf, useRedis } from '../support/redis.js';
import { conformance } from './conformance.js';

let server: Awaited<ReturnType<typeof useRedis>>;
/** What the drivers share. */
let client: Awaited<ReturnType<typeof connect>>;
let admin: Awaited<ReturnType<typeof connect>>;
let stores = 0;
let prefix = '';
let trips = 0;
let sending = false;

beforeAll(async () => {
  server = await useRedis();
  admin = await connect(server.url);
  client = await connect(server.url);
  const send = client.sendCommand.bind(client);
  client.sendCommand = (...args: Parameters<typeof send>) => {
    // what is sent without waiting leaves together
    if (!sending) {
      sending = true;
      trips++;
      setImmediate(() => (sending = false));
    }
    return send(...args);
  };
});
afterAll(async () => {
  client?.destroy();
  admin?.destroy();
  await server?.destroy();
});

function backend(buckets: number): Backend {
  const driver = (): ReturnType<typeof createRedisDriver> =>
    createRedisDriver({ keyPrefix: prefix, buckets }, async () => new SharedConnection(client));
  return {
    name: buckets === 1 ? 'redis' : `redis, ${buckets} buckets`,
    // over several buckets a list takes a second trip for the bodies
    capabilities: ['persistent', 'shared', 'bodies', ...(buckets === 1 ? (['roundTrips'] as const) : [])],
    create: async () => {
      prefix = `jaf-test-${process.pid}-${++stores}:`;
      return driver();
    },
    reopen: async () => driver(),
    roundTrips: () => trips,
    bodies: async () => {
      let count = 0;
      for (const key of await keysOf(admin, prefix)) {
        if (/\}m[01]:/.test(key)) count += await admin.lLen(key);
        else if (/\}s:/.test(key)) count += await admin.hLen(key);
      }
      return count;
    },
    destroy: async () => {
      const keys = await keysOf(admin, prefix);
      if (keys.length > 0) await admin.unlink(keys);
    },
  };
}

conformance(backend(1));
conformance(backend(4));
