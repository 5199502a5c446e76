// Servers that fail, freeze, refuse and lack rights; keys of the wrong type.
import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisProvider, type MemoryError, type MemoryProvider, type RedisConfig, textOf, unwrap, user } from 'jaf/memory';
import { fakeClock, Hand } from 'jaf/memory/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { StorageDriver } from '../../src/memory/driver.js';
import { createRedisDriver } from '../../src/memory/providers/redis/driver.js';
import { classify } from '../../src/memory/providers/redis/failures.js';
import { SharedConnection } from '../../src/memory/providers/redis/node-redis-shared.js';
import { connect, keysOf, type RedisServer, startRedis } from '../support/redis.js';

const TRIP = { timeout: 10_000 };
const providers: MemoryProvider[] = [];
let server: RedisServer;
let admin: Awaited<ReturnType<typeof connect>>;
let stores = 0;
let prefix = '';

beforeAll(async () => {
  server = await startRedis({ appendonly: 'yes' });
  admin = await connect(server.url);
});
afterEach(async () => {
  // a test that failed may have left it so
  server.thaw();
  if (!server.running) await server.start();
  await Promise.all(providers.splice(0).map((provider) => provider.close()));
  await admin.flushAll();
});
afterAll(async () => {
  admin?.destroy();
  await server?.destroy();
});

async function open(config: RedisConfig = {}): Promise<MemoryProvider> {
  prefix = `jaf-test-${process.pid}-f${++stores}:`;
  const provider = await createRedisProvider({ url: server.url, keyPrefix: prefix, deadline: 3000, ...config });
  providers.push(provider);
  return provider;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : 'no error');

async function failure(work: Promise<unknown>): Promise<MemoryError> {
  const result: unknown = await work.then(
    (value) => (value as { error?: unknown } | undefined)?.error,
    (e: unknown) => e,
  );
  expect(result).toBeInstanceOf(Error);
  return result as MemoryError;
}

const say = (...texts: string[]): ReturnType<typeof user>[] => texts.map((text) => user(text));

async function textsOf(provider: MemoryProvider, id: string): Promise<string[]> {
  return ((await provider.getConversation(id))?.messages ?? []).map(textOf);
}

/** Everything that is stored, byte for byte. */
async function everything(): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const key of await keysOf(admin, prefix)) {
    const dump = await admin.withTypeMapping({ 36: Buffer }).dump(key);
    all[key] = `${(dump as Buffer | null)?.toString('hex')} ${(await admin.pTTL(key)) > 0}`;
  }
  return all;
}

