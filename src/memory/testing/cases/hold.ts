/**
 * Cases about legal holds.
 *
 * @module
 */
import { MemoryAccessError } from '../../errors.js';
import { unwrap } from '../../result.js';
import { equal, failed, present, rejects, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { texts } from '../hand.js';
import { contents, idsOf, say } from '../talk.js';

/** Cases about legal holds. */
export const holdCases: readonly Case[] = defineCases('hold', {
  'a held conversation cannot be replaced, deleted or cleared, and can be appended to': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 2), { legalHold: true }, { userId: 'ann' }));
    unwrap(await p.storeMessages('other', say(1, 1), undefined, { userId: 'ann' }));
    failed(await p.storeMessages('c', say(9, 9)), MemoryAccessError, 'legal_hold', 'store');
    failed(await p.storeMessages('c', say(9, 9), { legalHold: false }), MemoryAccessError, 'legal_hold', 'store with a release');
    await rejects(p.deleteConversation('c'), MemoryAccessError, 'legal_hold', 'delete');
    equal(await p.clearUserConversations('ann'), 1, 'cleared');
    unwrap(await p.appendMessages('c', say(3, 3)));
    same(contents((await p.getConversation('c'))?.messages), texts(1, 3), 'messages');
    equal((await p.getConversation('c'))?.metadata['legalHold'], true, 'metadata.legalHold');
    same(idsOf(await p.findConversations()), ['c'], 'left');
  },
  'a hold suspends expiry; releasing it starts the TTL again': async ({ provider, clock }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1), undefined, { ttl: 10 }));
    unwrap(await p.appendMessages('c', [], { legalHold: true }));
    equal((await p.getConversation('c'))?.expiresAt, undefined, 'expiresAt under hold');
    clock.advance(60_000);
    same(contents((await p.getConversation('c'))?.messages), ['m1'], 'messages long after');
    equal(await p.purgeExpired(), 0, 'purged');
    unwrap(await p.appendMessages('c', [], { legalHold: false }));
    const released = present(await p.getConversation('c'), 'conversation');
    equal(released.expiresAt?.getTime(), clock.now() + 10_000, 'expiresAt after the release');
    clock.advance(10_000);
    equal(await p.getConversation('c'), undefined, 'conversation when the TTL is over');
  },
  'a hold suspends maxMessages': async ({ provider }) => {
    const p = provider({ maxMessages: 3 });
    unwrap(await p.storeMessages('c', say(1, 2), { legalHold: true }));
    equal(unwrap(await p.appendMessages('c', say(3, 6))).messageCount, 6, 'messageCount under hold');
    same(contents((await p.getConversation('c'))?.messages), texts(1, 6), 'messages under hold');
    unwrap(await p.appendMessages('c', say(7, 7), { legalHold: false }));
    same(contents((await p.getConversation('c'))?.messages), texts(5, 7), 'messages after the release');
  },
  'a released conversation can be deleted': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1), { legalHold: true }));
    unwrap(await p.appendMessages('c', [], { legalHold: false }));
    equal(await p.deleteConversation('c'), true, 'deleted');
    unwrap(await p.storeMessages('c', say(2, 2)));
    equal((await p.getConversation('c'))?.messageCount, 1, 'a new life is not held');
  },
  'a write under hold neither trims nor expires, in the same step that sets it': async ({ provider }) => {
    const p = provider({ maxMessages: 1, ttl: 5 });
    unwrap(await p.appendMessages('c', say(1, 3), { legalHold: true }, { createIfMissing: true }));
    const read = present(await p.getConversation('c'), 'conversation');
    same([read.messageCount, read.expiresAt], [3, undefined], 'messageCount and expiresAt');
  },

  'driver: put, restore and remove of a held conversation are held, appends are not': async ({ hand, clock }) => {
    const h = hand();
    await h.create('c', ['m1'], { hold: true });
    const restore = { createdAt: clock.now(), updatedAt: clock.now(), firstSeq: 1, onConflict: 'replace' as const };
    equal((await h.put('c', ['x'])).kind, 'held', 'put');
    equal((await h.put('c', ['x'], { hold: false })).kind, 'held', 'put that would release');
    equal((await h.restore('c', ['x'], restore)).kind, 'held', 'restore');
    equal((await h.remove('c')).kind, 'held', 'remove');
    equal((await h.append('c', ['m2'])).kind, 'ok', 'append');
    same([await h.texts('c'), (await h.header('c')).hold], [['m1', 'm2'], true], 'texts and hold');
    equal((await h.append('c', [], { hold: false })).kind, 'ok', 'release');
    equal((await h.header('c')).hold, false, 'hold after the release');
    equal((await h.put('c', ['n'])).kind, 'ok', 'put after the release');
  },
  'driver: purges pass over a hold unless they are told not to': async ({ hand, clock }) => {
    const h = hand();
    await h.create('held', ['m1'], { owner: 'ann', hold: true, ttl: 5 });
    await h.create('free', ['m1'], { owner: 'ann' });
    clock.advance(60_000);
    const now = clock.now();
    const upTo = { at: now, id: 'zzz' };
    equal((await h.purge({ kind: 'expired', now, limit: 10 })).removed, 0, 'expired');
    equal((await h.purge({ kind: 'idle', until: now, now, limit: 10 })).removed, 1, 'idle');
    equal((await h.purge({ kind: 'user', owner: 'ann', upTo, allowHold: false, forget: false, now, limit: 10 })).removed, 0, 'user');
    same(await h.texts('held'), ['m1'], 'the held one');
    equal(
      (await h.purge({ kind: 'user', owner: 'ann', upTo, allowHold: true, forget: true, now, limit: 10 })).removed,
      1,
      'user with allowHold',
    );
    equal(await h.read('held'), undefined, 'the held one, then');
  },
});
