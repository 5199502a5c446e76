// The whole kit through an ioredis cluster of the caller.
import { Cluster } from 'ioredis';
import { afterAll, beforeAll } from 'vitest';
import { connectionFor } from '../../src/memory/providers/redis/connect.js';
import { redisBackend } from '../support/redis-backend.js';
import { type RedisCluster, startCluster } from '../support/redis-cluster.js';
import { conformance } from './conformance.js';

let cluster: RedisCluster;
let shared: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
  shared = new Cluster(cluster.nodes);
  await new Promise((resolve) => shared.once('ready', resolve));
}, 60_000);
afterAll(async () => {
  shared?.disconnect();
  await cluster?.destroy();
});

conformance(
  redisBackend(
    'ioredis-cluster',
    () => connectionFor({}, shared, 5000),
    (prefix) => cluster.keys(prefix),
  ),
);
