// The command line on a Redis Cluster: what earlier implementations stored on any master is converted; recordings are replayed.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRedisProvider } from 'jaf/memory';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RedisCluster, startCluster } from '../support/redis-cluster.js';
import { cli, testFolder } from './cli-run.js';

const PREFIX = 'jaf-test-older:';
const COUNT = 60;
let cluster: RedisCluster;

beforeAll(async () => {
  cluster = await startCluster();
}, 120_000);
afterAll(async () => {
  await cluster?.destroy();
});

it('finds, converts and removes what is on any master', { timeout: 120_000 }, async () => {
  const masters = new Set<number>();
  for (let i = 0; i < COUNT; i++) {
    const value = { conversationId: `c${i}`, userId: 'ada', messages: [{ role: 'user', content: `m${i}` }], metadata: {} };
    const key = `${PREFIX}c${i}`;
    const primary = await cluster.primaryOf(key);
    masters.add(primary.port);
    await (await cluster.admin(primary)).set(key, JSON.stringify(value));
  }
  expect(masters.size).toBe(3);
  // one node is enough to find the others
  const [node] = cluster.nodes;
  const env = { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_CLUSTER_NODES: `127.0.0.1:${node?.port ?? 0}`, JAF_REDIS_KEY_PREFIX: PREFIX };
  const doctor = await cli(['doctor'], { env });
  expect(doctor.stdout).toContain(`${COUNT} conversations of earlier versions`);
  const { code, stdout, stderr } = await cli(['migrate', '--to', 'lists', '--remove-source', '--json'], { env });
  expect({ code, stderr }).toStrictEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toMatchObject({ keys: COUNT, conversations: COUNT, converted: COUNT, removed: COUNT });
  expect(JSON.parse((await cli(['migrate', '--to', 'lists', '--json'], { env })).stdout)).toMatchObject({ keys: 0 });
  const provider = await createRedisProvider({ clusterNodes: cluster.nodes, keyPrefix: PREFIX });
  expect(await provider.getStats('ada')).toMatchObject({ userConversations: COUNT, userMessages: COUNT });
  expect((await provider.getConversation('c7'))?.messages).toStrictEqual([{ role: 'user', content: 'm7' }]);
  await provider.close();
});

it('replays recordings without a difference', { timeout: 120_000 }, async () => {
  const recorded = join(testFolder(), 'r.ndjson');
  const messages = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: 'hello' },
  ];
  writeFileSync(recorded, ['a', 'b', 'c'].map((id) => JSON.stringify({ conversation_id: id, user_id: 'ada', messages })).join('\n'));
  const nodes = cluster.nodes.map(({ host, port }) => `${host}:${port}`).join();
  const env = { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_CLUSTER_NODES: nodes, JAF_REDIS_KEY_PREFIX: 'jaf-test-replay:' };
  const { code, stdout, stderr } = await cli(['replay', '--json', process.env['JAF_TEST_DATA'] ?? recorded], { env });
  expect({ code, stderr }).toStrictEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toMatchObject({ stores: [{ store: 'redis', otherWrites: 0, differences: [] }] });
});
