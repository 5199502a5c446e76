// What users of the Redis provider can see, on a real server.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  createProvider,
  createRedisProvider,
  type MemoryConfigError,
  type MemoryProvider,
  type RedisConfig,
  textOf,
  unwrap,
  user,
} from 'jaf/memory';
import { fakeClock } from 'jaf/memory/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Command } from '../../src/memory/providers/redis/client.js';
import { createRedisDriver } from '../../src/memory/providers/redis/driver.js';
import { loadNodeRedis } from '../../src/memory/providers/redis/node-redis.js';
import { SharedConnection } from '../../src/memory/providers/redis/node-redis-shared.js';
import { connect, freePort, keysOf, startRedis, useRedis } from '../support/redis.js';

let server: Awaited<ReturnType<typeof useRedis>>;
let client: Awaited<ReturnType<typeof connect>>;
let stores = 0;
let prefix = '';
const providers: MemoryProvider[] = [];

beforeAll(async () => {
  server = await useRedis();
  client = await connect(server.url);
});
afterEach(async () => {
  await Promise.all(providers.splice(0).map((provider) => provider.close()));
  const keys = await keysOf(client, prefix);
  for (let i = 0; i < keys.length; i += 1000) await client.unlink(keys.slice(i, i + 1000));
});
afterAll(async () => {
  client?.destroy();
  await server?.destroy();
});

/** A provider on a fresh namespace, or on the one of this test. */
async function open(config: RedisConfig = {}, again = false): Promise<MemoryProvider> {
  if (!again) prefix = `jaf-test-${process.pid}-p${++stores}:`;
  const provider = await createRedisProvider({ url: server.url, keyPrefix: prefix, deadline: 60_000, ...config });
  providers.push(provider);
  return provider;
}

async function textsOf(provider: MemoryProvider, id: string): Promise<string[]> {
  return ((await provider.getConversation(id))?.messages ?? []).map(textOf);
}

async function configFailure(work: Promise<unknown>): Promise<MemoryConfigError> {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  // by name: the driver of the sources has classes of its own
  expect(error).toMatchObject({ name: 'MemoryConfigError' });
  return error as MemoryConfigError;
}

const say = (...texts: string[]): ReturnType<typeof user>[] => texts.map((text) => user(text));

describe('ids', () => {
  const IDS = [
    '*',
    'a*',
    '[ab]',
    'a',
    'b',
    'a:b',
    'a:b:c',
    'user:1:2',
    '{x}',
    '}',
    '{',
    '😀',
    '?',
    'a'.repeat(255),
    '😀'.repeat(255),
    'é\u2028',
  ];

  it('are never patterns or parts of one another: a user’s find, stats and clear touch nobody else’s data', async () => {
    const p = await open();
    for (const [n, owner] of IDS.entries()) {
      for (const id of [`${owner.slice(0, 100)}#${n}`, `shared-${n}`]) {
        unwrap(
          await p.appendMessages(id, say(owner), undefined, { createIfMissing: true, userId: owner, ...(n % 2 ? { ttl: 1000 } : {}) }),
        );
      }
    }
    for (const [n, owner] of IDS.entries()) {
      const found = await p.findConversations({ userId: owner });
      expect(found.map((c) => c.conversationId).sort()).toEqual([`${owner.slice(0, 100)}#${n}`, `shared-${n}`].sort());
      expect(await p.getStats(owner)).toMatchObject({ userConversations: 2 });
      expect(await p.clearUserConversations(owner)).toBe(2);
      expect((await p.getStats()).totalConversations).toBe(2 * (IDS.length - n - 1));
    }
  });

  it('of conversations are stored and found as they are', async () => {
    const p = await open();
    for (const id of IDS) unwrap(await p.storeMessages(id, say(id)));
    for (const id of IDS) expect(await textsOf(p, id)).toEqual([id]);
    expect(await p.deleteConversation('*')).toBe(true);
    expect((await p.getStats()).totalConversations).toBe(IDS.length - 1);
  });
});

