// The whole kit as a user who may do no more than the rights that are documented, and nothing outside of the prefix.
import { afterAll, beforeAll } from 'vitest';
import { connectionFor } from '../../src/memory/providers/redis/connect.js';
import { COMMANDS } from '../../src/memory/providers/redis/open.js';
import { connect, keysOf, useRedis } from '../support/redis.js';
import { redisBackend } from '../support/redis-backend.js';
import { conformance } from './conformance.js';

let server: Awaited<ReturnType<typeof useRedis>>;
let admin: Awaited<ReturnType<typeof connect>>;
const username = `jaf-test-${process.pid}`;

beforeAll(async () => {
  server = await useRedis();
  admin = await connect(server.url);
  await admin.sendCommand(['ACL', 'SETUSER', username, 'reset', 'on', '>secret', '~{jaf-test-acl-*', ...COMMANDS.split(' ')]);
});
afterAll(async () => {
  await admin?.sendCommand(['ACL', 'DELUSER', username]);
  admin?.destroy();
  await server?.destroy();
});

conformance(
  redisBackend(
    'acl',
    () => {
      const { hostname, port } = new URL(server.url);
      return connectionFor({ host: hostname, port: Number(port), username, password: 'secret' }, undefined, 5000);
    },
    async (prefix) => (await keysOf(admin, prefix)).map((name) => ({ client: admin, name })),
  ),
);
