// The faults of the two earlier implementations of the same document, by their numbers in shared/earlier-faults.md. Those of
// the engine (3 to 6) stand with it in test/unit/engine*, configuration (17) in test/unit/env*, start-up races (18) in
// test/integration/sqlite* and postgres*, names in SQL (18) in postgres*, the package (24) in test/pack.
import { inspect } from 'node:util';
import {
  assistant,
  createProvider,
  exportConversations,
  getMemoryProviderInfo,
  importConversations,
  MemoryError,
  MemoryNotFoundError,
  type MemoryProvider,
  type Message,
  testMemoryProviderConnection,
  unwrap,
  user,
} from 'jaf/memory';
import { fakeClock, inMemoryBackend, sqliteBackend } from 'jaf/memory/testing';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { KINDS, useStores } from '../support/stores.js';

const stores = useStores();

describe.each(KINDS)('earlier faults on %s', (kind) => {
  let provider: MemoryProvider;
  let now: number;
  beforeEach(async () => {
    now = Date.parse('2026-01-15T10:00:00Z');
    provider = await stores.open(kind, { clock: () => now });
  });
  const store = async (id: string, texts: readonly string[] = ['a'], metadata: object = {}, userId?: string) =>
    unwrap(await provider.storeMessages(id, texts.map(user), metadata as never, { userId }));
  const ids = async (query: Parameters<MemoryProvider['findConversations']>[0]) =>
    (await provider.findConversations(query)).map((c) => c.conversationId).sort();

  it('1: of 50 concurrent appends to one conversation all survive, once each', async () => {
    await store('c', []);
    await Promise.all(Array.from({ length: 50 }, async (_, i) => unwrap(await provider.appendMessages('c', [user(`m${i}`)]))));
    const contents = (await provider.getConversation('c'))?.messages.map((m) => m.content);
    expect([...(contents ?? [])].sort()).toEqual(Array.from({ length: 50 }, (_, i) => `m${i}`).sort());
  });

  it('2: conversations deleted while they are read stay deleted, and a read undoes no append', async () => {
    await Promise.all(Array.from({ length: 200 }, (_, i) => store(`c${i}`)));
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        await Promise.all([provider.getConversation(`c${i}`), provider.deleteConversation(`c${i}`), provider.getRecentMessages(`c${i}`)]);
      }),
    );
    expect((await provider.getStats()).totalConversations).toBe(0);
    await store('a');
    await Promise.all([provider.getConversation('a'), provider.appendMessages('a', [user('b')]), provider.getConversation('a')]);
    expect((await provider.getConversation('a'))?.messageCount).toBe(2);
  });

  it('4: compressionThreshold loses nothing', async () => {
    for (let i = 0; i < 400; i += 4) {
      unwrap(
        await provider.appendMessages(
          'c',
          Array.from({ length: 4 }, (_, k) => user(`m${i + k}`)),
          undefined,
          { createIfMissing: true, compressionThreshold: 10 },
        ),
      );
    }
    expect((await provider.getConversation('c'))?.messages.map((m) => m.content)).toEqual(Array.from({ length: 400 }, (_, i) => `m${i}`));
  });

  it('5: a message equal to an earlier one is a message', async () => {
    for (let i = 0; i < 3; i++) unwrap(await provider.appendMessages('c', [user('yes')], undefined, { createIfMissing: true }));
    expect((await provider.getConversation('c'))?.messageCount).toBe(3);
  });

  it('7: attachments, multi-part content, NUL and lone surrogates come back exactly', async () => {
    const messages: Message[] = [
      {
        role: 'user',
        content: 'see',
        attachments: [{ kind: 'image', url: 'https://example.com/a.png', mimeType: 'image/png' }],
        message_id: 'msg_1_ab',
      },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a\0b \ud800' },
          { type: 'image_url', image_url: { url: 'data:,x', detail: 'low' } },
        ],
      },
    ];
    unwrap(await provider.storeMessages('c', messages, { note: 'a\0b \ud800' }));
    const read = await provider.getConversation('c');
    expect(read?.messages).toEqual(messages);
    expect(read?.metadata).toEqual({ note: 'a\0b \ud800' });
  });

  it('8: a restored backup keeps times and owner', async () => {
    await store('c', ['a', 'b'], { topic: 't' }, 'u1');
    const created = now;
    now += 86_400_000;
    const backup = await exportConversations(provider);
    await provider.deleteConversation('c');
    expect(await importConversations(provider, backup, { onConflict: 'fail' })).toEqual({ imported: 1, skipped: 0, failed: [] });
    const restored = await provider.getConversation('c');
    expect(restored).toMatchObject({ userId: 'u1', messageCount: 2, metadata: { topic: 't' } });
    expect([restored?.createdAt.getTime(), restored?.updatedAt.getTime()]).toEqual([created, created]);
  });

  it("9 and 10: finding and clearing one user's conversations touches no other user's, whatever the id", async () => {
    const users = ['*', 'a*', '[ab]', 'a', 'b', 'a:b', 'user:1:2', '{x}', '🎉', "o'hara", '%', '_', 'x'.repeat(255)];
    for (const u of users) await store(`chat of ${u.slice(0, 9)}`, ['x'], {}, u);
    for (const u of users) expect(await ids({ userId: u })).toEqual([`chat of ${u.slice(0, 9)}`]);
    for (const [i, u] of users.entries()) {
      expect(await provider.clearUserConversations(u)).toBe(1);
      expect((await provider.getStats()).totalConversations).toBe(users.length - i - 1);
    }
  });

  it('11: statistics are per user and complete; limit 0 is none', async () => {
    await store('a', ['1', '2'], {}, 'u1');
    await store('b', ['1', '2', '3', '4'], {}, 'u2');
    expect(await provider.getStats('u1')).toMatchObject({ totalConversations: 1, totalMessages: 2, userConversations: 1, userMessages: 2 });
    const all = await provider.getStats();
    expect(all).toMatchObject({ totalConversations: 2, totalMessages: 6, avgMessagesPerConversation: 3 });
    expect(all.totalStorageSize).toBeGreaterThan(6 * 20);
    expect(await provider.findConversations({ limit: 0 })).toEqual([]);
    expect(await provider.getRecentMessages('a', 0)).toEqual([]);
    expect((await provider.getConversation('a', { messageLimit: 0 }))?.messages).toEqual([]);
  });

  it('12: since and until look at the last write, so an active conversation is not old', async () => {
    await store('active');
    await store('idle');
    now += 100 * 86_400_000;
    unwrap(await provider.appendMessages('active', [user('still here')]));
    const cutoff = new Date(now - 90 * 86_400_000);
    expect(await ids({ until: cutoff })).toEqual(['idle']);
    expect(await ids({ since: cutoff })).toEqual(['active']);
    expect(await ids({ since: new Date('2026-01-15T11:00:00+01:00'), until: new Date('2026-01-15T05:00:00-05:00') })).toEqual(['idle']);
  });

  it('13: a TTL survives reads', async () => {
    unwrap(await provider.storeMessages('c', [user('a')], undefined, { ttl: 60 }));
    now += 59_000;
    await provider.getConversation('c');
    await provider.getRecentMessages('c');
    now += 1_000;
    expect(await provider.getConversation('c')).toBeUndefined();
    expect((await provider.getStats()).totalConversations).toBe(0);
  });

  it('14: a second store keeps createdAt and the owner', async () => {
    await store('c', ['a'], {}, 'u1');
    const created = now;
    now += 5_000;
    await store('c', ['b', 'c']);
    expect(await provider.getConversation('c')).toMatchObject({
      userId: 'u1',
      messageCount: 2,
      createdAt: new Date(created),
      updatedAt: new Date(now),
    });
    expect(await ids({ userId: 'u1' })).toEqual(['c']);
  });

  it("15: the caller's metadata is the caller's", async () => {
    const metadata = {
      createdAt: 'mine',
      updated_at: '2024-01-15T10:00:00Z',
      totalMessages: -1,
      conversation_id: 'x',
      version: 'v1',
      messages: [],
      $jaf: { a: 1 },
    };
    await store('c', ['a'], metadata);
    const read = await provider.getConversation('c');
    expect(read?.metadata).toEqual(metadata);
    expect(read).toMatchObject({ messageCount: 1, createdAt: new Date(now) });
  });

  it('16: what is returned shares nothing with what is stored', async () => {
    const metadata = { list: [1] };
    await store('c', ['a'], metadata);
    metadata.list.push(2);
    const read = await provider.getConversation('c');
    expect(() => (read?.metadata['list'] as number[]).push(3)).toThrow(TypeError);
    expect(() => ((read?.messages as Message[])[0] = user('b'))).toThrow(TypeError);
    read?.createdAt.setFullYear(1999);
    expect(await provider.getConversation('c')).toMatchObject({ metadata: { list: [1] }, messages: [user('a')], createdAt: new Date(now) });
  });

  it('19: a health check writes nothing and evicts nothing', async () => {
    await store('c');
    const before = await exportConversations(provider);
    const version = (await provider.getConversation('c'))?.version;
    now += 1000;
    for (let i = 0; i < 20; i++) expect((await provider.healthCheck()).healthy).toBe(true);
    expect((await exportConversations(provider)).conversations).toEqual(before.conversations);
    expect((await provider.getConversation('c'))?.version).toBe(version);
  });

  it('20: nothing is logged, and no content stands in an error', async () => {
    const spies = (['log', 'error', 'warn', 'info', 'debug'] as const).map((m) => vi.spyOn(console, m));
    const streams = [vi.spyOn(process.stdout, 'write'), vi.spyOn(process.stderr, 'write')];
    const secret = 'hunter2-planted-secret';
    await store('c', [secret], { key: secret });
    const failures: unknown[] = [];
    const failed = async (result: Promise<unknown>): Promise<void> => {
      const answer = await result.catch((error: unknown) => error);
      failures.push((answer as { error?: unknown }).error ?? answer);
    };
    await failed(provider.appendMessages('missing', [user(secret)]));
    await failed(provider.appendMessages('c', [{ role: 'user', content: { secret } as never }]));
    await failed(provider.storeMessages('c', [user(secret)], undefined, { expectedVersion: 1 }));
    await failed(provider.storeMessages('c', [user(secret)], { key: secret, bad: Number.NaN }));
    const said = [...spies, ...streams].flatMap((spy) => spy.mock.calls).flat();
    for (const spy of [...spies, ...streams]) spy.mockRestore();
    expect(inspect(said, { depth: 9 })).not.toContain(secret);
    expect(failures).toHaveLength(4);
    for (const failure of failures) expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain(secret);
  });

  it('21: the documented functions exist and answer', async () => {
    const env = stores.env(kind);
    expect(getMemoryProviderInfo(env)).toMatchObject({ type: kind.replace('-document', ''), persistence: kind !== 'memory' });
    expect(await testMemoryProviderConnection(env)).toMatchObject({ healthy: true });
  });

  it('22: errors are errors: with a stack, a message and a class', async () => {
    const result = await provider.appendMessages('missing', [assistant('x')]);
    if (result.ok) throw new Error('expected a failure');
    expect(result.error).toBeInstanceOf(MemoryError);
    expect(result.error.stack).toContain('appendMessages');
    expect(`${result.error}`).toMatch(/^MemoryNotFoundError: \[jaf: not_found\] appendMessages "missing": no such conversation/);
    expect(() => unwrap(result)).toThrow(MemoryNotFoundError);
  });

  it('23: an append to a missing conversation is not-found, and writes nothing', async () => {
    const result = await provider.appendMessages('missing', [user('x')]);
    expect(result.ok ? undefined : result.error).toMatchObject({ code: 'not_found', conversationId: 'missing', outcome: 'not_applied' });
    expect(await provider.getConversation('missing')).toBeUndefined();
  });
});

