/**
 * Cases about finding conversations.
 *
 * @module
 */
import type { List } from '../../driver.js';
import { user } from '../../message.js';
import { unwrap } from '../../result.js';
import type { MemoryQuery } from '../../types.js';
import { check, equal, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { texts } from '../hand.js';
import { contents, idsOf, say } from '../talk.js';

/** In the order of their UTF-8 bytes; UTF-16 order, locale order and case-blind order each differ from it. */
const IDS_IN_BYTE_ORDER = [
  ' lead',
  '%',
  "'",
  '*',
  '1',
  '10',
  '2',
  '?',
  'A',
  'Z',
  '[',
  '\\',
  '_',
  'a',
  'aa',
  'a\u0301',
  'b',
  'e',
  'z',
  '\u00c4',
  '\u00e1',
  '\u00e9',
  '\uff01',
  '\u{1f600}',
  '\u{1f601}',
] as const;

/** Cases about finding conversations. */
export const listCases: readonly Case[] = defineCases('list', {
  'newest comes first by default, oldest is its exact reverse': async ({ provider, clock }) => {
    const p = provider();
    for (const id of ['a', 'b', 'c', 'd']) {
      unwrap(await p.storeMessages(id, say(1, 1)));
      clock.advance(10);
    }
    unwrap(await p.appendMessages('b', say(2, 2)));
    same(idsOf(await p.findConversations()), ['b', 'd', 'c', 'a'], 'by default');
    same(idsOf(await p.findConversations({ order: 'newest' })), ['b', 'd', 'c', 'a'], 'newest');
    same(idsOf(await p.findConversations({ order: 'oldest' })), ['a', 'c', 'd', 'b'], 'oldest');
  },
  'limit, limit 0 and offset': async ({ provider, clock }) => {
    const p = provider();
    for (const id of texts(1, 5, 'c')) {
      unwrap(await p.storeMessages(id, say(1, 1)));
      clock.advance(10);
    }
    const find = async (query: MemoryQuery): Promise<string> => idsOf(await p.findConversations(query)).join(' ');
    equal(await find({ limit: 2 }), 'c5 c4', 'limit 2');
    equal(await find({ limit: 0 }), '', 'limit 0 is none');
    equal(await find({ limit: 99 }), 'c5 c4 c3 c2 c1', 'limit above the count');
    equal(await find({ limit: 2, offset: 1 }), 'c4 c3', 'limit and offset');
    equal(await find({ offset: 3 }), 'c2 c1', 'offset');
    equal(await find({ offset: 9 }), '', 'offset above the count');
    equal(await find({ limit: 2, offset: 1, order: 'oldest' }), 'c2 c3', 'oldest, limit and offset');
  },
  'without a limit all are found': async ({ provider }) => {
    const p = provider();
    const ids = texts(1, 1100, 'c');
    await Promise.all(ids.map(async (id) => unwrap(await p.storeMessages(id, []))));
    same(idsOf(await p.findConversations()).sort(), [...ids].sort(), 'ids');
    equal((await p.findConversations({ limit: 1050 })).length, 1050, 'with a limit of 1050');
  },
  'since and until are inclusive and mean the last write': async ({ provider, clock }) => {
    const p = provider();
    const start = clock.now();
    for (const id of ['a', 'b', 'c']) {
      unwrap(await p.storeMessages(id, say(1, 1)));
      clock.advance(1000);
    }
    unwrap(await p.appendMessages('a', say(2, 2)));
    const at = (seconds: number): Date => new Date(start + seconds * 1000);
    const find = async (query: MemoryQuery): Promise<string> => idsOf(await p.findConversations({ order: 'oldest', ...query })).join(' ');
    equal(await find({ since: at(1) }), 'b c a', 'since');
    equal(await find({ since: new Date(start + 1001) }), 'c a', 'since a millisecond later');
    equal(await find({ until: at(2) }), 'b c', 'until');
    equal(await find({ until: new Date(start + 1999) }), 'b', 'until a millisecond earlier');
    equal(await find({ since: at(1), until: at(1) }), 'b', 'both');
    equal(await find({ since: at(4) }), '', 'since later');
    equal(
      await find({ since: new Date('2024-01-15T12:00:02+02:00'), until: new Date('2024-01-15T05:00:03-05:00') }),
      'c a',
      'times with zones',
    );
  },
  'by user, trace, conversation and metadata; every field narrows': async ({ provider, clock }) => {
    const p = provider();
    const store = async (id: string, metadata: Record<string, never> | object, userId?: string, traceId?: string): Promise<void> => {
      unwrap(await p.storeMessages(id, say(1, 1), metadata, { userId, traceId }));
      clock.advance(1);
    };
    await store('a', { topic: 'x', tags: ['p', 'q'], deep: { k: 1, l: 2 } }, 'ann', 't1');
    await store('b', { topic: 'x', n: null }, 'bob', 't1');
    await store('c', { topic: 'y', n: 0 }, 'ann', 't2');
    await store('d', {});
    const find = async (query: MemoryQuery): Promise<string> => idsOf(await p.findConversations({ order: 'oldest', ...query })).join(' ');
    equal(await find({ userId: 'ann' }), 'a c', 'userId');
    equal(await find({ userId: 'nobody' }), '', 'userId of nobody');
    equal(await find({ traceId: 't1' }), 'a b', 'traceId');
    equal(await find({ conversationId: 'b' }), 'b', 'conversationId');
    equal(await find({ metadata: { topic: 'x' } }), 'a b', 'metadata');
    equal(await find({ metadata: { deep: { k: 1 } } }), 'a', 'metadata, a part of an object');
    equal(await find({ metadata: { deep: { k: 2 } } }), '', 'metadata, another value in an object');
    equal(await find({ metadata: { tags: ['p', 'q'] } }), 'a', 'metadata, an array');
    equal(await find({ metadata: { n: null } }), 'b', 'metadata, null is a value');
    equal(await find({ metadata: { n: 0 } }), 'c', 'metadata, 0 is not null');
    equal(await find({ metadata: { topic: 'x', missing: 1 } }), '', 'metadata, every key counts');
    equal(await find({ metadata: {} }), 'a b c d', 'metadata, nothing asked');
    equal(await find({ userId: 'ann', traceId: 't1' }), 'a', 'userId and traceId');
    equal(await find({ userId: 'ann', metadata: { topic: 'x' } }), 'a', 'userId and metadata');
    equal(await find({ userId: 'ann', conversationId: 'b' }), '', 'userId and conversationId');
    equal(await find({ metadata: { topic: 'x' }, limit: 1 }), 'a', 'metadata and limit');
    equal(await find({ metadata: { topic: 'x' }, offset: 1 }), 'b', 'metadata and offset');
  },
  'few matches among many are found': async ({ provider, clock }) => {
    const p = provider();
    for (let n = 0; n < 300; n++) {
      unwrap(await p.storeMessages(`c${n}`, [], { rare: n % 149 === 0 }, { traceId: n % 149 === 0 ? 'rare' : 'other' }));
      clock.advance(1);
    }
    same(idsOf(await p.findConversations({ metadata: { rare: true } })), ['c298', 'c149', 'c0'], 'by metadata');
    same(idsOf(await p.findConversations({ traceId: 'rare', order: 'oldest' })), ['c0', 'c149', 'c298'], 'by trace');
    same(idsOf(await p.findConversations({ traceId: 'rare', limit: 1, offset: 1 })), ['c149'], 'by trace, the second');
  },
  'messageLimit applies to each, messageCount stays whole': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 5)));
    const [whole] = await p.findConversations();
    same(contents(whole?.messages), texts(1, 5), 'without');
    const [two] = await p.findConversations({ messageLimit: 2 });
    same([contents(two?.messages), two?.messageCount], [texts(4, 5), 5], 'with 2');
    const [none] = await p.findConversations({ messageLimit: 0 });
    same([none?.messages, none?.messageCount], [[], 5], 'with 0');
  },
  'ids are names, never patterns': async ({ provider }) => {
    const p = provider();
    const ids = [
      '*',
      'a*',
      'a?c',
      'abc',
      'a[b]c',
      '%',
      'a%',
      'a_c',
      "o'hara",
      'a"b',
      'a:b:c',
      '\\',
      'a\\c',
      '{x}',
      'emoji 😀',
      'tab\there',
      'Abc',
      'abc ',
      ' abc',
      'e\u0301',
      '\u00e9',
      '$1',
      '--',
      '../up',
      'x'.repeat(255),
      '😀'.repeat(255),
    ];
    for (const id of ids) unwrap(await p.storeMessages(id, [user(`of ${id}`)], undefined, { userId: id }));
    for (const id of ids) {
      same(contents((await p.getConversation(id))?.messages), [`of ${id}`], `getConversation ${JSON.stringify(id)}`);
      same(idsOf(await p.findConversations({ userId: id })), [id], `findConversations of user ${JSON.stringify(id)}`);
      same(idsOf(await p.findConversations({ conversationId: id })), [id], `findConversations ${JSON.stringify(id)}`);
    }
    equal((await p.findConversations()).length, ids.length, 'all');
    equal(await p.deleteConversation('*'), true, 'delete "*"');
    equal((await p.findConversations()).length, ids.length - 1, 'all but one');
  },

  'driver: equal times are ordered by id as UTF-8 bytes': async ({ hand }) => {
    const h = hand();
    for (const id of [...IDS_IN_BYTE_ORDER].reverse()) await h.create(id, []);
    for (const by of ['updated', 'created'] as const) {
      same(await h.ids({ by, direction: 'asc' }), [...IDS_IN_BYTE_ORDER], `by ${by}, ascending`);
      same(await h.ids({ by, direction: 'desc' }), [...IDS_IN_BYTE_ORDER].reverse(), `by ${by}, descending`);
    }
  },
  'driver: pages of any size bring each conversation once, in order': async ({ hand, clock }) => {
    const h = hand();
    const ids = texts(1, 13, 'c');
    for (const [n, id] of ids.entries()) {
      await h.create(id, [], n % 2 === 0 ? { owner: 'ann' } : {});
      if (n % 3 === 0) clock.advance(1);
    }
    for (const by of ['updated', 'created'] as const) {
      for (const direction of ['asc', 'desc'] as const) {
        for (const owner of [undefined, 'ann']) {
          const whole = await h.ids({ by, direction, owner });
          equal(whole.length, owner ? 7 : 13, `items by ${by}, ${direction}, owner ${owner}`);
          for (const limit of [1, 2, 5, 7, 13]) {
            same(await h.ids({ by, direction, owner, limit }), whole, `pages of ${limit} by ${by}, ${direction}, owner ${owner}`);
          }
        }
      }
    }
  },
  'driver: a limit of 0 brings no item': async ({ hand }) => {
    const h = hand();
    await h.create('a', []);
    await h.create('b', []);
    same((await h.list({ limit: 0 })).items, [], 'items');
  },
  'driver: a walk goes on behind a place that is gone': async ({ hand, clock }) => {
    const h = hand();
    for (const id of ['a', 'b', 'c', 'd']) {
      await h.create(id, []);
      clock.advance(1);
    }
    const first = await h.list({ by: 'created', direction: 'asc', limit: 2 });
    same(
      first.items.map(({ header }) => header.id),
      ['a', 'b'],
      'first page',
    );
    check(first.cursor !== undefined, 'first page has a cursor');
    await h.remove('b');
    same(await h.ids({ by: 'created', direction: 'asc', after: first.cursor }), ['c', 'd'], 'the rest');
    const at = clock.now() - 2;
    same(await h.ids({ by: 'created', direction: 'asc', after: { at, id: '' } }), ['c', 'd'], 'behind a place that never was');
    same(await h.ids({ by: 'created', direction: 'desc', after: { at, id: 'b' } }), ['a'], 'the same place, descending');
  },
  'driver: since and until are inclusive on updatedAt, also by creation': async ({ hand, clock }) => {
    const h = hand();
    const start = clock.now();
    for (const id of ['a', 'b', 'c']) {
      await h.create(id, []);
      clock.advance(10);
    }
    await h.append('a', ['m']);
    const asked: [Partial<List>, string][] = [
      [{ since: start + 10 }, 'b c a'],
      [{ since: start + 11 }, 'c a'],
      [{ until: start + 20 }, 'b c'],
      [{ until: start + 19 }, 'b'],
      [{ since: start + 10, until: start + 20 }, 'b c'],
      [{ since: start + 31 }, ''],
    ];
    for (const [fields, expected] of asked) {
      for (const limit of [1, 100]) {
        equal(
          (await h.ids({ ...fields, direction: 'asc', limit })).join(' '),
          expected,
          `by updated, ${JSON.stringify(fields)}, pages of ${limit}`,
        );
        const byCreation = expected
          .split(' ')
          .filter((id) => id !== '')
          .sort()
          .join(' ');
        equal(
          (await h.ids({ ...fields, by: 'created', direction: 'asc', limit })).join(' '),
          byCreation,
          `by created, ${JSON.stringify(fields)}, pages of ${limit}`,
        );
      }
    }
  },
  'driver: hints leave out nothing that matches': async ({ hand }) => {
    const h = hand();
    const metadata = { s: 'ü', n: 1.5, z: null, o: { a: { b: [1, 2] } }, l: ['x', { y: 1 }], __proto: true };
    await h.create('a', [], { trace: 't', metadata: JSON.stringify(metadata) });
    await h.create('b', [], { trace: 'u', metadata: '{"s":"u"}' });
    const matching: object[] = [
      {},
      { s: 'ü' },
      { n: 1.5 },
      { z: null },
      { o: { a: {} } },
      { o: { a: { b: [1, 2] } } },
      { l: ['x', { y: 1 }] },
      metadata,
    ];
    for (const hint of matching) {
      const found = await h.ids({ metadata: JSON.stringify(hint) });
      check(found.includes('a'), `metadata ${JSON.stringify(hint)}: found ${JSON.stringify(found)}`);
    }
    check((await h.ids({ trace: 't' })).includes('a'), 'trace');
    check((await h.ids({ trace: 'u' })).includes('b'), 'another trace');
  },
});
