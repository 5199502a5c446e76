// A network that delays, drops, answers half and resets, between writers and a server. JAF_PROOF_RUNS: rounds of bad weather.
import { setTimeout as sleep } from 'node:timers/promises';
import { createPostgresProvider, createRedisProvider, type MemoryProvider, user } from 'jaf/memory';
import { Redis } from 'ioredis';
import { fakeClock } from 'jaf/memory/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres } from '../../support/postgres.js';
import { startRedis } from '../../support/redis.js';
import { KINDS, useStores } from '../../support/stores.js';
import { found, setting } from '../support/results.js';
import { LANES, writeThrough } from '../support/writers.js';
import { type Proxy, startProxy, type Weather } from './proxy.js';

const RUNS = setting('RUNS', 3);
const DEADLINE = 1000;
const WEATHERS: readonly Weather[] = ['delay', 'drop', 'half-open', 'reset', 'refuse'];

/** Rounds of one kind of weather, over writers of a store of their own. */
async function judge(
  backend: string,
  weather: Weather,
  proxy: Proxy,
  open: () => Promise<MemoryProvider>,
  direct: () => Promise<MemoryProvider>,
  prefix: string,
): Promise<void> {
  const before = proxy.met[weather];
  const trouble = async (): Promise<void> => {
    proxy.weather = weather;
    await sleep(weather === 'delay' ? 600 : 1300);
    proxy.weather = 'pass';
  };
  const tally = await writeThrough({ open, direct, prefix, deadline: DEADLINE, troubles: Array.from({ length: RUNS }, () => trouble) });
  found({ part: 'partition', backend, what: weather, fault: `network: ${weather}`, numbers: { rounds: RUNS, ...tally } });
  const { lost, doubled, reordered } = tally;
  expect({ lost, doubled, reordered, refused: tally['there although refused'] }).toEqual({ lost: 0, doubled: 0, reordered: 0, refused: 0 });
  if (weather !== 'refuse') expect(proxy.met[weather]).toBeGreaterThan(before);
  expect(tally.acknowledged).toBeGreaterThan(LANES * 5);
}

describe('PostgreSQL', () => {
  let server: Awaited<ReturnType<typeof startPostgres>>;
  let proxy: Proxy;
  beforeAll(async () => {
    server = await startPostgres();
    proxy = await startProxy(server.port);
  });
  afterAll(async () => {
    await proxy?.stop();
    await server?.destroy();
  });
  it.each(WEATHERS)('%s', { timeout: 600_000 }, async (weather) => {
    const direct = (): Promise<MemoryProvider> => createPostgresProvider({ connectionString: server.url });
    const url = server.url.replace(`:${server.port}`, `:${proxy.port}`);
    const open = (): Promise<MemoryProvider> => createPostgresProvider({ connectionString: url, deadline: DEADLINE, sweep: false });
    await judge('postgres', weather, proxy, open, direct, weather);
  });
});

describe.each(['own connection', 'ioredis'] as const)('Redis, %s', (client) => {
  let server: Awaited<ReturnType<typeof startRedis>>;
  let proxy: Proxy;
  beforeAll(async () => {
    server = await startRedis({});
    proxy = await startProxy(server.port);
  });
  afterAll(async () => {
    await proxy?.stop();
    await server?.destroy();
  });
  it.each(WEATHERS)('%s', { timeout: 600_000 }, async (weather) => {
    const direct = (): Promise<MemoryProvider> => createRedisProvider({ url: server.url });
    const url = server.url.replace(`:${server.port}`, `:${proxy.port}`);
    let io: Redis | undefined;
    const open = async (): Promise<MemoryProvider> => {
      if (client === 'own connection') return await createRedisProvider({ url, deadline: DEADLINE });
      io = new Redis(url, { retryStrategy: () => 50, connectTimeout: 500 });
      io.on('error', () => undefined);
      await new Promise((ready) => io?.once('ready', ready));
      return await createRedisProvider({ deadline: DEADLINE }, io);
    };
    await judge(client === 'ioredis' ? 'redis (ioredis)' : 'redis', weather, proxy, open, direct, `${client}-${weather}`);
    io?.disconnect();
  });
});

describe('a client whose clock jumps', () => {
  const stores = useStores();
  it.each(KINDS)('%s: versions and updatedAt do not go back, a cursor loses nothing, a TTL counts from the write', async (kind) => {
    const clock = fakeClock(Date.now());
    const provider = await stores.open(kind, { clock: clock.now });
    const other = kind === 'memory' ? provider : await stores.open(kind);
    let last = { version: 0, updatedAt: 0 };
    let jumps = 0;
    for (const jump of [0, 3_600_000, -7_200_000, 50, -1, 86_400_000, -86_400_000, 0]) {
      clock.advance(jump);
      jumps++;
      for (const one of [provider, other]) {
        const result = await one.appendMessages('jumps', [user(`${jump}`)], undefined, { createIfMissing: true, ttl: null });
        expect(result.ok).toBe(true);
        const c = await provider.getConversation('jumps');
        expect(c?.version).toBeGreaterThan(last.version);
        expect(c?.updatedAt.getTime()).toBeGreaterThanOrEqual(last.updatedAt);
        last = { version: c?.version ?? 0, updatedAt: c?.updatedAt.getTime() ?? 0 };
      }
    }
    expect((await provider.getConversation('jumps'))?.messageCount).toBe(16);
    for (let n = 0; n < 30; n++) {
      clock.advance(n % 3 === 0 ? -5000 : 4000);
      await provider.storeMessages(`c${n}`, [user('x')], undefined, { userId: 'ann' });
    }
    const seen = new Set<string>();
    for await (const c of provider.iterateConversations({ userId: 'ann' })) {
      clock.advance(seen.size % 2 === 0 ? 60_000 : -60_000);
      expect(seen.has(c.conversationId)).toBe(false);
      seen.add(c.conversationId);
    }
    expect(seen.size).toBe(30);
    await provider.storeMessages('short', [user('x')], undefined, { ttl: 10 });
    clock.advance(9_999);
    expect(await provider.getConversation('short')).toBeDefined();
    clock.advance(1);
    expect(await provider.getConversation('short')).toBeUndefined();
    found({
      part: 'partition',
      backend: kind,
      what: 'jumps of the client’s clock',
      numbers: { jumps, 'went back': 0, 'missed by a cursor': 0 },
    });
  });
});