describe.each([inMemoryBackend, sqliteBackend])('earlier fault 25', (backendOf) => {
  it('reading one message of a long conversation reads one, and a listing of headers reads none', async () => {
    const backend = backendOf();
    const clock = fakeClock();
    const driver = await backend.create(clock);
    let bodies = 0;
    const { read, list } = driver;
    driver.read = async (...args) => {
      const stored = await read.apply(driver, args);
      bodies += stored?.bodies.length ?? 0;
      return stored;
    };
    driver.list = async (...args) => {
      const page = await list.apply(driver, args);
      for (const item of page.items) bodies += item.bodies.length;
      return page;
    };
    const provider = createProvider(driver, { clock: clock.now });
    unwrap(
      await provider.storeMessages(
        'c',
        Array.from({ length: 1000 }, (_, i) => user(`m${i}`)),
      ),
    );
    const counted = async (work: Promise<unknown>): Promise<number> => {
      bodies = 0;
      await work;
      return bodies;
    };
    expect(await counted(provider.getMessages('c', { after: 499, limit: 1 }))).toBe(1);
    expect(await counted(provider.getRecentMessages('c', 20))).toBe(20);
    expect(await counted(provider.findConversations({ messageLimit: 0 }))).toBe(0);
    expect(await counted(provider.getStats())).toBe(0);
    await provider.close();
    await backend.destroy();
  });
});