describe('a server that goes away', () => {
  it('is refused within the deadline, and found again by the same provider', async () => {
    const p = await open({ deadline: 500 });
    unwrap(await p.storeMessages('c', say('1')));
    await server.kill();
    // a write that meets the dying connection would be reported as unknown
    expect(await p.healthCheck()).toMatchObject({ healthy: false });
    const began = performance.now();
    const error = await failure(p.appendMessages('c', say('lost')));
    expect(performance.now() - began).toBeLessThan(6000);
    expect(error).toMatchObject({ name: 'MemoryConnectionError', code: 'refused', outcome: 'not_applied', retryable: true });
    expect((await failure(p.getConversation('c'))).code).toBe('refused');
    await server.start();
    unwrap(await p.appendMessages('c', say('2')));
    expect(await textsOf(p, 'c')).toEqual(['1', '2']);
  });

  it('in the middle of writes: nothing acknowledged is lost, nothing doubled', { timeout: 60_000 }, async () => {
    const p = await open({ deadline: 20_000 });
    unwrap(await p.storeMessages('c', []));
    const stop = new AbortController();
    const done: string[] = [];
    const writing = (async () => {
      for (let n = 0; !stop.signal.aborted; n++) {
        unwrap(await p.appendMessages('c', say(`m${n}`)));
        done.push(`m${n}`);
      }
    })();
    for (let n = 0; n < 3; n++) {
      await sleep(100);
      await server.kill();
      await server.start();
    }
    await sleep(100);
    stop.abort();
    await writing;
    expect(done.length).toBeGreaterThan(10);
    // appendfsync everysec: what the process wrote is in the system's cache, which outlives it
    expect(await textsOf(p, 'c')).toEqual(done);
  });

  it('connections that are killed under load double nothing', { timeout: 60_000 }, async () => {
    const p = await open({ deadline: 20_000 });
    const ids = ['a', 'b', 'c', 'd'];
    for (const id of ids) unwrap(await p.storeMessages(id, []));
    const ended = new AbortController();
    const writing = Promise.all(
      ids.map(async (id) => {
        for (let n = 0; n < 1000; n++) unwrap(await p.appendMessages(id, say(`${n}`)));
      }),
    ).finally(() => ended.abort());
    let killed = 0;
    while (!ended.signal.aborted) {
      await sleep(20);
      killed += Number(await admin.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']));
    }
    await writing;
    expect(killed).toBeGreaterThan(3);
    for (const id of ids) expect(await textsOf(p, id)).toEqual(Array.from({ length: 1000 }, (_, n) => `${n}`));
  });

  it('that hangs: every call fails within its deadline, and nothing is applied twice when it goes on', { timeout: 60_000 }, async () => {
    const p = await open({ deadline: 800 });
    unwrap(await p.storeMessages('c', say('1')));
    const q = await open({ deadline: 800 });
    server.freeze();
    const began = performance.now();
    const errors = await Promise.all([
      failure(p.appendMessages('c', say('2'))),
      failure(p.getConversation('c')),
      failure(p.deleteConversation('x')),
      failure(q.getStats()),
      failure(createRedisProvider({ url: server.url, deadline: 700 })),
    ]).finally(() => server.thaw());
    expect(performance.now() - began).toBeLessThan(10_000);
    for (const error of errors) expect(error.name).toBe('MemoryConnectionError');
    // the connection is given up with the first call that gets no answer; the others are lost with it
    expect(['timeout', 'lost']).toContain(errors[0]?.code);
    expect(errors[0]?.outcome).toBe('unknown');
    await expect.poll(async () => (await p.appendMessages('c', say('3'))).ok, { timeout: 5000 }).toBe(true);
    const texts = await textsOf(p, 'c');
    // the second may or may not have been applied: it was reported as unknown
    expect([
      ['1', '3'],
      ['1', '2', '3'],
    ]).toContainEqual(texts);
  });

  it('is an error at once when it is not there in the beginning', async () => {
    const error = await failure(createRedisProvider({ host: '127.0.0.1', port: 1 }));
    expect(error).toMatchObject({ name: 'MemoryConnectionError', code: 'refused' });
    expect(error.message).toContain('nothing listens at the server’s address');
  });
});

/** Every kind of write on a store that holds one conversation of each kind. */
const OPERATIONS: Readonly<Record<string, (h: Hand, clock: ReturnType<typeof fakeClock>) => Promise<unknown>>> = {
  create: (h) => h.append('new', ['m1'], { create: true, owner: 'ann', ttl: 1000, trace: 't', operation: { hash: 'h', digest: 'd' } }),
  'create anew': (h) => h.append('removed', ['m1'], { create: true, metadata: '{"k":1}' }),
  'create over': (h) => h.append('over', ['m1'], { create: true }),
  append: (h) => h.append('whole', ['m'], { metadata: '{"k":2}', operation: { hash: 'h', digest: 'd' } }),
  'plain append': (h, clock) => {
    clock.advance(1);
    return h.append('whole', ['m'], { trace: 't', operation: { hash: 'h', digest: 'd' } });
  },
  'plain trim': (h, clock) => {
    clock.advance(1);
    return h.append('whole', ['m', 'n'], { maxMessages: 20 });
  },
  'append with ttl': (h) => h.append('whole', ['m'], { ttl: 500 }),
  'clear ttl': (h) => h.append('whole', ['m'], { ttl: null }),
  trim: (h) => h.append('whole', ['m'], { maxMessages: 7 }),
  'trim to segments': (h) => h.append('packed', ['m'], { maxMessages: 9 }),
  'trim all': (h) => h.append('packed', ['m'], { maxMessages: 1 }),
  put: (h) => h.put('packed', ['m']),
  restore: (h) => h.restore('packed', ['m'], { createdAt: 1, updatedAt: 2, firstSeq: 5, onConflict: 'replace' }),
  remove: (h) => h.remove('packed'),
  pack: async (h) => h.pack({ id: 'whole', epoch: (await h.header('whole')).epoch, from: 1, to: 5, data: Buffer.from('segment') }),
  'purge expired': (h, clock) => h.driver.purge({ kind: 'expired', now: clock.now(), limit: 10 }, TRIP),
  'purge idle': (h, clock) => h.driver.purge({ kind: 'idle', until: clock.now(), now: clock.now(), limit: 10 }, TRIP),
  'purge user': (h, clock) =>
    h.driver.purge({ kind: 'user', owner: 'ann', upTo: END, allowHold: true, forget: false, now: clock.now(), limit: 10 }, TRIP),
  forget: (h, clock) =>
    h.driver.purge({ kind: 'user', owner: 'ann', upTo: END, allowHold: true, forget: true, now: clock.now(), limit: 10 }, TRIP),
  reap: (h, clock) => h.driver.purge({ kind: 'reap', now: clock.now(), limit: 10 }, TRIP),
  bar: (h, clock) => h.driver.bar('hash', clock.now() + 1000, TRIP),
};
const END = { at: Number.MAX_SAFE_INTEGER, id: '' };

async function populate(driver: StorageDriver): Promise<{ h: Hand; clock: ReturnType<typeof fakeClock> }> {
  const clock = fakeClock();
  const h = new Hand(driver, clock);
  const texts = Array.from({ length: 20 }, (_, n) => `m${n}`);
  await h.create('removed', texts);
  await h.remove('removed');
  await h.create(
    'left',
    Array.from({ length: 1000 }, () => 'x'),
  );
  await h.append('left', ['y'], { maxMessages: 3 });
  clock.advance(1000);
  await h.create('over', texts, { owner: 'ann', ttl: 5 });
  clock.advance(5);
  await h.create('whole', texts, { owner: 'ann', ttl: 1000, metadata: '{"k":1}', operation: { hash: 'g', digest: 'd' } });
  await h.create('packed', texts, { owner: 'ann', trace: 't' });
  const { epoch } = await h.header('packed');
  await h.pack({ id: 'packed', epoch, from: 1, to: 6, data: Buffer.from('one') });
  await h.pack({ id: 'packed', epoch, from: 6, to: 15, data: Buffer.from('two') });
  return { h, clock };
}

describe('what cannot be done', () => {
  it('changes nothing when a key has another type, whatever key it is', { timeout: 120_000 }, async () => {
    prefix = `jaf-test-${process.pid}-f${++stores}:`;
    const driver = createRedisDriver({ keyPrefix: prefix, neighbours: 0 }, async () => new SharedConnection(admin));
    const failed = new Set<string>();
    for (const [what, operation] of Object.entries(OPERATIONS)) {
      for (const spoiled of [
        'c:whole',
        'm0:whole',
        's:whole',
        'n:whole',
        'o:whole',
        'c:packed',
        'm0:packed',
        'm1:packed',
        's:packed',
        'n:packed',
        'o:packed',
        'c:removed',
        'c:over',
        'm0:over',
        'm0:new',
        'o:new',
        'u',
        'r',
        'e',
        'd',
        'x',
        'l',
        'U:ann',
        'R:ann',
        'E:ann',
      ]) {
        await admin.flushAll();
        await driver.close();
        await driver.open();
        const { h, clock } = await populate(driver);
        const key = `{${prefix}#0}${spoiled}`;
        await admin.del(key);
        await admin.set(key, 'not ours');
        const before = await everything();
        const error: unknown = await operation(h, clock).then(
          () => undefined,
          (e: unknown) => e,
        );
        if (error === undefined) continue;
        expect(classify(error).kind, `${what}, ${spoiled}: ${messageOf(error)}`).toBe('corrupt');
        expect(await everything(), `${what}, ${spoiled}`).toEqual(before);
        failed.add(what);
      }
    }
    expect([...failed].sort()).toEqual(Object.keys(OPERATIONS).sort());
  });

  it('changes nothing when the user lost the right to a command, whatever command it is', { timeout: 120_000 }, async () => {
    prefix = `jaf-test-${process.pid}-f${++stores}:`;
    const commands = [
      'unlink',
      'hset',
      'hget',
      'hmget',
      'hgetall',
      'hlen',
      'hdel',
      'rpush',
      'llen',
      'lrange',
      'ltrim',
      'zadd',
      'zcard',
      'zcount',
      'zscore',
      'zrank',
      'zrange',
      'zrangebyscore',
      'zrevrangebyscore',
      'zremrangebyscore',
      'zrem',
      'set',
      'get',
      'pexpire',
      'persist',
      'time',
    ];
    await admin.sendCommand(['ACL', 'SETUSER', 'app', 'reset', 'on', '>secret', '~*', '+@all']);
    const client = await connect(server.url.replace('//', '//app:secret@'));
    const driver = createRedisDriver({ keyPrefix: prefix, neighbours: 2 }, async () => new SharedConnection(client));
    const failed = new Set<string>();
    try {
      for (const [what, operation] of Object.entries(OPERATIONS)) {
        for (const command of commands) {
          await admin.flushAll();
          await driver.close();
          await driver.open();
          const { h, clock } = await populate(driver);
          const before = await everything();
          const seen = await h.walk({ window: { kind: 'all' } });
          // a read before it is none of the operation
          const epoch = what === 'pack' ? (await h.header('whole')).epoch : 0;
          await admin.sendCommand(['ACL', 'SETUSER', 'app', `-${command}`]);
          const done = what === 'pack' ? h.pack({ id: 'whole', epoch, from: 1, to: 5, data: Buffer.from('segment') }) : operation(h, clock);
          const error: unknown = await done.then(
            () => undefined,
            (e: unknown) => e,
          );
          await admin.sendCommand(['ACL', 'SETUSER', 'app', '+@all']);
          if (error === undefined) continue;
          expect(classify(error), `${what} without ${command}: ${messageOf(error)}`).toMatchObject({ kind: 'config' });
          const after = await everything();
          // bodies nobody can see may stay behind a write that failed; the next one drops them
          const told = (all: Record<string, string>): unknown =>
            Object.entries(all).filter(([key]) => command !== 'hset' || !/\}m[01]:/.test(key));
          expect(told(after), `${what} without ${command}`).toEqual(told(before));
          expect(await h.walk({ window: { kind: 'all' } }), `${what} without ${command}`).toEqual(seen);
          failed.add(command);
        }
      }
    } finally {
      client.destroy();
    }
    for (const command of ['hset', 'rpush', 'zadd', 'zrem', 'unlink', 'pexpire', 'ltrim', 'hdel', 'persist'])
      expect(failed).toContain(command);
  });

  it('is said when a store is opened: the command, or the keys, and what to grant', async () => {
    const grant = (await failure(openAs('+@all', '-zrank'))).message;
    expect(grant).toContain('the user may not run ZRANK');
    const rights = /ACL SETUSER … (\S+) (\+.*)$/.exec(grant);
    for (const lacking of ['-evalsha', '-eval', '-hset', '-time', '-unlink']) {
      const error = await failure(openAs('+@all', lacking));
      expect(error).toMatchObject({ name: 'MemoryConfigError', setting: 'username' });
      expect(error.message).toContain(`may not run ${lacking.slice(1).toUpperCase()}`);
    }
    expect((await failure(openAs('+@all', 'resetkeys', '~other:*'))).message).toContain('may not use keys that begin with');
    // exactly what the message says is enough for everything
    const p = await openAs(rights?.[1] ?? '', ...(rights?.[2] ?? '').replace(/\.$/, '').split(' '));
    unwrap(await p.storeMessages('c', say('1', '2'), { a: 1 }, { userId: 'ann', ttl: 60, operationId: 'op' }));
    unwrap(await p.appendMessages('c', say('3'), { b: 1 }, { maxMessages: 2 }));
    expect(await textsOf(p, 'c')).toEqual(['2', '3']);
    expect((await p.findConversations({ userId: 'ann' })).length).toBe(1);
    expect(JSON.stringify(await p.healthCheck())).not.toContain('may not');
    expect(await p.clearUserConversations('ann')).toBe(1);
    await p.purgeExpired();
  });

  /** Opens a store as a user with these rights only; on a prefix that is the same each time. */
  async function openAs(...rights: string[]): Promise<MemoryProvider> {
    await admin.sendCommand([
      'ACL',
      'SETUSER',
      'app',
      'reset',
      'on',
      '>s3cret',
      ...(rights.some((r) => r.startsWith('~')) ? [] : ['~*']),
      ...rights,
    ]);
    const provider = await createRedisProvider({ url: server.url.replace('//', '//app:s3cret@'), keyPrefix: 'granted:', deadline: 3000 });
    providers.push(provider);
    return provider;
  }

  it('is said of a wrong or missing password, and of a database that is not there; never the password', async () => {
    await admin.sendCommand(['ACL', 'SETUSER', 'app', 'reset', 'on', '>s3cret', '~*', '+@all']);
    const wrong = await failure(createRedisProvider({ url: server.url, username: 'app', password: 'hunter2' }));
    expect(wrong).toMatchObject({ name: 'MemoryConfigError' });
    expect(wrong.message).toContain('rejected user name or password');
    expect(JSON.stringify(wrong) + wrong.message + String(wrong.stack)).not.toContain('hunter2');
    await admin.configSet('requirepass', 'token');
    try {
      expect((await failure(createRedisProvider({ url: server.url }))).message).toContain('wants a password');
      const p = await createRedisProvider({ url: server.url.replace('//', '//token@') });
      providers.push(p);
      expect(await p.healthCheck()).toMatchObject({ healthy: true });
    } finally {
      await admin.configSet('requirepass', '');
    }
    expect((await failure(createRedisProvider({ url: server.url, db: 99 }))).message).toContain('no database of that number');
    const third = await open({ db: 3 });
    unwrap(await third.storeMessages('c', say('1')));
    expect(await keysOf(admin, prefix)).toEqual([]);
  });

  it('is said when memory is full, and deleting still helps', async () => {
    const p = await open();
    unwrap(await p.storeMessages('big', say('x'.repeat(1_000_000)), undefined, { userId: 'ann' }));
    unwrap(await p.storeMessages('bigger', say('x'.repeat(1_000_000)), undefined, { userId: 'ann' }));
    const before = await everything();
    await admin.configSet('maxmemory', '100kb');
    try {
      const error = await failure(p.appendMessages('big', say('y')));
      expect(error).toMatchObject({ name: 'MemoryStorageError', code: 'storage', outcome: 'not_applied' });
      expect(error.message).toContain('maxmemory');
      expect(await everything()).toEqual(before);
      expect(await p.deleteConversation('big')).toBe(true);
      expect(await p.clearUserConversations('ann')).toBe(1);
      expect((await p.getStats()).totalConversations).toBe(0);
      await admin.configSet('maxmemory-policy', 'volatile-lru');
      expect(JSON.stringify(await p.healthCheck())).toContain('set it to noeviction');
    } finally {
      await admin.configSet({ maxmemory: '0', 'maxmemory-policy': 'noeviction' });
    }
  });

  it('is said of bodies that are gone: damage is not hidden', async () => {
    const p = await open();
    unwrap(await p.storeMessages('c', say('1', '2')));
    await admin.unlink(`{${prefix}#0}m0:c`);
    expect(await failure(p.getConversation('c'))).toMatchObject({ name: 'MemoryStorageError', code: 'corrupt' });
    expect(await failure(p.appendMessages('c', say('3')))).toMatchObject({ code: 'corrupt' });
    unwrap(await p.storeMessages('c', say('4')));
    expect(await textsOf(p, 'c')).toEqual(['4']);
  });
});
