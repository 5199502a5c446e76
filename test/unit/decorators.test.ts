// withFallback and withCache: what they serve, what they never serve, and what they tell.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'jaf';
import {
  type ConversationMemory,
  createInMemoryProvider,
  createProvider,
  createSqliteProvider,
  eraseUser,
  exportConversations,
  type MemoryConnectionError,
  type MemoryEvent,
  type MemoryProvider,
  toolResult,
  unwrap,
  user,
  withCache,
  withFallback,
} from 'jaf/memory';
import { fakeClock, faulty, inMemoryBackend, seededRandom } from 'jaf/memory/testing';
import { createOfflineModel } from 'jaf/models';
import { describe, expect, it } from 'vitest';
import { cutReads, publicOnly } from '../support/cuts.js';

const audit = { append: async () => ({ hash: 'h' }) };
const talk = (count: number) => Array.from({ length: count }, (_, i) => user(`message ${i + 1}`));

describe('withFallback', () => {
  /** A primary with a newer state than its copy; `events` has what was told. */
  async function pair({ isCut = () => true, midway = false }: { isCut?: () => boolean; midway?: boolean } = {}) {
    const clock = fakeClock();
    const primary = createInMemoryProvider({ clock: clock.now });
    const secondary = createInMemoryProvider({ clock: clock.now });
    for (const store of [primary, secondary]) {
      unwrap(await store.storeMessages('c1', talk(3), {}, { userId: 'ann' }));
      unwrap(await store.storeMessages('c2', talk(1), {}, { userId: 'bob' }));
    }
    unwrap(await primary.appendMessages('c1', [user('new')]));
    unwrap(await primary.storeMessages('c3', talk(2), {}, { userId: 'ann' }));
    const events: MemoryEvent[] = [];
    const provider = withFallback(cutReads(primary, isCut, { midway }), secondary, { onEvent: (event) => events.push(event) });
    return { primary, secondary, provider, events, clock };
  }
  const ids = async (provider: MemoryProvider): Promise<string[]> => {
    const found: string[] = [];
    for await (const { conversationId } of provider.iterateConversations()) found.push(conversationId);
    return found;
  };

  it('answers every kind of read from the secondary, and tells that it is stale', async () => {
    const { provider, events } = await pair();
    expect((await provider.getConversation('c1'))?.messageCount).toBe(3);
    expect(await provider.getRecentMessages('c1', 1)).toEqual([user('message 3')]);
    expect((await provider.getMessages('c1', { after: 2 })).items).toHaveLength(1);
    expect(await provider.findConversations({ userId: 'ann' })).toHaveLength(1);
    expect(await ids(provider)).toEqual(['c1', 'c2']);
    expect((await provider.getStats()).totalMessages).toBe(4);
    expect((await provider.getStats('ann')).userMessages).toBe(3);
    expect(await provider.forUser('ann').getConversation('c2')).toBeUndefined();
    expect((await provider.forUser('bob').getConversation('c2'))?.messageCount).toBe(1);
    const about = { type: 'stale', provider: 'cut', from: 'memory' };
    expect(events.slice(0, 5)).toEqual([
      { ...about, operation: 'getConversation', conversationId: 'c1', code: 'refused' },
      { ...about, operation: 'getRecentMessages', conversationId: 'c1', code: 'refused' },
      { ...about, operation: 'getMessages', conversationId: 'c1', code: 'refused' },
      { ...about, operation: 'findConversations', code: 'refused' },
      { ...about, operation: 'iterateConversations', code: 'timeout' },
    ]);
    expect(events).toHaveLength(9);
  });

  it('does not ask the secondary while the primary answers, also when there is none', async () => {
    const { provider, secondary, events } = await pair({ isCut: () => false });
    unwrap(await secondary.storeMessages('only-here', talk(1)));
    expect(await provider.getConversation('only-here')).toBeUndefined();
    expect(await provider.getRecentMessages('only-here')).toEqual([]);
    expect((await provider.getConversation('c1'))?.messageCount).toBe(4);
    await expect(provider.getConversation('')).rejects.toMatchObject({ code: 'invalid' });
    expect(events).toEqual([]);
  });

  it('does not fall back from a provider that was closed, or a call that was aborted', async () => {
    const { provider, primary, events } = await pair({ isCut: () => false });
    await expect(provider.getConversation('c1', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    await primary.close();
    await expect(provider.getConversation('c1')).rejects.toMatchObject({ code: 'closed' });
    expect(events).toEqual([]);
  });

  it('writes go to the primary alone and fail as it says', async () => {
    const clock = fakeClock();
    const store = await inMemoryBackend().create(clock);
    const down = createProvider(
      faulty(store, () => 'fail'),
      { deadline: 20 },
    );
    const secondary = createInMemoryProvider();
    unwrap(await secondary.storeMessages('c', talk(1)));
    const provider = withFallback(down, secondary);
    expect((await provider.getConversation('c'))?.messageCount).toBe(1);
    const written = await provider.appendMessages('c', talk(1));
    expect(written.ok ? 'stored' : [written.error.code, written.error.outcome]).toEqual(['refused', 'not_applied']);
    await expect(provider.deleteConversation('c')).rejects.toMatchObject({ code: 'refused' });
    await expect(provider.clearUserConversations('ann')).rejects.toMatchObject({ code: 'refused' });
    await expect(provider.purgeExpired()).rejects.toMatchObject({ code: 'refused' });
    expect((await secondary.getConversation('c'))?.messageCount).toBe(1);
    const health = await provider.healthCheck();
    expect([health.healthy, health.metrics['secondaryHealthy']]).toEqual([false, 1]);
    await provider.close();
    await expect(secondary.getConversation('c')).rejects.toMatchObject({ code: 'closed' });
  });

  it('throws the error of the primary when both are out of reach', async () => {
    const events: MemoryEvent[] = [];
    const store = createInMemoryProvider();
    const both = withFallback(
      cutReads(store, () => true),
      cutReads(store, () => true),
      { onEvent: (event) => events.push(event) },
    );
    const error = (await both.getConversation('c').catch((e: unknown) => e)) as MemoryConnectionError;
    expect([error.provider, error.code]).toEqual(['cut', 'refused']);
    expect(events).toEqual([
      { type: 'fallback_failed', provider: 'cut', operation: 'getConversation', conversationId: 'c', code: 'refused', from: 'memory' },
    ]);
  });

  it('cut anywhere, a read is the one state, the other, or an error', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = seededRandom(seed);
      const { provider, primary, secondary } = await pair({ isCut: () => random() < 0.4, midway: true });
      const reads: readonly ((from: MemoryProvider) => Promise<unknown>)[] = [
        (from) => from.getConversation('c1'),
        (from) => from.getConversation('c3', { messageLimit: 1 }),
        (from) => from.getRecentMessages('c1', 2),
        (from) => from.getMessages('c1', { before: 4, limit: 2 }),
        (from) => from.findConversations({ order: 'oldest' }),
        ids,
        (from) => from.forUser('ann').getStats(),
      ];
      for (const read of reads) {
        const [fresh, stale] = [await read(primary), await read(secondary)];
        const answer = await read(provider).catch((error: unknown) => error);
        if (answer instanceof Error) expect(answer).toMatchObject({ name: 'MemoryConnectionError', provider: 'cut' });
        else expect([fresh, stale]).toContainEqual(answer);
      }
    }
  });

  it('an erasure erases the secondary too; an export is of the primary', async () => {
    const { provider, primary, secondary } = await pair();
    expect((await exportConversations(provider)).conversation_count).toBe(3);
    const down = withFallback(
      primary,
      cutReads(publicOnly(secondary), () => false),
    );
    await eraseUser(down, 'ann', { audit });
    expect(await ids(primary)).toEqual(['c2']);
    expect(await ids(secondary)).toEqual(['c2']);
  });

  it('an erasure leaves nothing in the file of the copies either: no tombstone that names a conversation, no page', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'jaf-decorators-'));
    try {
      const path = join(folder, 'copies.db');
      const provider = withFallback(createInMemoryProvider(), await createSqliteProvider({ path, sweep: false }));
      const copies = await createSqliteProvider({ path, sweep: false });
      for (const id of ['conversation-gone-before', 'conversation-there'])
        unwrap(await copies.storeMessages(id, [user('what nobody may find')], {}, { userId: 'ann-of-the-copies' }));
      await copies.deleteConversation('conversation-gone-before');
      await copies.close();
      const dump = (): string => readdirSync(folder).reduce((all, name) => all + readFileSync(join(folder, name), 'latin1'), '');
      expect(dump()).toContain('conversation-gone-before');
      await eraseUser(provider, 'ann-of-the-copies', { audit });
      for (const text of ['conversation-gone-before', 'conversation-there', 'what nobody may find', 'ann-of-the-copies'])
        expect(dump()).not.toContain(text);
      await provider.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('withCache', () => {
  const setUp = async (config: { known?: boolean; ttl?: number } = {}) => {
    const clock = fakeClock();
    const durable = createInMemoryProvider({ clock: clock.now });
    const fast = createInMemoryProvider({ clock: clock.now });
    const events: MemoryEvent[] = [];
    const provider = withCache(config.known === false ? publicOnly(durable) : durable, fast, {
      clock: clock.now,
      onEvent: (event) => events.push(event),
      ...(config.ttl === undefined ? {} : { ttl: config.ttl }),
    });
    /** What the cache did in a read, and whether it answered as the durable store. */
    const outcome = async <T>(read: (from: MemoryProvider) => Promise<T>): Promise<'hit' | 'miss' | 'neither'> => {
      const before = (await provider.healthCheck()).metrics;
      const answer = await read(provider);
      expect(answer).toEqual(await read(durable));
      // the copy is made behind the answer
      await new Promise((turn) => setImmediate(turn));
      await new Promise((turn) => setImmediate(turn));
      const after = (await provider.healthCheck()).metrics;
      if ((after['cacheHits'] ?? 0) > (before['cacheHits'] ?? 0)) return 'hit';
      return (after['cacheMisses'] ?? 0) > (before['cacheMisses'] ?? 0) ? 'miss' : 'neither';
    };
    return { clock, durable, fast, provider, events, outcome };
  };
  const whole = (from: MemoryProvider): Promise<ConversationMemory | undefined> => from.getConversation('c');

  it.each([true, false])('serves a copy of the same version, exactly what the durable store would answer (ours: %s)', async (known) => {
    const { provider, outcome, fast, events } = await setUp({ known });
    const call = { id: 'call-1', type: 'function', function: { name: 'f', arguments: '{}' } } as const;
    const messages = [
      ...talk(3),
      { role: 'assistant', content: null, tool_calls: [call] } as const,
      toolResult('call-1', 'f', 'ok'),
      ...talk(4),
    ];
    unwrap(await provider.storeMessages('c', messages, { topic: 'x' }, { userId: 'ann', traceId: 't', ttl: 100 }));
    expect([await outcome(whole), await outcome(whole)]).toEqual(['miss', 'hit']);
    for (let limit = 1; limit <= 10; limit++) {
      expect(await outcome((from) => from.getConversation('c', { messageLimit: limit }))).toBe('hit');
      expect(await outcome((from) => from.getRecentMessages('c', limit))).toBe('hit');
    }
    expect(await outcome((from) => from.forUser('ann').getRecentMessages('c'))).toBe('hit');
    expect(await outcome((from) => from.getConversation('c', { messageLimit: 0 }))).toBe('neither');
    const copy = await fast.getConversation('c');
    expect([copy?.userId, Object.keys(copy?.metadata ?? {})]).toEqual(['ann', ['jafCache']]);
    expect(events).toEqual([]);
  });

  it('a window serves smaller windows, not larger ones', async () => {
    const { provider, outcome } = await setUp();
    const call = { id: 'call-1', type: 'function', function: { name: 'f', arguments: '{}' } } as const;
    const messages = [
      ...talk(3),
      { role: 'assistant', content: null, tool_calls: [call] } as const,
      toolResult('call-1', 'f', 'ok'),
      ...talk(4),
    ];
    unwrap(await provider.storeMessages('c', messages));
    const window = (limit: number) => outcome((from) => from.getConversation('c', { messageLimit: limit }));
    // the fifth from the end is a result without its call: a window of five holds four
    expect([await window(5), await window(5), await window(4), await window(2)]).toEqual(['miss', 'hit', 'hit', 'hit']);
    expect([await window(6), await window(6), await outcome(whole), await window(6)]).toEqual(['miss', 'hit', 'miss', 'hit']);
  });

  it('never serves what was written, replaced, deleted or expired behind its back', async () => {
    const { provider, durable, outcome, clock } = await setUp();
    unwrap(await provider.storeMessages('c', talk(3), {}, { ttl: 50 }));
    const warm = async (): Promise<void> => {
      await outcome(whole);
      expect(await outcome(whole)).toBe('hit');
    };
    await warm();
    unwrap(await durable.appendMessages('c', talk(1)));
    expect(await outcome(whole)).toBe('miss');
    await warm();
    unwrap(await durable.appendMessages('c', [], { only: 'metadata' }));
    expect(await outcome(whole)).toBe('miss');
    await warm();
    unwrap(await durable.storeMessages('c', talk(4)));
    expect(await outcome(whole)).toBe('miss');
    await warm();
    clock.advance(50_000);
    expect(await outcome(whole)).toBe('neither');
    unwrap(await durable.storeMessages('c', talk(4)));
    await warm();
    await durable.deleteConversation('c');
    expect(await outcome(whole)).toBe('neither');
    expect(await provider.getRecentMessages('c')).toEqual([]);
  });

  it('tells the lives of an id apart that reached the same version in one millisecond', async () => {
    const { provider, durable, outcome } = await setUp();
    unwrap(await provider.storeMessages('c', talk(2), {}, { userId: 'ann' }));
    await outcome(whole);
    expect(await outcome(whole)).toBe('hit');
    const before = await whole(durable);
    await eraseUser(durable, 'ann', { audit });
    unwrap(await durable.storeMessages('c', [user('mine'), user('too')]));
    const after = await whole(durable);
    expect([after?.version, after?.messageCount]).toEqual([before?.version, before?.messageCount]);
    expect(await outcome(whole)).toBe('miss');
    expect((await whole(provider))?.messages).toEqual([user('mine'), user('too')]);
  });

  it("another user's handle sees nothing, warm or not", async () => {
    const { provider, outcome, fast } = await setUp();
    unwrap(await provider.storeMessages('c', talk(2), {}, { userId: 'ann' }));
    await outcome(whole);
    expect(await provider.forUser('bob').getConversation('c')).toBeUndefined();
    expect(await provider.forUser('bob').getRecentMessages('c')).toEqual([]);
    expect((await fast.getConversation('c'))?.messageCount).toBe(2);
    expect((await provider.forUser('ann').getConversation('c'))?.messageCount).toBe(2);
  });

  it('deletes, clears and erases the copies too, also one in the making', async () => {
    const { provider, fast, outcome } = await setUp();
    const all = async (): Promise<string[]> => (await fast.findConversations()).map((c) => c.conversationId).sort();
    for (const id of ['a', 'b', 'c']) {
      unwrap(await provider.storeMessages(id, talk(2), {}, { userId: id === 'c' ? 'bob' : 'ann' }));
      await outcome((from) => from.getConversation(id));
    }
    expect(await all()).toEqual(['a', 'b', 'c']);
    await provider.deleteConversation('a');
    expect(await all()).toEqual(['b', 'c']);
    await provider.clearUserConversations('bob');
    expect(await all()).toEqual(['b']);
    const reading = provider.getConversation('b', { messageLimit: 1 });
    const receipt = await eraseUser(provider, 'ann', { audit });
    await reading;
    await new Promise((turn) => setImmediate(turn));
    expect([receipt.conversations, await all()]).toEqual([1, []]);
    expect(await provider.getConversation('b')).toBeUndefined();
  });

  it('a copy somebody wrote to, a cache that fails or is closed costs a second trip and tells', async () => {
    const strange = await setUp();
    unwrap(await strange.provider.storeMessages('c', talk(5)));
    expect(await strange.outcome(whole)).toBe('miss');
    unwrap(await strange.fast.appendMessages('c', talk(1)));
    expect([await strange.outcome(whole), await strange.outcome(whole)]).toEqual(['miss', 'hit']);
    const { provider, fast, outcome, events } = await setUp();
    unwrap(await provider.storeMessages('c', talk(5)));
    await fast.close();
    expect([await outcome(whole), await outcome(whole)]).toEqual(['miss', 'miss']);
    expect(events.slice(0, 2)).toEqual([
      { type: 'cache_failed', provider: 'memory', operation: 'getConversation', code: 'closed' },
      { type: 'cache_failed', provider: 'memory', operation: 'restoreConversation', code: 'closed' },
    ]);
    await expect(provider.getConversation('')).rejects.toMatchObject({ code: 'invalid' });
    expect((await provider.healthCheck()).metrics['cacheFailures']).toBe(events.length);
  });

  it('copies leave after their time, and close waits for one in the making and closes both', async () => {
    const { provider, durable, fast, outcome, clock } = await setUp({ ttl: 10 });
    unwrap(await provider.storeMessages('c', talk(2)));
    await outcome(whole);
    clock.advance(9999);
    expect(await outcome(whole)).toBe('hit');
    clock.advance(1);
    expect(await fast.getConversation('c')).toBeUndefined();
    await provider.forUser('ann').close();
    expect(await outcome(whole)).toBe('miss');
    await provider.close();
    for (const store of [durable, fast]) await expect(store.getConversation('c')).rejects.toMatchObject({ code: 'closed' });
    expect(() => withCache(durable, fast, { ttl: 0 })).toThrow('[jaf: config] withCache "ttl": expected seconds above 0, got 0.');
  });

  it('a run over it stores what is new, once, whether it loaded a copy or not; an export is the same', async () => {
    const { provider, durable, outcome } = await setUp();
    const config = {
      agentRegistry: { A: { name: 'A', instructions: () => '' } },
      modelProvider: createOfflineModel(),
      memory: { provider },
      conversationId: 'c',
    };
    const ask = async (text: string): Promise<void> => {
      const { outcome: ended } = await run({ messages: [user(text)], currentAgentName: 'A', context: {} }, config);
      expect(ended.status).toBe('completed');
    };
    await ask('Hello!');
    for (let turn = 2; turn <= 4; turn++) {
      await outcome((from) => from.getConversation('c', { messageLimit: 200 }));
      expect(await outcome((from) => from.getConversation('c', { messageLimit: 200 }))).toBe('hit');
      const loaded = await provider.getConversation('c');
      const { outcome: ended } = await run(
        { messages: [...(loaded?.messages ?? []), user('Hello!')], currentAgentName: 'A', context: {} },
        config,
      );
      expect(ended.status).toBe('completed');
      expect((await durable.getConversation('c'))?.messageCount).toBe(turn * 2);
    }
    expect((await exportConversations(provider)).conversations).toEqual((await exportConversations(durable)).conversations);
  });
});