describe('at the same time', () => {
  it('clearing 10,000 conversations of one user while another 10,000 are written removes exactly the first', {
    timeout: 300_000,
  }, async () => {
    const p = await open({ maxInFlight: 100_000 });
    const store = (owner: string, from: number, to: number): Promise<unknown> =>
      Promise.all(
        Array.from({ length: to - from }, async (_, i) =>
          unwrap(await p.storeMessages(`${owner}-${from + i}`, say('x'), undefined, { userId: owner, ttl: 1000 })),
        ),
      );
    for (let n = 0; n < 10_000; n += 2000) await store('ann', n, n + 2000);
    const [cleared] = await Promise.all([
      p.clearUserConversations('ann'),
      (async () => {
        for (let n = 0; n < 10_000; n += 500) await store('bob', n, n + 500);
      })(),
    ]);
    expect(cleared).toBe(10_000);
    expect(await p.getStats()).toMatchObject({ totalConversations: 10_000, totalMessages: 10_000 });
    expect(await p.getStats('bob')).toMatchObject({ userConversations: 10_000 });
    expect((await p.findConversations({ userId: 'ann', limit: 1 })).length).toBe(0);
    for (const key of await keysOf(client, prefix)) expect(key).not.toMatch(/[URE]:ann$/);
  });

  it('of 200 deletes raced by reads and appends none is undone', async () => {
    const [p, q] = [await open(), await open({}, true)];
    const ids = Array.from({ length: 200 }, (_, n) => `c${n}`);
    await Promise.all(ids.map(async (id) => unwrap(await p.storeMessages(id, say('1', '2'), undefined, { userId: 'ann' }))));
    await Promise.all(
      ids.flatMap((id) => [
        q.getConversation(id),
        q.appendMessages(id, say('3')),
        p.deleteConversation(id),
        q.getConversation(id),
        q.appendMessages(id, say('4')),
        q.findConversations({ userId: 'ann', limit: 5 }),
      ]),
    );
    for (const id of ids) expect(await q.getConversation(id)).toBeUndefined();
    expect((await q.getStats()).totalConversations).toBe(0);
  });

  it('4 processes append 250 messages each to one conversation: 1,000 kept, once each, in order', { timeout: 120_000 }, async () => {
    const p = await open();
    const worker = fileURLToPath(new URL('./redis-worker.mjs', import.meta.url));
    const codes = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) => {
        const child = spawn(process.execPath, [worker, server.url, prefix, 'chat', name, '250'], {
          stdio: ['ignore', 'inherit', 'inherit'],
        });
        return new Promise((resolve) => child.on('close', resolve));
      }),
    );
    expect(codes).toEqual([0, 0, 0, 0]);
    const texts = await textsOf(p, 'chat');
    expect(texts.length).toBe(1000);
    for (const name of ['a', 'b', 'c', 'd']) {
      expect(texts.filter((text) => text.startsWith(name))).toEqual(Array.from({ length: 250 }, (_, n) => `${name}-${n + 1}`));
    }
  });
});

describe('scripts', () => {
  it('are sent again when the server has forgotten them', async () => {
    const p = await open();
    for (let n = 1; n <= 3; n++) {
      await client.scriptFlush();
      unwrap(await p.appendMessages('c', say(`m${n}`), undefined, { createIfMissing: true }));
      await client.scriptFlush();
      expect((await textsOf(p, 'c')).length).toBe(n);
      await client.scriptFlush();
      await Promise.all(['d', 'e', 'f'].map(async (id) => unwrap(await p.storeMessages(id, say('x')))));
    }
    await client.scriptFlush();
    expect(await p.deleteConversation('c')).toBe(true);
  });
});

