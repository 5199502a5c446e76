// Primaries that die or freeze, connections that are killed, slots that move, replicas that lag: nothing acknowledged is lost
// or doubled. JAF_TEST_SECONDS: how long servers are frozen (2). JAF_TEST_APPENDS: appends under CLIENT KILL (1000).
import { spawn } from 'node:child_process';
import { connect as dial, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { createRedisProvider, type MemoryError, type MemoryProvider, type RedisConfig, textOf, unwrap, user } from 'jaf/memory';
import { fakeClock, Hand } from 'jaf/memory/testing';
import { createClient } from 'redis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectionFor } from '../../src/memory/providers/redis/connect.js';
import { createRedisDriver } from '../../src/memory/providers/redis/driver.js';
import { bucketOf, Keys } from '../../src/memory/providers/redis/keys.js';
import { connect, type RedisServer, startRedis } from '../support/redis.js';
import { type RedisCluster, startCluster } from '../support/redis-cluster.js';
import { type RedisSentinel, startSentinel } from '../support/redis-sentinel.js';

const SECONDS = Number(process.env['JAF_TEST_SECONDS'] ?? 2);
const APPENDS = Number(process.env['JAF_TEST_APPENDS'] ?? 1000);
const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const TRIP = { timeout: 10_000 };
const cleanups: (() => unknown)[] = [];
let stores = 0;
const newPrefix = (): string => `jaf-test-${process.pid}-o${++stores}:`;

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function open(config: RedisConfig, client?: Parameters<typeof createRedisProvider>[1]): Promise<MemoryProvider> {
  const provider = await createRedisProvider(config, client);
  cleanups.push(() => provider.close());
  return provider;
}

interface Load {
  /** By conversation, in order. */
  readonly acknowledged: Map<string, string[]>;
  readonly errors: MemoryError[];
  /** When a write was acknowledged last. */
  lastSuccess: number;
  /** Successes of every conversation since a time. */
  since(time: number): number;
  stop(): Promise<void>;
}

/** One append after the other to each conversation, until it is stopped. */
function load(p: MemoryProvider): Load {
  const stop = new AbortController();
  const times = new Map<string, number>();
  const acknowledged = new Map<string, string[]>(IDS.map((id) => [id, []]));
  const result: Load = {
    acknowledged,
    errors: [],
    lastSuccess: 0,
    since: (time) => IDS.filter((id) => (times.get(id) ?? 0) > time).length,
    async stop() {
      stop.abort();
      await working;
    },
  };
  const working = Promise.all(
    IDS.map(async (id) => {
      for (let n = 0; !stop.signal.aborted; n++) {
        const outcome = await p.appendMessages(id, [user(`${id}${n}`)], undefined, { createIfMissing: true });
        if (outcome.ok) {
          acknowledged.get(id)?.push(`${id}${n}`);
          result.lastSuccess = performance.now();
          times.set(id, result.lastSuccess);
        } else result.errors.push(outcome.error);
      }
    }),
  ).then(() => undefined);
  return result;
}

/** What is stored against what was acknowledged. */
async function compare(p: MemoryProvider, done: Load): Promise<{ acknowledged: number; lost: number; doubled: number; unordered: number }> {
  const result = { acknowledged: 0, lost: 0, doubled: 0, unordered: 0 };
  for (const [id, texts] of done.acknowledged) {
    const stored = ((await p.getConversation(id))?.messages ?? []).map(textOf);
    const kept = new Set(stored);
    result.acknowledged += texts.length;
    result.doubled += stored.length - kept.size;
    result.lost += texts.filter((text) => !kept.has(text)).length;
    const order = stored.map((text) => Number(text.slice(1)));
    if (order.some((n, i) => i > 0 && n <= (order[i - 1] ?? 0))) result.unordered++;
  }
  return result;
}

/** Kills a primary under load, waits for a new one, and says what became of the writes. */
async function failover(
  p: MemoryProvider,
  victim: RedisServer,
  restart: boolean,
): Promise<Awaited<ReturnType<typeof compare>> & { errors: MemoryError[]; first: number }> {
  const running = load(p);
  await expect.poll(() => running.since(0), { timeout: 10_000 }).toBe(IDS.length);
  await sleep(300);
  const killed = performance.now();
  await victim.kill();
  // a replica of its own is what the new primary needs before it can confirm anything
  if (restart) await sleep(4000).then(() => victim.start());
  const last = performance.now();
  await expect.poll(() => running.since(last), { timeout: 40_000, interval: 5 }).toBe(IDS.length);
  const first = Math.round(running.lastSuccess - killed);
  await sleep(200);
  await running.stop();
  return { ...(await compare(p, running)), errors: running.errors, first };
}

describe('a primary that is killed under load', () => {
  for (const waits of [false, true]) {
    const how = waits ? 'with waitReplicas' : 'without waitReplicas';
    const waitReplicas = waits ? { waitReplicas: { count: 1, timeout: 2000 } } : {};

    it(`Sentinel, ${how}`, { timeout: 120_000 }, async () => {
      const servers = await startSentinel();
      cleanups.push(() => servers.destroy());
      const { sentinels, service } = servers;
      const p = await open({ sentinels, sentinelServiceName: service, keyPrefix: newPrefix(), deadline: 15_000, ...waitReplicas });
      const { errors, ...outcome } = await failover(p, await servers.primary(), false);
      console.log(`Sentinel, ${how}: ${JSON.stringify({ ...outcome, errors: errors.length })} (first: ms to success of all conversations)`);
      expect(outcome).toMatchObject({ doubled: 0, unordered: 0, ...(waits ? { lost: 0 } : {}) });
      expect(outcome.acknowledged).toBeGreaterThan(50);
      for (const error of errors) expect(error.name).toBe('MemoryConnectionError');
    });

    it(`Cluster, ${how}`, { timeout: 120_000 }, async () => {
      const cluster = await startCluster();
      cleanups.push(() => cluster.destroy());
      const keyPrefix = newPrefix();
      const p = await open({ clusterNodes: cluster.nodes, keyPrefix, deadline: 15_000, ...waitReplicas });
      const victim = await cluster.primaryOf(new Keys(keyPrefix).tag(bucketOf('a', 64)));
      const { errors, ...outcome } = await failover(p, victim, waits);
      console.log(`Cluster, ${how}: ${JSON.stringify({ ...outcome, errors: errors.length })} (first: ms to success of all conversations)`);
      expect(outcome).toMatchObject({ doubled: 0, unordered: 0, ...(waits ? { lost: 0 } : {}) });
      expect(outcome.acknowledged).toBeGreaterThan(50);
      for (const error of errors) expect(error.name).toBe('MemoryConnectionError');
    });
  }
});

describe('a primary that freezes', () => {
  it('Sentinel: calls fail in time, and find the new primary', { timeout: 60_000 }, async () => {
    const servers = await startSentinel();
    cleanups.push(() => servers.destroy());
    const config = { sentinels: servers.sentinels, sentinelServiceName: servers.service };
    await freezes(config, await servers.primary());
  });

  it('Cluster: calls fail in time, and find the new primary', { timeout: 60_000 }, async () => {
    const cluster = await startCluster();
    cleanups.push(() => cluster.destroy());
    const keyPrefix = newPrefix();
    await freezes({ clusterNodes: cluster.nodes, keyPrefix }, await cluster.primaryOf(new Keys(keyPrefix).tag(bucketOf('a', 64))));
  });

  async function freezes(config: RedisConfig, primary: RedisServer): Promise<void> {
    const own = { keyPrefix: newPrefix(), ...config };
    const p = await open({ ...own, deadline: 700 });
    const acknowledged = ['first'];
    // what takes over must have that one: replication is asynchronous, and on a busy machine slow
    const sure = await open({ ...own, deadline: 20_000, waitReplicas: { count: 1, timeout: 15_000 } });
    unwrap(await sure.storeMessages('a', [user('first')]));
    primary.freeze();
    const began = performance.now();
    for (let n = 0; acknowledged.length < 5; n++) {
      const at = performance.now();
      const outcome = await p.appendMessages('a', [user(`${n}`)]);
      // the deadline, and what a busy machine adds to it
      expect(performance.now() - at).toBeLessThan(700 + 5000);
      if (outcome.ok) acknowledged.push(`${n}`);
      else expect(outcome.error.name).toBe('MemoryConnectionError');
      expect(performance.now() - began).toBeLessThan(20_000);
    }
    primary.thaw();
    await sleep(500);
    const stored = ((await p.getConversation('a'))?.messages ?? []).map(textOf);
    expect(stored.filter((text) => acknowledged.includes(text))).toEqual(acknowledged);
    expect(new Set(stored).size).toBe(stored.length);
  }
});

describe('replicas that do not confirm', () => {
  let servers: RedisSentinel;
  beforeAll(async () => {
    servers = await startSentinel();
  });
  afterAll(async () => {
    await servers?.destroy();
  });

  it('the write is reported as unreplicated, and not acknowledged by asking again', { timeout: 60_000 }, async () => {
    const { sentinels, service } = servers;
    const config = { sentinels, sentinelServiceName: service, keyPrefix: newPrefix(), waitReplicas: { count: 1, timeout: 300 } };
    const p = await open(config);
    unwrap(await p.storeMessages('kept', [user('1')]));
    const primary = await servers.primary();
    const replicas = servers.servers.filter((server) => server !== primary);
    for (const replica of replicas) replica.freeze();
    try {
      const write = (): ReturnType<typeof p.appendMessages> => p.appendMessages('kept', [user('2')], undefined, { operationId: 'two' });
      const first = await write();
      expect(first.ok ? undefined : first.error).toMatchObject({ name: 'MemoryConnectionError', code: 'unreplicated', outcome: 'unknown' });
      // connections that have written nothing have nothing to wait for, unless the answer is a write, too
      await (await servers.admin(primary)).sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal']);
      const second = await write();
      expect(second.ok ? undefined : second.error).toMatchObject({ code: 'unreplicated', outcome: 'unknown' });
      await expect(p.deleteConversation('kept')).rejects.toMatchObject({ code: 'unreplicated' });
      const many = await Promise.all(IDS.map((id) => p.storeMessages(id, [user('x')])));
      for (const one of many) expect(one.ok ? undefined : one.error).toMatchObject({ code: 'unreplicated' });
    } finally {
      for (const replica of replicas) replica.thaw();
    }
    await expect.poll(async () => (await p.storeMessages('d', [user('1')])).ok, { timeout: 10_000 }).toBe(true);
    expect(await p.getConversation('kept')).toBeUndefined();
  });
});

describe('a slot that moves', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  }, 60_000);
  afterAll(async () => {
    await cluster?.destroy();
  });

  it('under load: nothing is lost or half-written', { timeout: 60_000 }, async () => {
    const keyPrefix = newPrefix();
    const p = await open({ clusterNodes: cluster.nodes, keyPrefix, deadline: 10_000 });
    const running = load(p);
    await expect.poll(() => running.since(0)).toBe(IDS.length);
    await sleep(200);
    for (let n = 0; n < 3; n++) await cluster.moveSlot(new Keys(keyPrefix).tag(bucketOf('a', 64)), 10);
    const moved = performance.now();
    await expect.poll(() => running.since(moved), { timeout: 10_000 }).toBe(IDS.length);
    await running.stop();
    expect(running.errors).toEqual([]);
    expect(await compare(p, running)).toMatchObject({ lost: 0, doubled: 0, unordered: 0 });
    const stored = await Promise.all(IDS.map((id) => p.getConversation(id)));
    expect(await p.getStats()).toMatchObject({
      totalConversations: IDS.length,
      totalMessages: stored.reduce((sum, one) => sum + (one?.messages.length ?? 0), 0),
    });
  });

  it('half-way: a write changes nothing, fails, and succeeds when the move has ended', { timeout: 60_000 }, async () => {
    const keyPrefix = newPrefix();
    const p = await open({ clusterNodes: cluster.nodes, keyPrefix, deadline: 500 });
    unwrap(await p.storeMessages('a', [user('1')], { userId: 'ann' }, { ttl: 1000 }));
    const tag = new Keys(keyPrefix).tag(bucketOf('a', 64));
    const names = (await cluster.keys(keyPrefix)).map(({ name }) => name).filter((name) => name.startsWith(tag));
    expect(names.length).toBeGreaterThan(5);
    for (const moved of names) {
      const move = await cluster.beginMove(tag);
      await move.moveKey(moved);
      const everything = async (): Promise<string[]> =>
        Promise.all(
          (await cluster.keys(keyPrefix)).map(async ({ client, name }) => {
            // a key that was moved answers only who asks for it
            const [, dump] = await client
              .multi()
              .addCommand(['ASKING'])
              .addCommand(['DUMP', name])
              .execAsPipeline()
              .catch(() => ['', '']);
            return `${name} ${typeof dump === 'string' ? dump : ''}`;
          }),
        );
      const before = (await everything()).sort();
      // its last attempt may be under way when the deadline comes, so the outcome may be unknown to the caller
      const outcome = await p.appendMessages('a', [user('2')], { more: true });
      expect(outcome.ok ? undefined : outcome.error, moved).toMatchObject({ name: 'MemoryConnectionError' });
      await expect(p.deleteConversation('a'), moved).rejects.toMatchObject({ name: 'MemoryConnectionError' });
      expect((await everything()).sort(), moved).toEqual(before);
      await move.end();
      unwrap(await p.appendMessages('a', []));
    }
    unwrap(await p.appendMessages('a', [user('2')]));
    expect((await p.getConversation('a'))?.messages.map(textOf)).toEqual(['1', '2']);
  });
});

