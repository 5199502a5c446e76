// The whole kit on a cluster: our own connections, and a node-redis cluster of the caller.
import { createCluster } from 'redis';
import { afterAll, beforeAll } from 'vitest';
import { connectionFor } from '../../src/memory/providers/redis/connect.js';
import { redisBackend } from '../support/redis-backend.js';
import { type RedisCluster, startCluster } from '../support/redis-cluster.js';
import { conformance } from './conformance.js';

let cluster: RedisCluster;
let shared: ReturnType<typeof createCluster>;

beforeAll(async () => {
  cluster = await startCluster();
  shared = createCluster({ rootNodes: cluster.nodes.map(({ host, port }) => ({ url: `redis://${host}:${port}` })) });
  shared.on('error', () => undefined);
  await shared.connect();
}, 60_000);
afterAll(async () => {
  shared?.destroy();
  await cluster?.destroy();
});

const keys: RedisCluster['keys'] = (prefix) => cluster.keys(prefix);
conformance(redisBackend('redis-cluster', () => connectionFor({ clusterNodes: cluster.nodes.slice(0, 2) }, undefined, 5000), keys));
// how a command gets there is all that differs
conformance(
  redisBackend('redis-cluster-shared', () => connectionFor({}, shared, 5000), keys),
  { topics: ['write', 'retries', 'concurrency', 'packing'] },
);