describe('what is over', () => {
  const DAY = 86_400_000;

  it('leaves nothing behind, in no index, after deletes, expiry, clearing and erasure', async () => {
    for (const buckets of [1, 4]) {
      prefix = `jaf-test-${process.pid}-p${++stores}:`;
      const clock = fakeClock();
      const driver = createRedisDriver({ keyPrefix: prefix, buckets }, async () => new SharedConnection(client));
      const p = createProvider(driver, { clock: clock.now, deadline: 60_000, compressionThreshold: 10 });
      providers.push(p);
      const make = async (id: string, options: object): Promise<void> => {
        unwrap(
          await p.appendMessages(
            id,
            say(...Array.from({ length: 200 }, (_, n) => `m${n}`)),
            { k: 1 },
            { createIfMissing: true, ...options },
          ),
        );
        unwrap(await p.appendMessages(id, say('x'), undefined, { operationId: 'op', traceId: 't' }));
      };
      for (let n = 0; n < 5; n++) {
        await make(`deleted${n}`, { userId: 'ann' });
        await make(`expired${n}`, { userId: 'ann', ttl: 10 });
        await make(`nobody${n}`, { ttl: 10 });
        await make(`cleared${n}`, { userId: 'bob', ttl: 100 });
        await make(`idle${n}`, { userId: 'cid' });
        await make(`trimmed${n}`, { userId: 'dan' });
        unwrap(await p.appendMessages(`trimmed${n}`, say('last'), undefined, { maxMessages: 1 }));
      }
      await expect
        .poll(() =>
          driver.read({ id: 'deleted0', now: clock.now(), window: { kind: 'none' } }, { timeout: 9000 }).then((s) => s?.header.packedTo),
        )
        .toBeGreaterThan(1);
      for (let n = 0; n < 5; n++) expect(await p.deleteConversation(`deleted${n}`)).toBe(true);
      expect(await p.clearUserConversations('bob')).toBe(5);
      clock.advance(10_000);
      expect(await p.purgeExpired()).toBe(10);
      for (const id of ['idle0', 'idle1', 'idle2', 'idle3', 'idle4']) unwrap(await p.storeMessages(id, say('new'), undefined, { ttl: 5 }));
      clock.advance(5000);
      await p.purgeExpired();
      for (let n = 0; n < 5; n++) await p.deleteConversation(`trimmed${n}`);
      clock.advance(600_001);
      await p.purgeExpired();
      expect(await keysOf(client, prefix)).toEqual([`{${prefix}#}settings`]);
      await p.close();
    }
  });

  it('is told by the header, and natively a day later; reads extend neither', async () => {
    const clock = fakeClock();
    const p = await open({ clock: clock.now });
    unwrap(await p.storeMessages('c', say('1', '2'), { k: 1 }, { ttl: 60, userId: 'ann', operationId: 'op' }));
    const ours = (await keysOf(client, prefix)).filter((key) => /\}[cmsno]\d?:/.test(key));
    expect(ours.map((key) => key.slice(key.indexOf('}') + 1))).toEqual(['c:c', 'm0:c', 'o:c']);
    const left = async (): Promise<number[]> => Promise.all(ours.map((key) => client.pTTL(key)));
    for (const ms of await left()) {
      // an expiry is never nearer than a tombstone is kept
      expect(ms).toBeGreaterThan(DAY + 590_000);
      expect(ms).toBeLessThanOrEqual(DAY + 600_000);
    }
    await Promise.all(ours.map((key) => client.pExpire(key, 100_000)));
    await p.getConversation('c');
    await p.findConversations({ userId: 'ann' });
    for (const ms of await left()) expect(ms).toBeLessThanOrEqual(100_000);
    unwrap(await p.appendMessages('c', [], { l: 1 }, { ttl: null }));
    expect(await left()).toEqual([-1, -1, -1]);
  });

  it('moves on with plain appends: the index is corrected by a sweep, the native expiry when half of its day is over', async () => {
    const clock = fakeClock();
    const p = await open({ clock: clock.now });
    unwrap(await p.storeMessages('c', say('1'), undefined, { ttl: 60, userId: 'ann' }));
    const tag = `{${prefix}#0}`;
    const entries = async (): Promise<unknown> => [await client.zScore(`${tag}e`, 'c\0ann'), await client.zScore(`${tag}E:ann`, 'c')];
    const end = clock.now() + 60_000;
    expect(await entries()).toEqual([end, end]);
    clock.advance(1000);
    unwrap(await p.appendMessages('c', say('2')));
    expect(await entries()).toEqual([end, end]);
    clock.advance(59_500);
    expect(await textsOf(p, 'c')).toEqual(['1', '2']);
    expect(await p.purgeExpired()).toBe(0);
    expect(await entries()).toEqual([end + 1000, end + 1000]);
    unwrap(await p.appendMessages('c', say('3')));
    clock.advance(59_999);
    // so does a write to another conversation
    unwrap(await p.storeMessages('d', say('1')));
    expect(await entries()).toEqual([end + 60_500, end + 60_500]);
    expect(await textsOf(p, 'c')).toEqual(['1', '2', '3']);
    clock.advance(1);
    expect(await p.purgeExpired()).toBe(1);
    expect(await entries()).toEqual([null, null]);

    unwrap(await p.storeMessages('n', say('1'), undefined, { ttl: 60 }));
    const keys = [`${tag}c:n`, `${tag}m0:n`];
    const left = (): Promise<number[]> => Promise.all(keys.map((key) => client.pTTL(key)));
    for (const key of keys) await client.pExpire(key, 100_000);
    clock.advance(1);
    unwrap(await p.appendMessages('n', say('2')));
    for (const ms of await left()) expect(ms).toBeLessThanOrEqual(100_000);
    // as half a day later: lib-header.lua, native
    const header = await client.withTypeMapping({ 36: Buffer }).hGet(`${tag}c:n`, 'h');
    if (!(header instanceof Buffer)) throw new Error('no header');
    header.writeDoubleLE(header.readDoubleLE(120) - DAY / 2 - 1000, 120);
    await client.hSet(`${tag}c:n`, 'h', header);
    clock.advance(1);
    unwrap(await p.appendMessages('n', say('3')));
    for (const ms of await left()) expect(ms).toBeGreaterThan(DAY);
    expect(await textsOf(p, 'n')).toEqual(['1', '2', '3']);
  });

  it('really ends: a second by the clock of the wall', async () => {
    const p = await open();
    unwrap(await p.storeMessages('c', say('1'), undefined, { ttl: 1, userId: 'ann' }));
    expect(await textsOf(p, 'c')).toEqual(['1']);
    await expect.poll(() => p.getConversation('c'), { timeout: 5000 }).toBeUndefined();
    expect((await p.getStats()).totalConversations).toBe(0);
    // a write removes what is over beside its own work
    unwrap(await p.storeMessages('d', say('1')));
    expect((await keysOf(client, prefix)).filter((key) => /[}](e|E:ann|U:ann|R:ann|m0:c)$/.test(key))).toEqual([]);
    expect(await p.purgeExpired()).toBe(0);
  });

  it('natively keeps statistics and lists exact, and the next sweep takes it out of every index', async () => {
    const clock = fakeClock();
    const p = await open({ clock: clock.now });
    for (let n = 0; n < 30; n++) {
      unwrap(await p.storeMessages(`c${n}`, say('1', '2'), undefined, { userId: n % 3 === 0 ? 'ann' : 'bob', ttl: 60 }));
    }
    const gone = (await keysOf(client, prefix)).filter((key) => /\}(c|m0):c\d*[05]$/.test(key));
    expect(gone.length).toBe(12);
    // as the server would a day after they were over
    await client.unlink(gone);
    expect(await p.getStats()).toMatchObject({ totalConversations: 24, totalMessages: 48 });
    expect(await p.getStats('ann')).toMatchObject({ userConversations: 8, totalConversations: 8 });
    expect((await p.findConversations()).length).toBe(24);
    expect((await p.findConversations({ userId: 'ann' })).length).toBe(8);
    clock.advance(60_000);
    expect(await p.purgeExpired()).toBe(24);
    clock.advance(600_001);
    await p.purgeExpired();
    expect(await keysOf(client, prefix)).toEqual([`{${prefix}#}settings`]);
  });
});

