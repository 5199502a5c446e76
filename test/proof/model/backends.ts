/** Every kind of store, in as many separate stores as programs run at the same time. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { StorageDriver } from '../../../src/memory/driver.js';
import { InMemoryDriver } from '../../../src/memory/providers/in-memory/driver.js';
import { createPostgresDriver } from '../../../src/memory/providers/postgres/driver.js';
import { connectionFor } from '../../../src/memory/providers/redis/connect.js';
import { createRedisDriver } from '../../../src/memory/providers/redis/driver.js';
import { createSqliteDriver } from '../../../src/memory/providers/sqlite/driver.js';
import { startPgBouncer } from '../../support/pgbouncer.js';
import { usePostgres } from '../../support/postgres.js';
import { useRedis } from '../../support/redis.js';
import { startCluster } from '../../support/redis-cluster.js';
import { CLIENTS } from './programs.js';

/** What {@link startBackend} knows. */
export const BACKENDS = [
  'memory',
  'sqlite',
  'redis',
  'ioredis',
  'redis-cluster',
  'postgres',
  'postgres-document',
  'postgres-pgbouncer',
] as const;
/** One of them. */
export type BackendName = (typeof BACKENDS)[number];

/** A backend whose servers are running. */
export interface Running {
  /**
   * Drivers of one store, a connection or a pool each.
   *
   * @param lane - which store
   * @param now - the clock of its programs
   */
  open(lane: number, now: () => number): Promise<StorageDriver[]>;
  stop(): Promise<void>;
}

const each = async (make: () => StorageDriver): Promise<StorageDriver[]> => {
  const drivers = Array.from({ length: CLIENTS }, make);
  for (const driver of drivers) await driver.open();
  return drivers;
};

/** Starts the servers a backend needs. */
export async function startBackend(name: BackendName): Promise<Running> {
  switch (name) {
    case 'memory':
      return {
        // one store in one process: everybody is on the same driver
        open: async (_lane, now) => {
          const driver = new InMemoryDriver(Number.MAX_SAFE_INTEGER, now);
          await driver.open();
          return [driver];
        },
        stop: async () => undefined,
      };
    case 'sqlite': {
      const folder = await mkdtemp(join(tmpdir(), 'jaf-proof-'));
      return {
        open: (lane, clock) => each(() => createSqliteDriver({ path: join(folder, `${lane}.db`), clock })),
        stop: () => rm(folder, { recursive: true, force: true }),
      };
    }
    case 'redis':
    case 'ioredis': {
      const server = await useRedis();
      const { hostname, port, pathname } = new URL(server.url);
      const shared = name === 'ioredis' ? new Redis(server.url) : undefined;
      if (shared) await new Promise((ready) => shared.once('ready', ready));
      const config = shared ? {} : { host: hostname, port: Number(port), db: Number(pathname.slice(1)) };
      return {
        open: (lane) =>
          each(() => createRedisDriver({ keyPrefix: `jaf-test-proof-${process.pid}-${lane}:` }, () => connectionFor(config, shared, 5000))),
        stop: async () => {
          shared?.disconnect();
          await server.destroy();
        },
      };
    }
    case 'redis-cluster': {
      const cluster = await startCluster();
      return {
        open: (lane) =>
          each(() =>
            createRedisDriver({ keyPrefix: `jaf-test-proof-${lane}:` }, () =>
              connectionFor({ clusterNodes: cluster.nodes }, undefined, 5000),
            ),
          ),
        stop: () => cluster.destroy(),
      };
    }
    case 'postgres':
    case 'postgres-document':
    case 'postgres-pgbouncer': {
      const server = await usePostgres();
      const pooler = name === 'postgres-pgbouncer' ? await startPgBouncer(server.url, 8) : undefined;
      const schema = (lane: number): string => `jaf_test_proof_${process.pid}_${lane}`;
      const connectionString = (pooler ?? server).url;
      let lanes = 0;
      return {
        open: (lane) => {
          lanes = Math.max(lanes, lane + 1);
          const config = {
            connectionString,
            schema: schema(lane),
            poolMaxSize: 2,
            deadline: 5000,
            layout: name === 'postgres-document' ? 'document' : 'rows',
            ...(pooler ? { preparedStatements: false } : {}),
          } as const;
          return each(() => createPostgresDriver(config));
        },
        stop: async () => {
          await pooler?.destroy();
          const client = new pg.Client({ connectionString: server.url });
          await client.connect();
          for (let lane = 0; lane < lanes; lane++)
            await client.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS ${schema(lane)} CASCADE`);
          await client.end();
          await server.destroy();
        },
      };
    }
  }
}
