import fc from 'fast-check';
import {
  compareCursors,
  createInMemoryProvider,
  createProvider,
  type Cursor,
  type MemoryEvent,
  MemoryNotFoundError,
  MemoryStorageError,
  unwrap,
  user,
} from 'jaf/memory';
import { fakeClock, faulty } from 'jaf/memory/testing';
import { describe, expect, it, vi } from 'vitest';
import { InMemoryDriver } from '../../src/memory/providers/in-memory/driver.js';
import { Ordered } from '../../src/memory/providers/in-memory/ordered.js';

const ids = async (provider: ReturnType<typeof createInMemoryProvider>): Promise<string[]> =>
  (await provider.findConversations({ messageLimit: 0 })).map((c) => c.conversationId).sort();

describe('in-memory writes, which pass no queue', () => {
  it('apply in call order, behind a removal that was not awaited too', async () => {
    const provider = createInMemoryProvider();
    unwrap(await provider.storeMessages('c', [user('1')]));
    const removed = provider.deleteConversation('c');
    const appended = provider.appendMessages('c', [user('2')], undefined, { createIfMissing: true });
    const last = provider.appendMessages('c', [user('3')]);
    expect(await removed).toBe(true);
    expect(unwrap(await appended).created).toBe(true);
    unwrap(await last);
    expect((await provider.getConversation('c'))?.messages.map((m) => m.content)).toEqual(['2', '3']);
  });

  it('let timers run, in a loop that never waits for anything else', async () => {
    const provider = createInMemoryProvider();
    const fired: number[] = [];
    const timer = setInterval(() => fired.push(1), 1);
    for (let n = 0; fired.length < 3; n++) {
      unwrap(await provider.appendMessages('c', [user('x')], undefined, { createIfMissing: true }));
      expect(n).toBeLessThan(1_000_000);
    }
    clearInterval(timer);
  });

  it('count bytes as the other stores do, whatever was trimmed, packed and replaced before somebody asked', async () => {
    const bytes = async (p: ReturnType<typeof createInMemoryProvider>): Promise<number> => (await p.getStats()).totalStorageSize;
    const asked = createInMemoryProvider({ maxMessages: 7 });
    const late = createInMemoryProvider({ maxMessages: 7 });
    const text = (n: number): string => 'ä"\n'.repeat(n % 5) + 'x'.repeat(n);
    for (let n = 0; n < 100; n++) {
      for (const provider of [asked, late]) {
        if (n % 30 === 29) unwrap(await provider.storeMessages('c', [user(text(n))], { n }));
        else
          unwrap(
            await provider.appendMessages('c', [user(text(n)), user('')], n % 9 === 0 ? { [`k${n}`]: n } : undefined, {
              createIfMissing: true,
            }),
          );
      }
      await bytes(asked);
    }
    // the stored form: a mark and seven digits before each message's JSON text
    const { messages, metadata } = (await late.getConversation('c')) as { messages: readonly object[]; metadata: object };
    const expected = messages.reduce(
      (sum, m) => sum + 8 + Buffer.byteLength(JSON.stringify(m)),
      Buffer.byteLength(JSON.stringify(metadata)),
    );
    expect(await bytes(late)).toBe(expected);
    expect(await bytes(asked)).toBe(expected);
  });
});

describe('a full in-memory store', () => {
  it('lets the least recently written conversation go, and says so', async () => {
    const events: MemoryEvent[] = [];
    let now = 1000;
    const provider = createInMemoryProvider({ maxConversations: 3, clock: () => now++, onEvent: (event) => events.push(event) });
    for (const id of ['a', 'b', 'c']) unwrap(await provider.storeMessages(id, [user(id)]));
    unwrap(await provider.appendMessages('a', [user('again')]));
    await provider.getConversation('b');
    unwrap(await provider.storeMessages('d', [user('d')]));
    expect(await ids(provider)).toEqual(['a', 'c', 'd']);
    expect(events).toEqual([{ type: 'evicted', conversationId: 'b', provider: 'memory' }]);
    const late = await provider.appendMessages('b', [user('late')]);
    expect(late.ok ? undefined : late.error).toBeInstanceOf(MemoryNotFoundError);
    expect((await provider.getStats()).totalMessages).toBe(4);
  });

  it('keeps what is under legal hold, and refuses a new conversation when nothing may leave', async () => {
    const provider = createInMemoryProvider({ maxConversations: 2 });
    unwrap(await provider.storeMessages('held', [user('a')], { legalHold: true }));
    unwrap(await provider.storeMessages('free', [user('b')]));
    unwrap(await provider.storeMessages('new', [user('c')]));
    expect(await ids(provider)).toEqual(['held', 'new']);
    unwrap(await provider.appendMessages('new', [], { legalHold: true }));
    const refused = await provider.storeMessages('one more', [user('d')]);
    const error = refused.ok ? undefined : refused.error;
    expect(error).toBeInstanceOf(MemoryStorageError);
    expect(error?.message).toMatch(/every conversation the store may keep is under legal hold\. Raise maxConversations\.$/);
    expect(await ids(provider)).toEqual(['held', 'new']);
    unwrap(await provider.appendMessages('held', [], { legalHold: false }));
    unwrap(await provider.storeMessages('one more', [user('d')]));
    expect(await ids(provider)).toEqual(['new', 'one more']);
  });

  it('does not bring an evicted conversation back when its creation is repeated', async () => {
    const clock = fakeClock();
    const driver = new InMemoryDriver(1, clock.now);
    let lost = false;
    const provider = createProvider(
      faulty(driver, ({ operation }) => {
        if (operation !== 'write' || lost) return 'pass';
        lost = true;
        return 'lose-reply';
      }),
      { clock: clock.now },
    );
    const first = provider.storeMessages('a', [user('a')]);
    unwrap(await createProvider(driver, { clock: clock.now }).storeMessages('b', [user('b')]));
    const answer = await first;
    expect(answer.ok ? undefined : answer.error).toBeInstanceOf(MemoryNotFoundError);
    expect(await provider.getConversation('a')).toBeUndefined();
  });
});