describe('a long conversation', () => {
  it('is deleted, replaced and trimmed without holding up others', { timeout: 300_000 }, async () => {
    const p = await open();
    const bodies = say(...Array.from({ length: 5000 }, (_, n) => `message ${n}`));
    for (const id of ['deleted', 'replaced', 'trimmed']) {
      for (let n = 0; n < 20; n++) unwrap(await p.appendMessages(id, bodies, undefined, { createIfMissing: true }));
    }
    const timed = async (work: () => Promise<unknown>): Promise<number> => {
      const before = Number((await client.info('commandstats')).match(/cmdstat_evalsha:calls=\d+,usec=(\d+)/)?.[1]);
      await work();
      return (Number((await client.info('commandstats')).match(/cmdstat_evalsha:calls=\d+,usec=(\d+)/)?.[1]) - before) / 1000;
    };
    // milliseconds of the server, not of this machine's other work
    expect(await timed(() => p.deleteConversation('deleted'))).toBeLessThan(200);
    expect(await timed(async () => unwrap(await p.storeMessages('replaced', say('new'))))).toBeLessThan(200);
    expect(await timed(async () => unwrap(await p.appendMessages('trimmed', say('new'), undefined, { maxMessages: 10 })))).toBeLessThan(
      200,
    );
    expect((await textsOf(p, 'trimmed')).length).toBe(10);
    const length = (): Promise<number> => client.lLen(`{${prefix}#0}m0:trimmed`);
    expect(await length()).toBeGreaterThan(90_000);
    unwrap(await p.appendMessages('trimmed', say('again'), undefined, { maxMessages: 10 }));
    expect(await textsOf(p, 'trimmed')).toEqual([...Array.from({ length: 8 }, (_, n) => `message ${n + 4992}`), 'new', 'again']);
    await p.purgeExpired();
    expect(await length()).toBe(10);
    expect((await textsOf(p, 'trimmed')).length).toBe(10);
  });

  it('that is packed is trimmed far beyond what one write drops, and nothing stays', { timeout: 120_000 }, async () => {
    const p = await open({ compressionThreshold: 10 });
    for (let n = 0; n < 30; n++) {
      unwrap(await p.appendMessages('c', say(...Array.from({ length: 100 }, (_, i) => `${n}-${i}`)), undefined, { createIfMissing: true }));
    }
    await expect
      .poll(
        async () => {
          // it is a write that looks whether there is something to pack
          unwrap(await p.appendMessages('c', [], { again: true }));
          return client.zCard(`{${prefix}#0}n:c`);
        },
        { timeout: 20_000 },
      )
      .toBeGreaterThan(20);
    const q = await open({}, true);
    unwrap(await q.appendMessages('c', say('x'), undefined, { maxMessages: 1500 }));
    const texts = await textsOf(q, 'c');
    expect(texts.length).toBe(1500);
    expect(texts[0]).toBe('15-1');
    await q.purgeExpired();
    const segments = await client.hLen(`{${prefix}#0}s:c`);
    expect(segments).toBe(await client.zCard(`{${prefix}#0}n:c`));
    expect(segments).toBeLessThan(13);
    expect(await textsOf(q, 'c')).toEqual(texts);
    unwrap(await q.storeMessages('c', say('new')));
    expect(await client.exists([`{${prefix}#0}n:c`, `{${prefix}#0}s:c`])).toBe(0);
  });
});

