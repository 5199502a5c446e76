/**
 * Which connection a configuration and a client of the caller mean.
 *
 * @module
 */
import type { IoRedisLike, NodeRedisLike, RedisConfig } from '../../types.js';
import type { Connection } from './client.js';
import { shareIoRedis } from './ioredis.js';
import { clientOptions, createOwnClient, loadNodeRedis, type MakeClient, OwnConnection } from './node-redis.js';
import { ClusterConnection } from './node-redis-cluster.js';
import { SentinelConnection } from './node-redis-sentinel.js';
import { shareNodeRedis } from './node-redis-shared.js';

/**
 * Makes the connection; of our own ones nothing is connected yet.
 *
 * @param config - checked
 * @param client - of the caller; decides alone where it leads
 * @param deadline - ms a connection may take to be made
 * @throws MemoryConfigError when the client is none that is known, or the `redis` package is missing
 */
export async function connectionFor(
  config: RedisConfig,
  client: NodeRedisLike | IoRedisLike | undefined,
  deadline: number,
): Promise<Connection> {
  if (client) return 'call' in client && 'status' in client ? shareIoRedis(client) : shareNodeRedis(client);
  const redis = await loadNodeRedis();
  const make: MakeClient = (address) => createOwnClient(redis, clientOptions(config, address, deadline));
  const waits = config.waitReplicas !== undefined;
  const { host = 'localhost', port = 6379, sentinels, sentinelServiceName: service = '', clusterNodes: nodes } = config;
  if (nodes) return new ClusterConnection({ nodes, make, waits });
  if (sentinels) {
    const { username: _user, password: _password, db: _db, ...open } = config;
    return new SentinelConnection({
      sentinels,
      service,
      make,
      makeSentinel: (address) => createOwnClient(redis, clientOptions(open, address, deadline)),
      waits,
    });
  }
  return new OwnConnection(() => make({ host, port }), waits);
}
