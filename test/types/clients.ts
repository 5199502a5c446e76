// The clients of the network backends fit the structural types: the package names no type of theirs.
import { Cluster, Redis } from 'ioredis';
import { type IoRedisLike, type NodeRedisLike, type PgLike, createPostgresProvider, createRedisProvider } from 'jaf/memory';
import pg from 'pg';
import { createClient, createCluster, createSentinel } from 'redis';

const url = 'redis://127.0.0.1:6379';

/** Compiled, never called: it would connect. */
export async function clients(): Promise<unknown[]> {
  const nodeRedis: NodeRedisLike[] = [
    createClient({ url }),
    await createClient({ url }).connect(),
    createClient({ url, RESP: 3 }),
    createCluster({ rootNodes: [{ url }] }),
    createSentinel({ name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port: 26379 }] }),
  ];
  const ioRedis: IoRedisLike[] = [
    new Redis(url, { lazyConnect: true }),
    new Cluster([{ host: '127.0.0.1', port: 7000 }], { lazyConnect: true }),
  ];
  const pool = new pg.Pool();
  const postgres: PgLike[] = [pool, new pg.Client(), await pool.connect()];

  await createRedisProvider({}, createClient({ url }));
  await createRedisProvider({ keyPrefix: 'jaf:memory:', ttl: 86_400 }, new Redis(url));
  await createRedisProvider({ waitReplicas: { count: 1, timeout: 100 } }, createCluster({ rootNodes: [{ url }] }));
  await createPostgresProvider({ tableName: 'app.conversations' }, pool);
  // @ts-expect-error a Postgres client is not a Redis client
  await createRedisProvider({}, pool);
  // @ts-expect-error a Redis client is not a Postgres client
  await createPostgresProvider({}, createClient({ url }));
  // @ts-expect-error the setting's name is keyPrefix
  await createRedisProvider({ prefix: 'x:' });
  return [nodeRedis, ioRedis, postgres];
}
