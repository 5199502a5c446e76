import { afterAll, beforeAll, it } from 'vitest';
import { createRedisDriver } from '../../src/memory/providers/redis/driver.js';
import { SharedConnection } from '../../src/memory/providers/redis/node-redis-shared.js';
import { compareWithReference } from '../support/differential.js';
import { connect, keysOf, useRedis } from '../support/redis.js';

let server: Awaited<ReturnType<typeof useRedis>>;
let client: Awaited<ReturnType<typeof connect>>;

beforeAll(async () => {
  server = await useRedis();
  client = await connect(server.url);
});
afterAll(async () => {
  client?.destroy();
  await server?.destroy();
});

it.each([1, 4])('answers what the reference answers, step by step, with %i buckets', { timeout: 600_000 }, async (buckets) => {
  const keyPrefix = `jaf-test-differential-${process.pid}-${buckets}:`;
  // what a write removes beside its work would be missing to the counts of the next sweep
  const mine = createRedisDriver({ keyPrefix, buckets, neighbours: 0 }, async () => new SharedConnection(client));
  await mine.open();
  await compareWithReference(mine, async () => {
    const keys = (await keysOf(client, keyPrefix)).filter((key) => !key.endsWith('settings'));
    if (keys.length > 0) await client.unlink(keys);
  });
});