describe('bodies without a script', () => {
  it('are of the header that is read with them: none of a write that failed, none missing, more than were asked for', async () => {
    const p = await open();
    unwrap(await p.storeMessages('c', say('1', '2', '3')));
    const list = `{${prefix}#0}m0:c`;
    // as a write leaves it that failed before its header
    await client.rPush(list, 'never written');
    expect(await textsOf(p, 'c')).toEqual(['1', '2', '3']);
    expect((await p.getRecentMessages('c', 2)).map((m) => m.content)).toEqual(['2', '3']);
    unwrap(await p.appendMessages('c', say('4')));
    expect((await p.getRecentMessages('c', 2)).map((m) => m.content)).toEqual(['3', '4']);
    unwrap(await p.storeMessages('c', say('5')));
    expect(await textsOf(p, 'c')).toEqual(['5']);
    expect((await p.findConversations()).map((c) => c.messages.length)).toEqual([1]);

    unwrap(
      await p.storeMessages(
        'long',
        Array.from({ length: 17_000 }, (_, n) => user(`${n}`)),
      ),
    );
    expect(await textsOf(p, 'long')).toEqual(Array.from({ length: 17_000 }, (_, n) => `${n}`));
    await client.lTrim(`{${prefix}#0}m0:long`, 1, -1);
    await expect(p.getConversation('long')).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('are of one snapshot, also when a write comes between the commands of a read', async () => {
    const other = await open();
    unwrap(await other.storeMessages('c', say('1', '2', '3'), { newest: '3' }));
    let writes = 0;
    class Interrupted extends SharedConnection {
      override async send(key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
        if (commands.length === 1) return super.send(key, commands);
        const head = await super.send(key, commands.slice(0, 1));
        const newest = `${4 + writes++}`;
        unwrap(await other.appendMessages('c', say(newest), { newest }, { maxMessages: 3 }));
        return [...head, ...(await super.send(key, commands.slice(1)))];
      }
    }
    const p = createProvider(createRedisDriver({ keyPrefix: prefix }, async () => new Interrupted(client)));
    providers.push(p);
    const seen = await p.getConversation('c', { messageLimit: 3 });
    expect(writes).toBe(1);
    expect(seen?.metadata).toEqual({ newest: '4' });
    expect(seen?.messages.map((m) => m.content)).toEqual(['2', '3', '4']);
  });

  it('of lists with many messages come in their order, whatever is written meanwhile', async () => {
    const p = await open();
    const other = await open({}, true);
    const texts = Array.from({ length: 100 }, (_, n) => 'x'.repeat(400) + String(n));
    for (let n = 0; n < 20; n++) unwrap(await p.storeMessages(`c${n}`, say(...texts), { more: 0 }));
    const ended = new AbortController();
    const writes = Array.from({ length: 20 }, async (_, n) => {
      for (let more = 1; !ended.signal.aborted; more++) {
        if (more === 20) unwrap(await other.storeMessages(`c${n}`, say(...texts), { more: (more = 0) }));
        else unwrap(await other.appendMessages(`c${n}`, say('more'), { more }, { maxMessages: 100 }));
      }
    });
    for (let round = 0; round < 20; round++) {
      const all = await p.findConversations({ messageLimit: 100 });
      expect(new Set(all.map((c) => c.conversationId)).size).toBe(all.length);
      for (const { messages, metadata } of all) {
        const more = Number(metadata['more']);
        const old = texts.slice(more);
        expect(messages.map((m) => m.content)).toEqual([...old, ...Array.from({ length: more }, () => 'more')]);
      }
    }
    ended.abort();
    await Promise.all(writes);
  });
});

describe('opening', () => {
  it('leaves what else is under the prefix alone, and does not see it', async () => {
    prefix = `jaf-test-${process.pid}-p${++stores}:`;
    await client.set(`${prefix}chat-1`, '{"conversation_id":"chat-1","messages":[]}');
    const p = await open({}, true);
    expect(await p.getConversation('chat-1')).toBeUndefined();
    unwrap(await p.storeMessages('chat-1', say('mine')));
    expect(await client.get(`${prefix}chat-1`)).toContain('conversation_id');
    await client.unlink(`${prefix}chat-1`);
  });

  it('refuses data that is spread over another number of buckets, or of another format', async () => {
    const p = await open();
    await p.close();
    const driver = createRedisDriver({ keyPrefix: prefix, buckets: 64 }, async () => new SharedConnection(client));
    const error = await configFailure(driver.open());
    expect(error.message).toContain('spread over 1 buckets');
    expect(error.setting).toBe('keyPrefix');
    await client.hSet(`{${prefix}#}settings`, 'format', '3');
    expect((await configFailure(open({}, true))).code).toBe('schema_newer');
    await client.hSet(`{${prefix}#}settings`, 'format', '1');
    expect((await configFailure(open({}, true))).message).toContain('has format 1, of a version before the first release');
  });

  it('shares a client of the caller, and leaves it open', async () => {
    prefix = `jaf-test-${process.pid}-p${++stores}:`;
    const own = await connect(server.url);
    const p = await createRedisProvider({ keyPrefix: prefix }, own);
    unwrap(await p.storeMessages('c', say('1'), { big: 9_007_199_254_740_991, list: [], deep: { a: [{}, null, 1.5e-7] } }));
    expect((await p.getConversation('c'))?.metadata).toEqual({ big: 9_007_199_254_740_991, list: [], deep: { a: [{}, null, 1.5e-7] } });
    await p.close();
    expect(own.isReady).toBe(true);
    expect(await own.ping()).toBe('PONG');
    own.destroy();
  });

  it('says what is missing when the package is not installed', async () => {
    const error = await configFailure(
      loadNodeRedis(() =>
        Promise.reject(Object.assign(new Error("Cannot find package 'redis' imported from x"), { code: 'ERR_MODULE_NOT_FOUND' })),
      ),
    );
    expect(error.message).toBe('[jaf: missing_peer] Redis needs the "redis" package: npm install redis');
  });

  it('encrypts when asked to, and checks the certificate', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'jaf-tls-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const make = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    execFileSync('openssl', [...make, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
    chmodSync(folder, 0o755);
    chmodSync(key, 0o644);
    const port = await freePort();
    const tls = await startRedis({
      'tls-port': String(port),
      'tls-cert-file': cert,
      'tls-key-file': key,
      'tls-ca-cert-file': cert,
      'tls-auth-clients': 'no',
    });
    try {
      const url = `rediss://127.0.0.1:${port}`;
      const refused = await configFailure(createRedisProvider({ url }));
      expect(refused.message).toContain('certificate was not accepted');
      const p = await createRedisProvider({ url, tls: { ca: readFileSync(cert, 'utf8') } });
      unwrap(await p.storeMessages('c', say('secret')));
      expect(await textsOf(p, 'c')).toEqual(['secret']);
      await p.close();
    } finally {
      await tls.destroy();
      rmSync(folder, { recursive: true });
    }
  });

  it('does not keep a program alive that has finished without closing', async () => {
    prefix = `jaf-test-${process.pid}-p${++stores}:`;
    const code = `import { createRedisProvider, user } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../dist/memory/index.js')).href)};
      const p = await createRedisProvider({ url: ${JSON.stringify(server.url)}, keyPrefix: ${JSON.stringify(prefix)} });
      console.log((await p.storeMessages('c', [user('1')])).ok);`;
    expect(execFileSync(process.execPath, ['--input-type=module', '-e', code], { timeout: 20_000, encoding: 'utf8' })).toBe('true\n');
  });

  it('names its connection, and asks the server about itself', async () => {
    const p = await open();
    expect((await client.clientList()).map(({ name }) => name)).toContain('jaf');
    const health = await p.healthCheck();
    expect(health).toMatchObject({ healthy: true, message: expect.stringMatching(/Redis \d/) });
    expect(JSON.stringify(health)).toContain('Warning: appendonly is off');
  });
});

describe('metadata', () => {
  it('is merged key by key without touching other values, whatever keys are called', async () => {
    const p = await open();
    const first = {
      'a": b': 1,
      'back\\': 2,
      'tab\t\n': 3,
      '': 4,
      ü: '\ud800',
      list: [],
      obj: {},
      n: 1e21,
      tiny: 1e-9,
      big: 12345678901234567000,
    };
    unwrap(await p.storeMessages('c', [], first));
    unwrap(await p.appendMessages('c', [], { 'a": b': null, b: 'a": b":7', list: [[], {}], constructor: 'x' }));
    expect((await p.getConversation('c'))?.metadata).toEqual({ ...first, 'a": b': null, b: 'a": b":7', list: [[], {}], constructor: 'x' });
    unwrap(await p.appendMessages('c', [], { b: 0 }));
    expect(Object.keys((await p.getConversation('c'))?.metadata ?? {})).toEqual([...Object.keys(first), 'b', 'constructor']);
  });
});
