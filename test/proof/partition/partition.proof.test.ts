// A network that delays, drops, answers half and resets, between writers and a server. JAF_PROOF_RUNS: rounds of bad weather.
import { setTimeout as sleep } from 'node:timers/promises';
import { createPostgresProvider, createRedisProvider, type MemoryError, type MemoryProvider, textOf, user } from 'jaf/memory';
import { Redis } from 'ioredis';
import { fakeClock } from 'jaf/memory/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres } from '../../support/postgres.js';
import { startRedis } from '../../support/redis.js';
import { KINDS, useStores } from '../../support/stores.js';
import { found, setting } from '../support/results.js';
import { type Proxy, startProxy, type Weather } from './proxy.js';

const RUNS = setting('RUNS', 3);
const LANES = 8;
const DEADLINE = 1000;

interface Tally {
  acknowledged: number;
  lost: number;
  doubled: number;
  reordered: number;
  unknown: number;
  'not applied': number;
  'there although refused': number;
}

/** Writers that go on whatever happens; then everything is compared. */
async function through(
  weathers: readonly Weather[],
  proxy: Proxy,
  open: () => Promise<MemoryProvider>,
  direct: MemoryProvider,
  prefix: string,
): Promise<Tally> {
  const tally: Tally = { acknowledged: 0, lost: 0, doubled: 0, reordered: 0, unknown: 0, 'not applied': 0, 'there although refused': 0 };
  const provider = await open();
  const stop = new AbortController();
  const acknowledged: string[][] = Array.from({ length: LANES }, () => []);
  const refused: Set<string>[] = Array.from({ length: LANES }, () => new Set());
  const lane = async (which: number): Promise<void> => {
    for (let n = 1; !stop.signal.aborted; n++) {
      const began = performance.now();
      const result = await provider.appendMessages(`${prefix}-${which}`, [user(`${n}`)], undefined, { createIfMissing: true });
      expect(performance.now() - began).toBeLessThan(DEADLINE + 5000); // it ends
      if (result.ok) acknowledged[which]?.push(`${n}`);
      else {
        const { outcome, name } = result.error;
        expect(name).toBe('MemoryConnectionError');
        tally[outcome === 'unknown' ? 'unknown' : 'not applied']++;
        if (outcome === 'not_applied') refused[which]?.add(`${n}`);
        await sleep(10);
      }
      if (n % 10 === 0)
        await provider
          .getRecentMessages(`${prefix}-${which}`, 5)
          .catch((error: MemoryError) => expect(error.name).toBe('MemoryConnectionError'));
    }
  };
  const lanes = Array.from({ length: LANES }, (_, which) => lane(which));
  const all = Promise.all(lanes);
  all.catch(() => stop.abort());
  try {
    for (const weather of weathers) {
      await sleep(300);
      proxy.weather = weather;
      await sleep(weather === 'delay' ? 600 : 1300);
      proxy.weather = 'pass';
      // it recovers by itself
      const before = acknowledged.reduce((sum, list) => sum + list.length, 0);
      await expect
        .poll(() => acknowledged.reduce((sum, list) => sum + list.length, 0), { timeout: 20_000 })
        .toBeGreaterThan(before + LANES);
    }
  } finally {
    stop.abort();
    await all;
    await provider.close();
  }
  for (let which = 0; which < LANES; which++) {
    const there = ((await direct.getConversation(`${prefix}-${which}`))?.messages ?? []).map(textOf);
    const set = new Set(there);
    tally.doubled += there.length - set.size;
    tally.acknowledged += acknowledged[which]?.length ?? 0;
    tally.lost += (acknowledged[which] ?? []).filter((text) => !set.has(text)).length;
    tally.reordered += there.filter((text, i) => Number(text) < Number(there[i - 1] ?? 0)).length;
    tally['there although refused'] += there.filter((text) => refused[which]?.has(text)).length;
  }
  return tally;
}

const WEATHERS: readonly Weather[] = ['delay', 'drop', 'half-open', 'reset', 'refuse'];

function judge(backend: string, what: string, tally: Tally, met: number): void {
  found({ part: 'partition', backend, what, numbers: { rounds: RUNS, ...tally } });
  const { lost, doubled, reordered } = tally;
  expect({ lost, doubled, reordered, refused: tally['there although refused'] }).toEqual({ lost: 0, doubled: 0, reordered: 0, refused: 0 });
  expect(met).toBeGreaterThan(0);
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
    const before = proxy.met[weather];
    await using direct = await createPostgresProvider({ connectionString: server.url });
    const url = server.url.replace(`:${server.port}`, `:${proxy.port}`);
    const open = (): Promise<MemoryProvider> => createPostgresProvider({ connectionString: url, deadline: DEADLINE, sweep: false });
    const tally = await through(
      Array.from({ length: RUNS }, () => weather),
      proxy,
      open,
      direct,
      weather,
    );
    judge('postgres', weather, tally, weather === 'refuse' ? 1 : proxy.met[weather] - before);
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
    const before = proxy.met[weather];
    await using direct = await createRedisProvider({ url: server.url });
    const url = server.url.replace(`:${server.port}`, `:${proxy.port}`);
    let io: Redis | undefined;
    const open = async (): Promise<MemoryProvider> => {
      if (client === 'own connection') return await createRedisProvider({ url, deadline: DEADLINE });
      io = new Redis(url, { retryStrategy: () => 50, connectTimeout: 500 });
      io.on('error', () => undefined);
      await new Promise((ready) => io?.once('ready', ready));
      return await createRedisProvider({ deadline: DEADLINE }, io);
    };
    const tally = await through(
      Array.from({ length: RUNS }, () => weather),
      proxy,
      open,
      direct,
      `${client}-${weather}`,
    );
    io?.disconnect();
    judge(client === 'ioredis' ? 'redis (ioredis)' : 'redis', weather, tally, weather === 'refuse' ? 1 : proxy.met[weather] - before);
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
