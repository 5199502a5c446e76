/**
 * Cases about whose a conversation is.
 *
 * @module
 */
import { MemoryAccessError, MemoryNotFoundError, MemoryValidationError } from '../../errors.js';
import { unwrap } from '../../result.js';
import { equal, failed, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { collect, contents, idsOf, say } from '../talk.js';

/** Cases about whose a conversation is. */
export const ownerCases: readonly Case[] = defineCases('owner', {
  'the owner comes from options, metadata.userId or metadata.user_id': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('a', [], undefined, { userId: 'ann' }));
    unwrap(await p.storeMessages('b', [], { userId: 'ann' }));
    unwrap(await p.storeMessages('c', [], { user_id: 'ann', x: 1 }));
    unwrap(await p.storeMessages('d', [], { user_id: 'ann' }, { userId: 'ann' }));
    same(idsOf(await p.findConversations({ userId: 'ann', order: 'oldest' })), ['a', 'b', 'c', 'd'], 'conversations of ann');
    for (const id of ['a', 'b', 'c', 'd']) equal((await p.getConversation(id))?.userId, 'ann', `owner of ${id}`);
    same((await p.getConversation('c'))?.metadata, { user_id: 'ann', x: 1 }, 'metadata is kept as given');
    failed(await p.storeMessages('e', [], { userId: 'ann' }, { userId: 'bob' }), MemoryValidationError, 'invalid', 'a contradiction');
    equal(await p.getConversation('e'), undefined, 'after a contradiction');
  },
  'the first write that names an owner sets it; then it is final': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1)));
    unwrap(await p.appendMessages('c', say(2, 2), undefined, { userId: 'ann' }));
    equal((await p.getConversation('c'))?.userId, 'ann', 'owner');
    const other = { userId: 'bob' };
    const errors = [
      failed(await p.appendMessages('c', say(3, 3), undefined, other), MemoryAccessError, 'owner', 'append'),
      failed(await p.storeMessages('c', say(3, 3), undefined, other), MemoryAccessError, 'owner', 'store'),
      failed(await p.appendMessages('c', [], other), MemoryAccessError, 'owner', 'append of metadata'),
    ];
    for (const error of errors) equal(error.outcome, 'not_applied', 'outcome');
    unwrap(await p.appendMessages('c', say(3, 3)));
    unwrap(await p.appendMessages('c', say(4, 4), undefined, { userId: 'ann' }));
    const read = present(await p.getConversation('c'), 'conversation');
    same([read.userId, contents(read.messages)], ['ann', ['m1', 'm2', 'm3', 'm4']], 'owner and messages');
  },
  'users see and count only their own': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('a', say(1, 1), undefined, { userId: 'ann' }));
    unwrap(await p.storeMessages('b', say(1, 2), undefined, { userId: 'bob' }));
    unwrap(await p.storeMessages('free', say(1, 3)));
    same(idsOf(await p.findConversations({ userId: 'ann' })), ['a'], 'findConversations');
    same(idsOf(await collect(p.iterateConversations({ userId: 'bob' }))), ['b'], 'iterateConversations');
    const stats = await p.getStats('bob');
    same([stats.userConversations, stats.userMessages], [1, 2], 'getStats');
  },
  'clearing a user removes theirs and nobody else’s, also for a user named *': async ({ provider }) => {
    const p = provider();
    for (const owner of ['ann', '*', 'an', 'ann*'])
      for (const n of [1, 2]) unwrap(await p.storeMessages(`${owner}-${n}`, say(1, 1), undefined, { userId: owner }));
    unwrap(await p.storeMessages('free', say(1, 1)));
    equal(await p.clearUserConversations('*'), 2, 'cleared of *');
    equal(await p.clearUserConversations('ann'), 2, 'cleared of ann');
    equal(await p.clearUserConversations('ann'), 0, 'cleared of ann again');
    equal(await p.clearUserConversations('nobody'), 0, 'cleared of nobody');
    same(idsOf(await p.findConversations()).sort(), ['an-1', 'an-2', 'ann*-1', 'ann*-2', 'free'], 'left');
    equal(await p.getConversation('ann-1'), undefined, 'a cleared one');
  },
  'many conversations of a user are cleared whole': async ({ provider }) => {
    const p = provider();
    const ids = Array.from({ length: 350 }, (_, n) => `c${n}`);
    await Promise.all(
      ids.map(async (id, n) => unwrap(await p.storeMessages(id, say(1, 1), undefined, { userId: n % 5 === 0 ? 'bob' : 'ann' }))),
    );
    equal(await p.clearUserConversations('ann'), 280, 'cleared');
    equal((await p.findConversations({ userId: 'ann' })).length, 0, 'left of ann');
    equal((await p.findConversations({ userId: 'bob' })).length, 70, 'left of bob');
  },
  'forUser: what it creates is the user’s': async ({ provider }) => {
    const p = provider();
    const ann = p.forUser('ann');
    unwrap(await ann.storeMessages('a', say(1, 1)));
    unwrap(await ann.appendMessages('b', say(1, 1), undefined, { createIfMissing: true }));
    for (const id of ['a', 'b']) equal((await p.getConversation(id))?.userId, 'ann', `owner of ${id}`);
    same(contents((await ann.getConversation('a'))?.messages), ['m1'], 'messages');
  },
  'forUser: others’ and unowned conversations look absent': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('bobs', say(1, 1), undefined, { userId: 'bob' }));
    unwrap(await p.storeMessages('free', say(1, 1)));
    const ann = p.forUser('ann');
    unwrap(await ann.storeMessages('own', say(1, 2)));
    for (const id of ['bobs', 'free', 'none']) {
      equal(await ann.getConversation(id), undefined, `getConversation ${id}`);
      same(await ann.getRecentMessages(id), [], `getRecentMessages ${id}`);
      same(await ann.findConversations({ conversationId: id }), [], `findConversations ${id}`);
      equal(await ann.deleteConversation(id), false, `deleteConversation ${id}`);
    }
    same(idsOf(await ann.findConversations()), ['own'], 'findConversations');
    same(await ann.findConversations({ userId: 'bob' }), [], 'findConversations of bob');
    same(idsOf(await collect(ann.iterateConversations())), ['own'], 'iterateConversations');
    same([(await ann.getStats()).totalConversations, (await ann.getStats()).totalMessages], [1, 2], 'getStats');
    equal((await p.findConversations()).length, 3, 'all are still there');
  },
  'forUser: writes to others’ and unowned conversations are refused': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('bobs', say(1, 1), undefined, { userId: 'bob' }));
    unwrap(await p.storeMessages('free', say(1, 1)));
    const ann = p.forUser('ann');
    for (const id of ['bobs', 'free']) {
      failed(await ann.appendMessages(id, say(2, 2)), MemoryAccessError, 'owner', `append to ${id}`);
      failed(
        await ann.appendMessages(id, say(2, 2), undefined, { createIfMissing: true }),
        MemoryAccessError,
        'owner',
        `append or create ${id}`,
      );
      failed(await ann.storeMessages(id, say(2, 2)), MemoryAccessError, 'owner', `store ${id}`);
      same(contents((await p.getConversation(id))?.messages), ['m1'], `messages of ${id}`);
    }
    failed(await ann.appendMessages('none', say(1, 1)), MemoryNotFoundError, 'not_found', 'append to none');
    equal((await p.getConversation('free'))?.userId, undefined, 'owner of free');
  },
  'forUser: clearing, purging and naming another user are limited': async ({ provider, clock }) => {
    const p = provider();
    unwrap(await p.storeMessages('bobs', say(1, 1), undefined, { userId: 'bob' }));
    unwrap(await p.storeMessages('bobs-over', say(1, 1), undefined, { userId: 'bob', ttl: 1 }));
    const ann = p.forUser('ann');
    unwrap(await ann.storeMessages('over', say(1, 1), undefined, { ttl: 1 }));
    clock.advance(2000);
    equal(await ann.purgeExpired(), 1, 'purged of ann');
    equal(await p.purgeExpired(), 1, 'purged of the rest');
    equal(await ann.clearUserConversations('bob'), 0, 'cleared of bob');
    same(idsOf(await p.findConversations()), ['bobs'], 'left');
    failed(await ann.storeMessages('x', [], undefined, { userId: 'bob' }), MemoryAccessError, 'owner', 'store for bob');
  },

  'driver: a scoped write meets only its owner’s conversations': async ({ hand }) => {
    const h = hand();
    await h.create('ann', ['m1'], { owner: 'ann' });
    await h.create('free', ['m1']);
    const scoped = { scoped: true, owner: 'bob' };
    for (const id of ['ann', 'free']) {
      equal((await h.append(id, ['x'], scoped)).kind, 'forbidden', `append to ${id}`);
      equal((await h.append(id, ['x'], { ...scoped, create: true })).kind, 'forbidden', `append or create ${id}`);
      equal((await h.put(id, ['x'], scoped)).kind, 'forbidden', `put ${id}`);
      equal((await h.remove(id, scoped)).kind, 'forbidden', `remove ${id}`);
      same(await h.texts(id), ['m1'], `texts of ${id}`);
    }
    equal((await h.append('none', ['x'], scoped)).kind, 'missing', 'append to none');
    equal((await h.append('ann', ['m2'], { scoped: true, owner: 'ann' })).kind, 'ok', 'append of ann');
    equal((await h.remove('ann', { scoped: true, owner: 'ann' })).kind, 'removed', 'remove of ann');
  },
  'driver: a list or total of an owner holds nothing else': async ({ hand }) => {
    const h = hand();
    for (const [id, owner] of [
      ['a', 'ann'],
      ['b', 'bob'],
      ['c', 'ann'],
      ['d', undefined],
      ['e', 'Ann'],
      ['f', 'an'],
      ['g', '%'],
    ] as const)
      await h.create(id, ['m'], { owner });
    for (const by of ['updated', 'created'] as const) {
      for (const direction of ['asc', 'desc'] as const) {
        for (const limit of [1, 100])
          same((await h.ids({ by, direction, owner: 'ann', limit })).sort(), ['a', 'c'], `by ${by}, ${direction}, pages of ${limit}`);
      }
    }
    same(await h.ids({ owner: '%' }), ['g'], 'a user named %');
    same(await h.ids({ owner: 'nobody' }), [], 'of nobody');
    equal((await h.stats({ owner: 'ann' })).conversations, 2, 'stats');
  },
  'driver: an owner set later finds the conversation in lists': async ({ hand }) => {
    const h = hand();
    await h.create('c', ['m1']);
    same(await h.ids({ owner: 'ann' }), [], 'before');
    await h.append('c', ['m2'], { owner: 'ann' });
    same(await h.ids({ owner: 'ann' }), ['c'], 'after');
    equal((await h.stats({ owner: 'ann' })).messages, 2, 'messages');
  },
  'driver: the next life of a conversation has the owner its own writes name': async ({ hand }) => {
    const h = hand();
    await h.create('c', ['m1'], { owner: 'ann' });
    await h.remove('c');
    await h.create('c', ['m1'], { owner: 'bob' });
    equal((await h.header('c')).owner, 'bob', 'owner');
    same(await h.ids({ owner: 'ann' }), [], 'of ann');
    await h.remove('c');
    await h.create('c', ['m1']);
    equal((await h.header('c')).owner, undefined, 'owner of the third life');
  },
});
