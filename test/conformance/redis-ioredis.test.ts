// The whole kit through an ioredis client of the caller.
import { Redis } from 'ioredis';
import { afterAll, beforeAll } from 'vitest';
import { connectionFor } from '../../src/memory/providers/redis/connect.js';
import { connect, keysOf, useRedis } from '../support/redis.js';
import { redisBackend } from '../support/redis-backend.js';
import { conformance } from './conformance.js';

let server: Awaited<ReturnType<typeof useRedis>>;
let admin: Awaited<ReturnType<typeof connect>>;
let shared: Redis;

beforeAll(async () => {
  server = await useRedis();
  admin = await connect(server.url);
  shared = new Redis(server.url);
  await new Promise((resolve) => shared.once('ready', resolve));
});
afterAll(async () => {
  shared?.disconnect();
  admin?.destroy();
  await server?.destroy();
});

conformance(
  redisBackend(
    'ioredis',
    () => connectionFor({}, shared, 5000),
    async (prefix) => (await keysOf(admin, prefix)).map((name) => ({ client: admin, name })),
  ),
);
