/**
 * Cases about how many trips an operation takes.
 *
 * @module
 */
import { unwrap } from '../../result.js';
import type { MemoryProvider } from '../../types.js';
import { check, equal, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { counting } from '../counting.js';
import { segmentOf, texts, TRIP } from '../hand.js';
import { collect, say } from '../talk.js';

/** Cases about how many trips an operation takes. */
export const tripsCases: readonly Case[] = defineCases('trips', {
  'an operation is one trip, however long the conversation': async ({ provider, driver }) => {
    const counted = counting(driver);
    const p = provider({}, counted);
    for (const length of [1, 2000]) {
      unwrap(await p.storeMessages('long', say(1, length), undefined, { userId: 'ann' }));
      const operations: [string, () => Promise<unknown>, object][] = [
        ['storeMessages', () => p.storeMessages('new', say(1, 3)), { write: 1 }],
        ['appendMessages', () => p.appendMessages('long', say(1, 3), { a: 1 }), { write: 1 }],
        [
          'appendMessages with all its options',
          () =>
            p.appendMessages(
              'long',
              say(1, 1),
              { b: 1 },
              { userId: 'ann', traceId: 't', ttl: 60, maxMessages: 5000, operationId: `op${length}`, createIfMissing: true },
            ),
          { write: 1 },
        ],
        ['getConversation', () => p.getConversation('long'), { read: 1 }],
        ['getConversation with messageLimit', () => p.getConversation('long', { messageLimit: 5 }), { read: 1 }],
        ['getRecentMessages', () => p.getRecentMessages('long'), { read: 1 }],
        ['getMessages', () => p.getMessages('long', { after: 1 }), { read: 1 }],
        ['findConversations by id', () => p.findConversations({ conversationId: 'long' }), { read: 1 }],
        ['findConversations', () => p.findConversations({ limit: 10, messageLimit: 5 }), { list: 1 }],
        ['getStats', () => p.getStats(), { stats: 1 }],
        ['deleteConversation', () => p.deleteConversation('new'), { remove: 1 }],
        ['healthCheck', () => p.healthCheck(), { ping: 1 }],
        ['getRecentMessages 0', () => p.getRecentMessages('long', 0), {}],
        ['findConversations with limit 0', () => p.findConversations({ limit: 0 }), {}],
      ];
      for (const [what, operation, expected] of operations) {
        counted.reset();
        await operation();
        same(counted.counts, expected, `${what} beside ${length} messages`);
      }
    }
  },
  'what is refused before it begins takes no trip': async ({ provider, driver }) => {
    const counted = counting(driver);
    const p = provider({}, counted);
    await p.storeMessages('', say(1, 1));
    await p.appendMessages('c', [{ role: 'user', content: 'x', bad: Number.NaN }]);
    await p.storeMessages('c', say(1, 1), undefined, { signal: AbortSignal.abort() });
    equal(counted.total, 0, 'trips');
  },
  'appends to many conversations at once share trips': async ({ provider, driver }) => {
    const counted = counting(driver);
    const p = provider({}, counted);
    const ids = texts(1, 200, 'c');
    await Promise.all(ids.map(async (id) => unwrap(await p.storeMessages(id, []))));
    counted.reset();
    await Promise.all(ids.map(async (id) => unwrap(await p.appendMessages(id, say(1, 1)))));
    const trips = counted.counts.write ?? 0;
    const most = driver.capabilities.borrowed ? 200 : 50;
    check(trips <= most, `200 appends took ${trips} trips, at most ${most} expected`);
  },
  'listing many conversations takes few trips, their bodies included': async ({ provider, driver }) => {
    const counted = counting(driver);
    const p = provider({}, counted);
    await Promise.all(texts(1, 100, 'c').map(async (id) => unwrap(await p.storeMessages(id, say(1, 3)))));
    const operations: [string, (from: MemoryProvider) => Promise<readonly unknown[]>][] = [
      ['findConversations', (from) => from.findConversations()],
      ['iterateConversations', (from) => collect(from.iterateConversations())],
    ];
    for (const [what, operation] of operations) {
      counted.reset();
      equal((await operation(p)).length, 100, what);
      check(counted.total <= 20, `${what} of 100 conversations took ${counted.total} trips`);
      equal(counted.counts.read, undefined, `${what}: reads`);
    }
  },

  'driver: every operation is one round trip to the store': {
    needs: 'roundTrips',
    run: async ({ hand, driver, clock, roundTrips }) => {
      const h = hand();
      await h.create('c', texts(1, 300), { owner: 'ann' });
      await h.create('d', ['m1'], { owner: 'ann' });
      const { epoch } = await h.header('c');
      const now = clock.now();
      const data = await segmentOf(driver, texts(1, 2));
      const operations: [string, () => Promise<unknown>][] = [
        ['ping', () => driver.ping(TRIP)],
        ['append', () => h.append('c', ['x'], { metadata: '{"a":1}', operation: { hash: 'h', digest: 'd' } })],
        ['a batch of appends', () => driver.write([h.prepare('append', 'c', ['y']), h.prepare('append', 'd', ['y'])], TRIP)],
        ['put', () => h.put('d', ['n'])],
        ['read', () => h.read('c')],
        ['read of the newest', () => h.read('c', { kind: 'last', count: 5 })],
        ['list', () => h.list({ window: { kind: 'all' } })],
        ['stats', () => driver.stats({ now, limit: 100 }, TRIP)],
        ['pack', () => h.pack({ id: 'c', epoch, from: 1, to: 3, data })],
        ['remove', () => h.remove('d')],
        ['purge', () => h.purgeOnce({ kind: 'idle', until: 0, now, limit: 10 })],
        ['bar', () => driver.bar('hash', now, TRIP)],
      ];
      for (const [what, operation] of operations) {
        const before = roundTrips();
        await operation();
        equal(roundTrips() - before, 1, what);
      }
    },
  },
});