describe('maxMessages', () => {
  it('keeps the newest and says how many went', async () => {
    const events: MemoryEvent[] = [];
    const provider = createInMemoryProvider({ maxMessages: 3, onEvent: (event) => events.push(event) });
    unwrap(await provider.storeMessages('c', [user('1'), user('2')]));
    unwrap(await provider.appendMessages('c', [user('3'), user('4'), user('5')]));
    expect((await provider.getConversation('c'))?.messages.map((m) => m.content)).toEqual(['3', '4', '5']);
    expect(events).toEqual([{ type: 'trimmed', conversationId: 'c', messages: 2, provider: 'memory' }]);
  });
});

describe('the sorted index', () => {
  const cursor = fc.record({ at: fc.integer({ min: 0, max: 20 }), id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 2 }) });
  it('walks like a sorted array, from any place, in both directions', () => {
    const sorted = (set: Map<string, Cursor>): Cursor[] => [...set.values()].sort(compareCursors);
    fc.assert(
      fc.property(fc.array(fc.tuple(cursor, fc.boolean()), { maxLength: 3000, size: 'max' }), cursor, (steps, place) => {
        const index = new Ordered<Cursor>();
        const model = new Map<string, Cursor>();
        for (const [c, add] of steps) {
          const key = `${c.at}/${c.id}`;
          if (add && !model.has(key)) {
            index.insert(c, c);
            model.set(key, c);
          } else if (!add) {
            index.delete(c);
            model.delete(key);
          }
        }
        const all = sorted(model);
        expect([...index.walk(undefined, false)]).toEqual(all);
        expect([...index.walk(undefined, true)]).toEqual([...all].reverse());
        expect([...index.walk(place, false)]).toEqual(all.filter((c) => compareCursors(c, place) > 0));
        expect([...index.walk(place, true)]).toEqual([...all].reverse().filter((c) => compareCursors(c, place) < 0));
        expect(index.isEmpty).toBe(all.length === 0);
      }),
      { numRuns: 40 },
    );
  });

  it('splits its chunks when it grows', () => {
    const index = new Ordered<number>();
    const order = Array.from({ length: 5000 }, (_, i) => (i * 7919) % 5000);
    for (const at of order) index.insert({ at, id: 'x' }, at);
    expect([...index.walk(undefined, false)]).toEqual(Array.from({ length: 5000 }, (_, i) => i));
    for (const at of order) if (at % 3 !== 0) index.delete({ at, id: 'x' });
    expect([...index.walk({ at: 3000, id: 'x' }, true)].slice(0, 3)).toEqual([2997, 2994, 2991]);
  });
});

describe('the sweep of the in-memory provider', () => {
  it('runs while something can expire, and never otherwise', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const events: string[] = [];
      let now = 1_000_000;
      await using provider = createInMemoryProvider({ clock: () => now, onEvent: ({ type }) => events.push(type) });
      unwrap(await provider.storeMessages('stays', [user('x')]));
      expect(vi.getTimerCount()).toBe(0);
      unwrap(await provider.storeMessages('goes', [user('x')], {}, { ttl: 90 }));
      unwrap(await provider.storeMessages('too', [user('x')], {}, { ttl: 90 }));
      expect(vi.getTimerCount()).toBe(1);
      const kept = async (): Promise<number | undefined> => (await provider.healthCheck()).metrics['conversations'];
      now += 60_000;
      await vi.advanceTimersByTimeAsync(60_000);
      expect([await kept(), vi.getTimerCount()]).toEqual([3, 1]);
      now += 60_000;
      await vi.advanceTimersByTimeAsync(60_000);
      expect([await kept(), vi.getTimerCount()]).toEqual([1, 0]);
      expect(events).toEqual(['expired', 'swept']);
      unwrap(await provider.appendMessages('stays', [user('x')], {}, { ttl: 1 }));
      expect(vi.getTimerCount()).toBe(1);
      await provider.close();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});
