/**
 * Cases about removing one conversation, and what may come after.
 *
 * @module
 */
import { TOMBSTONE_MS, WRITERS_KEPT } from '../../driver.js';
import { MemoryNotFoundError } from '../../errors.js';
import { unwrap } from '../../result.js';
import { equal, failed, same } from '../assert.js';
import { type Case, type CaseContext, defineCases } from '../case.js';
import { faulty } from '../faults.js';
import { applied, texts } from '../hand.js';
import { collect, contents, say } from '../talk.js';

/** Removes tombstones and leftovers as far as they are due. */
async function reap({ hand, clock }: CaseContext): Promise<void> {
  await hand().purge({ kind: 'reap', now: clock.now(), limit: 50 });
}

/** Cases about removing one conversation, and what may come after. */
export const removeCases: readonly Case[] = defineCases('remove', {
  'a deleted conversation is gone everywhere': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 3), { a: 1 }, { userId: 'ann', traceId: 't' }));
    equal(await p.deleteConversation('none'), false, 'delete of none');
    equal(await p.deleteConversation('c'), true, 'delete');
    equal(await p.deleteConversation('c'), false, 'delete again');
    equal(await p.getConversation('c'), undefined, 'getConversation');
    same(await p.getRecentMessages('c'), [], 'getRecentMessages');
    for (const query of [{}, { userId: 'ann' }, { traceId: 't' }, { conversationId: 'c' }, { metadata: { a: 1 } }]) {
      same(await p.findConversations(query), [], `findConversations ${JSON.stringify(query)}`);
      same(await collect(p.iterateConversations(query)), [], `iterateConversations ${JSON.stringify(query)}`);
    }
    equal((await p.getStats()).totalConversations, 0, 'getStats');
    equal((await p.getStats('ann')).userConversations, 0, 'getStats of the owner');
    failed(await p.appendMessages('c', say(4, 4)), MemoryNotFoundError, 'not_found', 'append');
  },
  'a creation whose reply was lost does not bring a deleted conversation back': async ({ provider, driver }) => {
    const other = provider();
    let deletion: Promise<boolean> | undefined;
    const p = provider(
      {},
      faulty(driver, ({ operation, nth }) => {
        if (operation !== 'write') return 'pass';
        if (nth === 1) return 'lose-reply';
        deletion ??= other.deleteConversation('c');
        return { hold: 'request', until: deletion };
      }),
    );
    failed(await p.appendMessages('c', say(1, 1), undefined, { createIfMissing: true }), MemoryNotFoundError, 'not_found', 'creation');
    equal(await deletion, true, 'deletion');
    equal(await other.getConversation('c'), undefined, 'conversation');
    equal(unwrap(await p.storeMessages('c', say(2, 2))).created, true, 'a fresh creation');
    same(contents((await other.getConversation('c'))?.messages), ['m2'], 'messages of the fresh one');
  },

  'driver: a removal says what became of it': async ({ hand }) => {
    const h = hand();
    const { version } = (await h.create('c', ['m1'], { owner: 'ann' })).receipt;
    equal((await h.remove('none')).kind, 'missing', 'of none');
    equal((await h.remove('c', { scoped: true, owner: 'bob' })).kind, 'forbidden', 'of another’s');
    same(await h.remove('c', { expectedVersion: 1 }), { kind: 'conflict', actualVersion: version }, 'with another version');
    equal((await h.remove('c', { scoped: true, owner: 'ann', expectedVersion: version })).kind, 'removed', 'of the owner’s');
    equal((await h.remove('c')).kind, 'missing', 'again');
  },
  'driver: a repeated removal answers removed and removes nothing else': async ({ hand }) => {
    const h = hand();
    await h.create('c', ['m1']);
    const remove = h.prepareRemove('c');
    equal((await h.sendRemove(remove)).kind, 'removed', 'first');
    equal((await h.sendRemove({ ...remove, retry: true })).kind, 'removed', 'retry');
    await hand().create('c', ['n1']);
    equal((await h.sendRemove({ ...remove, retry: true })).kind, 'removed', 'retry when there is a new life');
    same(await h.texts('c'), ['n1'], 'texts of the new life');
  },
  'driver: a removal that can no longer be decided does not remove the next life': async ({ hand }) => {
    const h = hand();
    await h.create('c', ['m1']);
    const remove = h.prepareRemove('c');
    equal((await h.sendRemove(remove)).kind, 'removed', 'first');
    await hand().create('c', ['n1']);
    for (let n = 2; n <= WRITERS_KEPT; n++) applied(await hand().append('c', [`n${n}`]), `writer ${n}`);
    equal((await h.sendRemove({ ...remove, retry: true })).kind, 'unknown', 'retry, when its writer has left the ring');
    same(await h.texts('c'), texts(1, WRITERS_KEPT, 'n'), 'texts of the next life');
  },
  'driver: a late append or creation finds nothing, a fresh one is allowed': async ({ hand }) => {
    const h = hand();
    const create = h.prepare('append', 'c', ['m1'], { create: true });
    applied(await h.send(create), 'creation');
    const other = hand();
    const lost = other.prepare('append', 'c', ['lost'], { create: true });
    await hand().remove('c');
    equal((await h.resend(create)).kind, 'missing', 'retry of the creation');
    equal((await other.resend(lost)).kind, 'missing', 'retry, begun before the removal, that never arrived');
    equal((await hand().append('c', ['x'])).kind, 'missing', 'an append that may not create');
    equal(await h.read('c'), undefined, 'conversation');
    equal((await hand().append('c', ['fresh'], { create: true })).kind, 'ok', 'a fresh creation');
    same(await h.texts('c'), ['fresh'], 'texts');
  },
  'driver: a retry of a creation that was begun after the removal is applied': async ({ hand, clock }) => {
    const h = hand();
    await h.create('c', ['m1']);
    await hand().remove('c');
    clock.advance(1);
    equal((await h.resend(h.prepare('append', 'c', ['n1'], { create: true }))).kind, 'ok', 'retry');
    same(await h.texts('c'), ['n1'], 'texts');
  },
  'driver: a creation retried after the removal is refused until the tombstone is due, reaped or not': async (context) => {
    const { hand, clock } = context;
    const h = hand();
    const create = h.prepare('append', 'c', texts(1, 9), { create: true });
    applied(await h.send(create), 'creation');
    await hand().remove('c');
    for (let n = 0; n < 9; n++) {
      clock.advance(TOMBSTONE_MS / 10);
      await reap(context);
      equal((await h.resend(create)).kind, 'missing', `retry after ${n + 1} minutes`);
    }
    equal(await h.read('c'), undefined, 'conversation');
    clock.advance(TOMBSTONE_MS);
    await reap(context);
    equal((await hand().append('c', ['m1'], { create: true })).kind, 'ok', 'a fresh creation, when it is due');
    same(await h.texts('c'), ['m1'], 'texts');
  },
  'driver: a tombstone tells nothing of the conversation': async ({ hand }) => {
    const h = hand();
    await h.create('c', texts(1, 3), { owner: 'ann', trace: 't', metadata: '{"a":1}' });
    await h.remove('c');
    equal(await h.read('c'), undefined, 'read');
    for (const by of ['updated', 'created'] as const) {
      same(await h.ids({ by }), [], `list by ${by}`);
      same(await h.ids({ by, owner: 'ann' }), [], `list of the owner by ${by}`);
    }
    same(await h.stats(), { conversations: 0, messages: 0, bytes: 0 }, 'stats');
    same(await h.stats({ owner: 'ann' }), { conversations: 0, messages: 0, bytes: 0 }, 'stats of the owner');
  },
});
