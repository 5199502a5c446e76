// Primaries that die or hang while writers go on, and a cluster that moves what they write to. JAF_PROOF_RUNS: how often each.
import { setTimeout as sleep } from 'node:timers/promises';
import { createPostgresProvider, createRedisProvider, type MemoryProvider, type RedisConfig } from 'jaf/memory';
import { expect, describe, it } from 'vitest';
import { bucketOf, Keys } from '../../../src/memory/providers/redis/keys.js';
import { startPostgres, startReplica } from '../../support/postgres.js';
import { startCluster } from '../../support/redis-cluster.js';
import { startSentinel } from '../../support/redis-sentinel.js';
import { found, setting } from '../support/results.js';
import { LANES, noTally, type Tally, writeThrough } from '../support/writers.js';

const RUNS = setting('RUNS', 3);
const DEADLINE = 15_000;
const LONG = 600_000;
const CONFIRMED = { waitReplicas: { count: 1, timeout: 2000 } };

/** Runs it as often as asked, each time on servers of its own, and adds up. */
async function repeat(backend: string, what: string, mayLose: boolean, once: (prefix: string) => Promise<Tally>): Promise<void> {
  const sum = noTally();
  for (let run = 0; run < RUNS; run++)
    for (const [name, n] of Object.entries(await once(`run-${run}`)) as [keyof Tally, number][]) sum[name] += n;
  const promised = mayLose ? 'the last ones may go' : 'nothing is lost';
  const fault = `${what.replace(', waitReplicas', '')}${mayLose ? ', a setting that may lose' : ''}`;
  found({ part: 'failover', backend, what, fault, numbers: { runs: RUNS, ...sum, promised } });
  expect({ doubled: sum.doubled, reordered: sum.reordered, refused: sum['there although refused'] }).toEqual({
    doubled: 0,
    reordered: 0,
    refused: 0,
  });
  if (!mayLose) expect(sum.lost).toBe(0);
  expect(sum.acknowledged).toBeGreaterThan(LANES * RUNS);
}

describe('PostgreSQL, a synchronous replica', () => {
  it.each(['kill', 'freeze'] as const)('the primary: %s', { timeout: LONG }, (how) =>
    repeat('postgres', how === 'kill' ? 'primary killed, replica promoted' : 'primary hangs, replica promoted', false, async (prefix) => {
      const primary = await startPostgres();
      try {
        const replica = await startReplica(primary);
        const connectionString = `postgresql://jaf@127.0.0.1:${primary.port},127.0.0.1:${replica.port}/postgres?sslmode=disable`;
        try {
          return await writeThrough({
            prefix,
            deadline: how === 'kill' ? DEADLINE : 1000,
            open: () => createPostgresProvider({ connectionString, deadline: how === 'kill' ? DEADLINE : 1000, sweep: false }),
            direct: () => createPostgresProvider({ connectionString: replica.url, sweep: false }),
            troubles: [
              async () => {
                await primary[how]();
                await replica.promote();
              },
            ],
          });
        } finally {
          await replica.destroy();
        }
      } finally {
        await primary.destroy();
      }
    }),
  );
});

describe.each([true, false])('Redis, waitReplicas: %s', (waits) => {
  const settings = waits ? ', waitReplicas' : '';
  const config = { deadline: DEADLINE, ...(waits ? CONFIRMED : {}) };
  const open =
    (more: RedisConfig): (() => Promise<MemoryProvider>) =>
    () =>
      createRedisProvider({ ...config, ...more });

  it('Sentinel: the primary is killed', { timeout: LONG }, () =>
    repeat('redis (Sentinel)', `primary killed${settings}`, !waits, async (prefix) => {
      const servers = await startSentinel();
      try {
        const where = { sentinels: servers.sentinels, sentinelServiceName: servers.service };
        const kill = async (): Promise<void> => (await servers.primary()).kill();
        return await writeThrough({ prefix, deadline: DEADLINE, open: open(where), direct: open(where), troubles: [kill] });
      } finally {
        await servers.destroy();
      }
    }),
  );

  it('Cluster: a primary is killed', { timeout: LONG }, () =>
    repeat('redis (Cluster)', `primary killed${settings}`, !waits, async (prefix) => {
      const cluster = await startCluster();
      try {
        const where = { clusterNodes: cluster.nodes, keyPrefix: 'jaf-test-proof:' };
        const kill = async (): Promise<void> => {
          const victim = await cluster.primaryOf(new Keys(where.keyPrefix).tag(bucketOf(`${prefix}-0`, 64)));
          await victim.kill();
          // what takes over needs a replica of its own before it can confirm anything
          if (!waits) return;
          await sleep(4000);
          await victim.start();
        };
        return await writeThrough({ prefix, deadline: DEADLINE, open: open(where), direct: open(where), troubles: [kill] });
      } finally {
        await cluster.destroy();
      }
    }),
  );
});

describe('Redis Cluster', () => {
  it('slots move to another server and back', { timeout: LONG }, async () => {
    const cluster = await startCluster();
    try {
      await repeat('redis (Cluster)', 'slots move, key by key', false, async (prefix) => {
        const where = { clusterNodes: cluster.nodes, keyPrefix: 'jaf-test-proof:', deadline: DEADLINE };
        const move = async (): Promise<void> => {
          for (const which of [0, 1, 2]) await cluster.moveSlot(new Keys(where.keyPrefix).tag(bucketOf(`${prefix}-${which}`, 64)), 5);
        };
        const open = (): Promise<MemoryProvider> => createRedisProvider(where);
        return await writeThrough({ prefix, deadline: DEADLINE, open, direct: open, troubles: [move, move] });
      });
    } finally {
      await cluster.destroy();
    }
  });
});
