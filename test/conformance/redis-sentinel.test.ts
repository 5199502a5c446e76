// The whole kit through sentinels: our own connection, and a node-redis sentinel of the caller.
import { createSentinel } from 'redis';
import { afterAll, beforeAll } from 'vitest';
import { connectionFor } from '../../src/memory/providers/redis/connect.js';
import { keysOf } from '../support/redis.js';
import { redisBackend } from '../support/redis-backend.js';
import { type RedisSentinel, startSentinel } from '../support/redis-sentinel.js';
import { conformance } from './conformance.js';

let servers: RedisSentinel;
let shared: ReturnType<typeof createSentinel>;

beforeAll(async () => {
  servers = await startSentinel();
  shared = createSentinel({ name: servers.service, sentinelRootNodes: servers.sentinels, reserveClient: true });
  shared.on('error', () => undefined);
  await shared.connect();
}, 60_000);
afterAll(async () => {
  await shared?.destroy();
  await servers?.destroy();
});

async function keys(prefix: string): Promise<{ client: Awaited<ReturnType<RedisSentinel['admin']>>; name: string }[]> {
  const client = await servers.admin(await servers.primary());
  return (await keysOf(client, prefix)).map((name) => ({ client, name }));
}

const config = (): object => ({ sentinels: servers.sentinels, sentinelServiceName: servers.service });
conformance(redisBackend('redis-sentinel', () => connectionFor(config(), undefined, 5000), keys));
// How a command gets there is all that differs. Of 50 writers through one sentinel some are told that their write may have been
// sent twice: it does not say when it sends again, and Node holds on to the mark until the socket takes it.
conformance(
  redisBackend('redis-sentinel-shared', () => connectionFor({}, shared, 5000), keys),
  {
    topics: ['write', 'retries', 'concurrency', 'packing'],
    filter: (id) => !/50 providers|many creations|driver: of appends at once/.test(id),
  },
);