describe('a single server', () => {
  let server: RedisServer;
  let admin: Awaited<ReturnType<typeof connect>>;
  beforeAll(async () => {
    server = await startRedis();
    admin = await connect(server.url);
  });
  afterAll(async () => {
    admin?.destroy();
    await server?.destroy();
  });

  async function clientOf(kind: string, url: string): Promise<Parameters<typeof createRedisProvider>[1]> {
    if (kind === 'own') return undefined;
    if (kind === 'ioredis') {
      const client = new Redis(url);
      client.on('error', () => undefined);
      cleanups.push(() => client.disconnect());
      await new Promise((resolve) => client.once('ready', resolve));
      return client;
    }
    const client = createClient({ url, disableOfflineQueue: true });
    client.on('error', () => undefined);
    cleanups.push(() => client.destroy());
    await client.connect();
    return client;
  }

  for (const kind of ['own', 'node-redis', 'ioredis']) {
    it(`that freezes, ${kind}: every call fails in time, none is applied twice`, { timeout: 60_000 + SECONDS * 1000 }, async () => {
      const config = { url: server.url, keyPrefix: newPrefix(), deadline: 400 };
      const p = await open(kind === 'own' ? config : { keyPrefix: config.keyPrefix, deadline: 400 }, await clientOf(kind, server.url));
      unwrap(await p.storeMessages('a', [user('first')]));
      server.freeze();
      const texts: string[] = [];
      try {
        for (const end = performance.now() + SECONDS * 1000; performance.now() < end; ) {
          const began = performance.now();
          const text = `m${texts.length}`;
          texts.push(text);
          const errors = await Promise.all([
            p.appendMessages('a', [user(text)]).then((outcome) => (outcome.ok ? undefined : outcome.error)),
            p.getConversation('a').catch((error: unknown) => error),
            p.deleteConversation('other').catch((error: unknown) => error),
            p.getStats().catch((error: unknown) => error),
          ]);
          expect(performance.now() - began).toBeLessThan(400 + 5000);
          for (const error of errors) expect(error).toMatchObject({ name: 'MemoryConnectionError' });
        }
      } finally {
        server.thaw();
      }
      await expect.poll(async () => (await p.appendMessages('a', [user('last')])).ok, { timeout: 10_000 }).toBe(true);
      await sleep(300); // what still comes of the frozen time has come
      const stored = ((await p.getConversation('a'))?.messages ?? []).map(textOf);
      expect(stored[0]).toBe('first');
      expect(stored.at(-1)).toBe('last');
      expect(new Set(stored).size).toBe(stored.filter((text) => text !== 'last').length + 1);
    });

    it(`whose connections are killed every 200 ms, 4 processes, ${kind}`, { timeout: 60_000 + APPENDS * 20 }, async () => {
      const prefix = newPrefix();
      const script = fileURLToPath(new URL('redis-writer.mjs', import.meta.url));
      const names = ['p', 'q', 'r', 's'];
      const running = new Set(names);
      const ended = names.map(
        (name) =>
          new Promise<void>((resolve, reject) => {
            const child = spawn(process.execPath, [script, kind, server.url, prefix, 'c', name, String(APPENDS / names.length)], {
              stdio: ['ignore', 'ignore', 'pipe'],
            });
            let log = '';
            child.stderr.on('data', (text: Buffer) => (log += text.toString()));
            child.once('exit', (code) => {
              running.delete(name);
              if (code === 0) resolve();
              else reject(new Error(`${name} ended with ${code}: ${log}`));
            });
          }),
      );
      const all = Promise.all(ended);
      all.catch(() => undefined);
      let killed = 0;
      while (running.size > 0) {
        killed += Number(await admin.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']));
        await sleep(200);
      }
      await all;
      const p = await open({ url: server.url, keyPrefix: prefix, deadline: 30_000 });
      const stored = ((await p.getConversation('c'))?.messages ?? []).map(textOf);
      expect(stored.length).toBe(APPENDS);
      for (const name of names) {
        expect(stored.filter((text) => text.startsWith(name))).toEqual(
          Array.from({ length: APPENDS / names.length }, (_, n) => `${name}-${n + 1}`),
        );
      }
      expect(killed).toBeGreaterThan(names.length);
    });
  }

  describe('ioredis sends again what was under way', () => {
    /** A server in between that can swallow answers or commands, and refuse connections. */
    async function between(): Promise<{ url: string; mode: 'pass' | 'swallow answers' | 'swallow commands' | 'refuse'; cut(): void }> {
      const sockets = new Set<Socket>();
      const proxy: Server = createServer((socket) => {
        if (state.mode === 'refuse') return socket.destroy();
        const upstream = dial(server.port, '127.0.0.1');
        for (const one of [socket, upstream]) {
          sockets.add(one);
          one.on('error', () => undefined);
          one.on('close', () => {
            socket.destroy();
            upstream.destroy();
          });
        }
        socket.on('data', (data) => {
          if (state.mode !== 'swallow commands') upstream.write(data);
        });
        upstream.on('data', (data) => {
          if (state.mode !== 'swallow answers') socket.write(data);
        });
      });
      const port = await new Promise<number>((resolve) =>
        proxy.listen(0, '127.0.0.1', () => {
          const address = proxy.address();
          resolve(typeof address === 'object' && address ? address.port : 0);
        }),
      );
      const state = {
        url: `redis://127.0.0.1:${port}`,
        mode: 'pass' as 'pass' | 'swallow answers' | 'swallow commands' | 'refuse',
        cut: () => {
          for (const socket of sockets) socket.destroy();
        },
      };
      cleanups.push(() => {
        state.cut();
        proxy.close();
      });
      return state;
    }

    async function setUp(): Promise<{
      proxy: Awaited<ReturnType<typeof between>>;
      h: Hand;
      others: () => Promise<void>;
      texts: () => Promise<string[]>;
      writer: number;
    }> {
      const proxy = await between();
      const client = new Redis(proxy.url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
      client.on('error', () => undefined);
      cleanups.push(() => client.disconnect());
      await new Promise((resolve) => client.once('ready', resolve));
      const keyPrefix = newPrefix();
      const clock = fakeClock();
      const driver = createRedisDriver({ keyPrefix }, () => connectionFor({}, client, 5000));
      const direct = createRedisDriver({ keyPrefix }, () => connectionFor({ host: '127.0.0.1', port: server.port }, undefined, 5000));
      await driver.open();
      await direct.open();
      cleanups.push(
        () => driver.close(),
        () => direct.close(),
      );
      const h = new Hand(driver, clock);
      await h.create('c', ['0']);
      await h.remove('none'); // so that the server knows the script
      return {
        proxy,
        h,
        writer: 0,
        async others() {
          for (let n = 0; n < 17; n++) {
            clock.advance(1);
            await new Hand(direct, clock).append('c', [`other ${n}`], { create: true });
          }
        },
        texts: async () =>
          (await direct.read({ id: 'c', now: clock.now(), window: { kind: 'all' } }, TRIP))?.bodies.map(({ body }) => body.text) ?? [],
      };
    }

    it('a write is not doubled, although 17 others have written since', async () => {
      const { proxy, h, others, texts } = await setUp();
      const count = (await texts()).length;
      proxy.mode = 'swallow answers';
      const sent = h.append('c', ['twice?']).then(
        (outcome) => JSON.stringify(outcome),
        (error: unknown) => String(error),
      );
      await expect.poll(async () => (await texts()).length).toBe(count + 1);
      await others();
      proxy.mode = 'pass';
      proxy.cut();
      expect(await sent).toMatch(/unknown/);
      expect((await texts()).filter((text) => text.includes('twice?'))).toHaveLength(1);
    });

    it('nor a removal', async () => {
      const { proxy, h, others, texts } = await setUp();
      proxy.mode = 'swallow answers';
      const sent = h.remove('c').then(
        (outcome) => JSON.stringify(outcome),
        (error: unknown) => String(error),
      );
      await expect.poll(async () => (await texts()).length).toBe(0);
      await others();
      proxy.mode = 'pass';
      proxy.cut();
      expect(await sent).toMatch(/unknown/);
      expect(await texts()).toHaveLength(17);
    });

    it('a write that was given up does not come later', async () => {
      const proxy = await between();
      const client = new Redis(proxy.url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
      client.on('error', () => undefined);
      cleanups.push(() => client.disconnect());
      await new Promise((resolve) => client.once('ready', resolve));
      const p = await open({ keyPrefix: newPrefix(), deadline: 300 }, client);
      unwrap(await p.storeMessages('c', [user('1')]));
      proxy.mode = 'swallow commands';
      const lost = p.appendMessages('c', [user('2')]);
      await sleep(50);
      proxy.mode = 'refuse';
      proxy.cut();
      const outcome = await lost;
      expect(outcome.ok ? undefined : outcome.error).toMatchObject({ name: 'MemoryConnectionError', outcome: 'unknown' });
      const offline = await p.appendMessages('c', [user('3')]);
      expect(offline.ok ? undefined : offline.error).toMatchObject({ code: 'refused', outcome: 'not_applied' });
      proxy.mode = 'pass';
      await expect.poll(async () => (await p.appendMessages('c', [user('4')])).ok, { timeout: 5000 }).toBe(true);
      await sleep(100);
      expect((await p.getConversation('c'))?.messages.map(textOf)).toEqual(['1', '4']);
    });
  });
});
