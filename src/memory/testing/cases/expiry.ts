/**
 * Cases about time to live.
 *
 * @module
 */
import { MemoryNotFoundError, MemoryValidationError } from '../../errors.js';
import { unwrap } from '../../result.js';
import { check, equal, failed, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { texts } from '../hand.js';
import { collect, contents, idsOf, say } from '../talk.js';

/** 2200-01-01: far from every clock there is. */
const FAR = 7_258_118_400_000;

/** Cases about time to live. */
export const expiryCases: readonly Case[] = defineCases('expiry', {
  'once over, a conversation is invisible everywhere at once': async ({ provider, clock }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 2), undefined, { ttl: 60, userId: 'ann' }));
    equal((await p.getConversation('c'))?.expiresAt?.getTime(), clock.now() + 60_000, 'expiresAt');
    clock.advance(59_999);
    equal((await p.getConversation('c'))?.messageCount, 2, 'a millisecond before');
    same(idsOf(await p.findConversations()), ['c'], 'list a millisecond before');
    clock.advance(1);
    equal(await p.getConversation('c'), undefined, 'getConversation');
    same(await p.getRecentMessages('c'), [], 'getRecentMessages');
    same(await p.findConversations(), [], 'findConversations');
    same(await p.findConversations({ userId: 'ann' }), [], 'findConversations of the owner');
    same(await p.findConversations({ conversationId: 'c' }), [], 'findConversations by id');
    same(await collect(p.iterateConversations()), [], 'iterateConversations');
    equal((await p.getStats()).totalConversations, 0, 'getStats');
    equal((await p.getStats('ann')).userConversations, 0, 'getStats of the owner');
    failed(await p.appendMessages('c', say(3, 3)), MemoryNotFoundError, 'not_found', 'append');
    equal(await p.deleteConversation('c'), false, 'delete');
    equal(await p.clearUserConversations('ann'), 0, 'clear');
  },
  'an expired conversation begins a new life with nothing of the old': async ({ provider, clock }) => {
    for (const kind of ['storeMessages', 'appendMessages'] as const) {
      const p = provider();
      const id = `c-${kind}`;
      const first = unwrap(await p.storeMessages(id, say(1, 5), { old: true }, { ttl: 1, userId: 'ann' }));
      clock.advance(1000);
      const receipt = unwrap(
        kind === 'storeMessages'
          ? await p.storeMessages(id, say(1, 1, 'n'))
          : await p.appendMessages(id, say(1, 1, 'n'), undefined, { createIfMissing: true }),
      );
      same([receipt.created, receipt.messageCount], [true, 1], 'created and messageCount');
      check(receipt.version > first.version, 'the version grows over lives');
      const read = present(await p.getConversation(id), 'conversation');
      same(contents(read.messages), ['n1'], 'messages');
      same([read.metadata, read.userId, read.expiresAt], [{}, undefined, undefined], 'metadata, owner, expiresAt');
      equal(read.createdAt.getTime(), clock.now(), 'createdAt');
      equal((await p.getMessages(id, {})).firstSeq, 1, 'firstSeq');
    }
  },
  'a write without ttl renews with the stored duration; reads do not': async ({ provider, clock }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1), undefined, { ttl: 10 }));
    for (let n = 2; n <= 4; n++) {
      clock.advance(9000);
      await p.getConversation('c');
      unwrap(
        n === 3
          ? await p.storeMessages('c', say(1, n))
          : n === 4
            ? await p.appendMessages('c', [], { n })
            : await p.appendMessages('c', say(n, n)),
      );
      equal((await p.getConversation('c'))?.expiresAt?.getTime(), clock.now() + 10_000, `expiresAt after write ${n}`);
    }
    clock.advance(9999);
    await p.getConversation('c');
    await p.getRecentMessages('c');
    await p.findConversations();
    clock.advance(1);
    equal(await p.getConversation('c'), undefined, 'conversation');
  },
  'ttl null clears it for good, another number changes it, 0 is invalid': async ({ provider, clock }) => {
    const p = provider({ ttl: 100 });
    unwrap(await p.storeMessages('c', say(1, 1)));
    equal((await p.getConversation('c'))?.expiresAt?.getTime(), clock.now() + 100_000, 'the provider’s');
    unwrap(await p.appendMessages('c', say(2, 2), undefined, { ttl: 5 }));
    equal((await p.getConversation('c'))?.expiresAt?.getTime(), clock.now() + 5000, 'the write’s');
    unwrap(await p.appendMessages('c', say(3, 3)));
    equal((await p.getConversation('c'))?.expiresAt?.getTime(), clock.now() + 5000, 'the stored one wins over the provider’s');
    unwrap(await p.appendMessages('c', say(4, 4), undefined, { ttl: null }));
    equal((await p.getConversation('c'))?.expiresAt, undefined, 'cleared');
    unwrap(await p.appendMessages('c', say(5, 5)));
    equal((await p.getConversation('c'))?.expiresAt, undefined, 'still cleared');
    failed(await p.appendMessages('c', say(6, 6), undefined, { ttl: 0 }), MemoryValidationError, 'invalid', 'ttl 0');
    failed(await p.appendMessages('c', say(6, 6), undefined, { ttl: -1 }), MemoryValidationError, 'invalid', 'ttl -1');
    equal((await p.getConversation('c'))?.messageCount, 5, 'messageCount');
  },
  'purgeExpired removes and counts what is over, and nothing else': async ({ provider, clock }) => {
    const p = provider();
    for (const id of texts(1, 5, 'over')) unwrap(await p.storeMessages(id, say(1, 3), undefined, { ttl: 1 }));
    unwrap(await p.storeMessages('later', say(1, 3), undefined, { ttl: 60 }));
    unwrap(await p.storeMessages('never', say(1, 3)));
    clock.advance(1000);
    equal(await p.purgeExpired(), 5, 'purged');
    equal(await p.purgeExpired(), 0, 'purged again');
    same(idsOf(await p.findConversations()).sort(), ['later', 'never'], 'left');
    equal(unwrap(await p.storeMessages('over1', say(9, 9))).created, true, 'a purged one can begin again');
  },

  'driver: ttl and expiry are stored as the write says': async ({ hand, clock }) => {
    const h = hand();
    const state = async (id: string): Promise<unknown> => {
      const { ttl, expiresAt } = await h.header(id);
      return [ttl, expiresAt === undefined ? undefined : expiresAt - clock.now()];
    };
    await h.create('never', []);
    same(await state('never'), [undefined, undefined], 'never set');
    await h.append('never', [], { defaultTtl: 100 });
    same(await state('never'), [100, 100], 'a default for one that was never set');
    await h.append('never', [], { defaultTtl: 999 });
    same(await state('never'), [100, 100], 'a default for one that is set');
    await h.create('cleared', [], { ttl: null, defaultTtl: 100 });
    same(await state('cleared'), [null, undefined], 'cleared');
    await h.append('cleared', [], { defaultTtl: 100 });
    same(await state('cleared'), [null, undefined], 'a default for one that was cleared');
    await h.create('set', [], { ttl: 50, defaultTtl: 100 });
    same(await state('set'), [50, 50], 'set');
    clock.advance(20);
    same(await state('set'), [50, 30], 'later');
    await h.put('set', []);
    same(await state('set'), [50, 50], 'renewed by a put');
  },
  'driver: what is over is missing to appends, lists, stats and removals': async ({ hand, clock }) => {
    const h = hand();
    await h.create('c', ['m1'], { ttl: 10, owner: 'ann' });
    const at = clock.now();
    clock.advance(9);
    check((await h.read('c')) !== undefined, 'a millisecond before');
    clock.advance(1);
    equal(await h.read('c'), undefined, 'read');
    for (const by of ['updated', 'created'] as const)
      for (const owner of [undefined, 'ann']) same(await h.ids({ by, owner }), [], `list by ${by}, owner ${owner}`);
    equal((await h.stats()).conversations, 0, 'stats');
    equal((await h.append('c', ['x'])).kind, 'missing', 'append');
    equal((await h.append('c', ['x'], { owner: 'bob', expectedVersion: 1 })).kind, 'missing', 'append of another owner');
    equal((await h.remove('c')).kind, 'missing', 'remove');
    equal((await h.append('c', ['x'], { create: true, expectedVersion: 5 })).kind, 'conflict', 'a creation that expects a version');
    check(
      (await h.driver.read({ id: 'c', now: at, window: { kind: 'none' } }, { timeout: 60_000 })) !== undefined,
      'it is the caller’s time that decides',
    );
  },
  'driver: a sweep removes in batches what is over by the caller’s clock': async ({ hand, clock }) => {
    const h = hand();
    for (const id of texts(1, 7, 'c')) await h.create(id, ['m1'], { ttl: 10, owner: id === 'c1' ? 'ann' : 'bob' });
    await h.create('stays', ['m1'], { ttl: 1000 });
    const before = clock.now();
    clock.advance(10);
    equal((await h.purge({ kind: 'expired', now: before, limit: 2 })).removed, 0, 'by an earlier time of the caller');
    equal((await h.purge({ kind: 'expired', owner: 'ann', now: clock.now(), limit: 2 })).removed, 1, 'of one owner');
    const rest = await h.purge({ kind: 'expired', now: clock.now(), limit: 2 });
    equal(rest.removed, 6, 'the rest');
    check(rest.batches >= 3, `6 removals in batches of 2 took ${rest.batches} batches`);
    same(await h.ids(), ['stays'], 'left');
  },
  'driver: a sweep also asks the driver’s own clock': async ({ hand, clock }) => {
    const h = hand();
    await h.create('c', ['m1'], { ttl: FAR - clock.now() });
    equal((await h.purge({ kind: 'expired', now: FAR + 1000, limit: 10 })).removed, 0, 'a caller whose clock is centuries ahead');
    same(await h.texts('c'), ['m1'], 'texts');
  },
  'driver: a retry that comes after a sweep does not bring the conversation back': async ({ hand, clock }) => {
    const h = hand();
    const write = h.prepare('append', 'c', ['m1'], { create: true, ttl: 10 });
    equal((await h.send(write)).kind, 'ok', 'first');
    clock.advance(10);
    await h.purge({ kind: 'expired', now: clock.now(), limit: 10 });
    equal((await h.resend(write)).kind, 'missing', 'retry');
    equal(await h.read('c'), undefined, 'conversation');
    equal((await h.append('c', ['n'], { create: true })).kind, 'ok', 'a fresh creation');
  },
});
