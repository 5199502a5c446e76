/**
 * Cases about removing many, in bounded batches.
 *
 * @module
 */
import { type Cursor, type Purge, TOMBSTONE_MS } from '../../driver.js';
import { MemoryConnectionError } from '../../errors.js';
import { unwrap } from '../../result.js';
import { aroundTrips } from '../around.js';
import { check, equal, rejects, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { faulty } from '../faults.js';
import { bytesOf, segmentOf, texts, TRIP } from '../hand.js';
import { idsOf, say } from '../talk.js';

/** Behind every conversation there is. */
const END: Cursor = { at: Number.MAX_SAFE_INTEGER, id: '' };

/** Cases about removing many, in bounded batches. */
export const purgeCases: readonly Case[] = defineCases('purge', {
  'clearing a user follows pages without items': async ({ provider, driver }) => {
    const sparse = aroundTrips(driver, async (operation, args, send) => {
      const query = args[0] as { readonly after?: Cursor; readonly direction?: string };
      // legal: a driver whose work is bounded may have looked at much and found nothing yet
      if (operation === 'list' && !query.after) {
        return { items: [], cursor: query.direction === 'asc' ? { at: 0, id: '' } : END } as Awaited<ReturnType<typeof send>>;
      }
      return send();
    });
    const p = provider({}, sparse);
    for (const id of texts(1, 3, 'c')) unwrap(await p.storeMessages(id, [], undefined, { userId: 'ann' }));
    equal((await p.findConversations({ userId: 'ann' })).length, 3, 'findConversations');
    equal(await p.clearUserConversations('ann'), 3, 'cleared');
    equal((await p.findConversations()).length, 0, 'left');
  },
  'a clearing whose reply is lost is not counted wrong, and can be called again': async ({ provider, driver }) => {
    const p = provider(
      {},
      faulty(driver, ({ operation, nth }) => (operation === 'purge' && nth === 1 ? 'lose-reply' : 'pass')),
    );
    unwrap(await p.storeMessages('c', say(1, 1), undefined, { userId: 'ann' }));
    const error = await rejects(p.clearUserConversations('ann'), MemoryConnectionError, 'lost', 'clear');
    equal(error.outcome, 'unknown', 'outcome');
    equal(await p.clearUserConversations('ann'), 0, 'clear again');
    same(idsOf(await p.findConversations()), [], 'left');
  },

  'driver: user: everything up to a place in creation order, batch after batch': async ({ hand, clock }) => {
    const h = hand();
    for (const [n, id] of texts(1, 9, 'c').entries()) {
      await h.create(id, texts(1, 2), { owner: n === 4 ? 'bob' : 'ann' });
      if (n % 2 === 1) clock.advance(1);
    }
    const upTo = { at: (await h.header('c7')).createdAt, id: 'c7' };
    await h.append('c1', ['m3']);
    const purge: Purge = { kind: 'user', owner: 'ann', upTo, allowHold: false, forget: false, now: clock.now(), limit: 2 };
    const first = await h.purgeOnce(purge);
    check(first.removed <= 2 && first.more, `a batch of 2 removed ${first.removed} of 6, more: ${first.more}`);
    const sum = await h.purge({ ...purge, after: first.cursor });
    equal(first.removed + sum.removed, 6, 'removed');
    equal(first.messages + sum.messages, 13, 'messages');
    equal(first.bytes + sum.bytes, 6 * (bytesOf(texts(1, 2)) + 2) + bytesOf(['m3']), 'bytes');
    same(await h.ids({ by: 'created', direction: 'asc' }), ['c5', 'c8', 'c9'], 'left');
    equal((await h.append('c1', ['x'])).kind, 'missing', 'append to a removed one');
  },
  'driver: user: a retry finds the tombstone, unless all is forgotten': async ({ hand, clock }) => {
    const h = hand();
    const create = h.prepare('append', 'kept', ['m1'], { create: true, owner: 'ann' });
    await h.send(create);
    const purge: Purge = { kind: 'user', owner: 'ann', upTo: END, allowHold: false, forget: false, now: clock.now(), limit: 9 };
    equal((await h.purge(purge)).removed, 1, 'removed');
    equal((await h.resend(create)).kind, 'missing', 'retry');
    await h.create('forgotten', texts(1, 5), { owner: 'ann', operation: { hash: 'h', digest: 'd' } });
    equal((await h.purge({ ...purge, forget: true, now: clock.now() })).removed, 1, 'removed with forget');
    equal(await h.read('forgotten'), undefined, 'forgotten');
    const again = await h.create('forgotten', ['n1'], { operation: { hash: 'h', digest: 'other' } });
    equal(again.receipt.version, clock.now(), 'version of a new conversation: nothing remembers the old one');
    same(await h.texts('forgotten'), ['n1'], 'texts');
  },
  'driver: user: what has expired goes, too, uncounted': async ({ hand, clock }) => {
    const h = hand();
    await h.create('over', texts(1, 3), { owner: 'ann', ttl: 10 });
    await h.create('open', texts(1, 3), { owner: 'ann' });
    await h.create('bobs', texts(1, 3), { owner: 'bob', ttl: 10 });
    const at = clock.now();
    clock.advance(10);
    const sum = await h.purge({ kind: 'user', owner: 'ann', upTo: END, allowHold: true, forget: true, now: clock.now(), limit: 1 });
    same([sum.removed, sum.messages], [1, 3], 'removed and messages: of what was visible');
    for (const [id, there] of [
      ['over', false],
      ['open', false],
      ['bobs', true],
    ] as const) {
      equal(
        (await h.driver.read({ id, now: at, window: { kind: 'none' } }, TRIP)) !== undefined,
        there,
        `${id}, at an earlier time of the caller`,
      );
    }
  },
  'driver: idle: what was last written at or before a time': async ({ hand, clock }) => {
    const h = hand();
    const times: number[] = [];
    for (const id of texts(1, 6, 'c')) {
      await h.create(id, ['m1'], { owner: id === 'c2' ? 'bob' : 'ann' });
      times.push(clock.now());
      clock.advance(10);
    }
    await h.append('c1', ['m2']);
    const purge: Purge = { kind: 'idle', until: times[4] ?? 0, now: clock.now(), limit: 2 };
    equal((await h.purge({ ...purge, owner: 'bob' })).removed, 1, 'of one owner');
    equal((await h.purge(purge)).removed, 3, 'of the rest');
    same(await h.ids({ direction: 'asc' }), ['c6', 'c1'], 'left');
    equal((await h.purge({ ...purge, until: times[0] ?? 0 })).removed, 0, 'a time before all that is left');
  },
  'driver: a walk over held conversations ends': async ({ hand, clock }) => {
    const h = hand();
    for (const id of texts(1, 7, 'c')) await h.create(id, [], { owner: 'ann', hold: id !== 'c7' });
    const now = clock.now();
    equal((await h.purge({ kind: 'user', owner: 'ann', upTo: END, allowHold: false, forget: false, now, limit: 2 })).removed, 1, 'user');
    equal((await h.purge({ kind: 'idle', until: now, now, limit: 2 })).removed, 0, 'idle');
    equal((await h.ids()).length, 6, 'left');
  },
  'driver: reap: what nothing refers to goes, what is visible stays': async ({ hand, clock }) => {
    const h = hand();
    await h.create('trimmed', texts(1, 30));
    await h.append('trimmed', ['m31'], { maxMessages: 3 });
    await h.create('replaced', texts(1, 30));
    await h.put('replaced', ['n1']);
    await h.create('removed', texts(1, 30));
    await h.remove('removed');
    await h.create('again', texts(1, 30));
    await h.remove('again');
    await h.create('again', texts(1, 2));
    await h.create('whole', texts(1, 30));
    const before = await h.walk({ window: { kind: 'all' } });
    for (let n = 0; n < 2; n++) {
      equal((await h.purge({ kind: 'reap', now: clock.now(), limit: 7 })).removed, 0, 'removed: nothing visible');
      same(await h.walk({ window: { kind: 'all' } }), before, 'conversations');
      clock.advance(TOMBSTONE_MS + 1);
    }
    equal((await h.append('removed', ['x'])).kind, 'missing', 'a removed one');
  },
  'driver: reap: leftovers take no space in the end': {
    needs: 'bodies',
    run: async ({ hand, clock, bodies }) => {
      const h = hand();
      await h.create('trimmed', texts(1, 400));
      await h.append('trimmed', ['m401'], { maxMessages: 3 });
      await h.create('replaced', texts(1, 400));
      await h.put('replaced', ['n1']);
      await h.create('removed', texts(1, 400));
      await h.remove('removed');
      await h.create('over', texts(1, 400), { ttl: 1 });
      clock.advance(1);
      await h.create('over', ['n1']);
      await h.create('packed', texts(1, 400));
      const { epoch } = await h.header('packed');
      for (const [from, to] of [
        [1, 100],
        [100, 200],
      ] as const) {
        equal(await h.pack({ id: 'packed', epoch, from, to, data: await segmentOf(h.driver, texts(from, to - 1)) }), 'ok', 'pack');
      }
      await h.put('packed', ['n1']);
      await h.create('restored', texts(1, 400));
      await h.restore('restored', ['r1'], { createdAt: 1, updatedAt: 2, firstSeq: 1, onConflict: 'replace' });
      const { batches } = await h.purge({ kind: 'reap', now: clock.now(), limit: 10 });
      equal(await bodies(), 7, `bodies after ${batches} batches`);
    },
  },
  'driver: reap: an expired conversation is left to a sweep of its own': async ({ hand, clock }) => {
    const h = hand();
    await h.create('c', texts(1, 3), { ttl: 1000 });
    const at = clock.now();
    clock.advance(2000);
    await h.purge({ kind: 'reap', now: clock.now(), limit: 10 });
    const { removed } = await h.purge({ kind: 'expired', now: clock.now(), limit: 10 });
    equal(removed, 1, 'counted by the sweep');
    check(
      (await h.driver.read({ id: 'c', now: at, window: { kind: 'none' } }, TRIP)) === undefined,
      'gone, whatever the caller’s clock says',
    );
  },
  'driver: reap: an erasure leaves no tombstone, and a retry that needed one is not applied twice': async ({ hand, driver, clock }) => {
    const h = hand();
    applied(await h.append('c', ['m1'], { create: true }));
    const late = h.prepare('append', 'c', ['late'], { create: true });
    clock.advance(1);
    equal((await h.remove('c')).kind, 'removed', 'removal');
    for (let n = 0; (await driver.purge({ kind: 'reap', forget: true, now: clock.now(), limit: 5 }, TRIP)).more; n++)
      check(n < 100, 'it ends');
    const { kind } = await hand().resend(late);
    check(kind === 'unknown' || kind === 'missing', `a retry of a creation from before the removal is not applied, got ${kind}`);
    clock.advance(1);
    applied(await h.append('c', ['m1'], { create: true }));
  },
  'driver: an erased user is barred until the time is over': async ({ hand, driver, clock }) => {
    const h = hand();
    const until = clock.now() + 1000;
    const named = { owner: 'ann', ownerHash: 'hash-of-ann', create: true };
    applied(await h.append('before', ['m1'], named));
    const late = h.prepare('append', 'late', ['m1'], named);
    await driver.bar('hash-of-ann', until, TRIP);
    equal((await h.append('a', ['m1'], named)).kind, 'erased', 'append');
    equal((await h.put('b', ['m1'], named)).kind, 'erased', 'put');
    equal((await h.restore('c', ['m1'], { createdAt: 1, updatedAt: 2, firstSeq: 1, onConflict: 'fail' }, named)).kind, 'erased', 'restore');
    equal((await h.append('before', ['m2'], named)).kind, 'erased', 'append to one that is still there');
    equal((await hand().resend(late)).kind, 'erased', 'a retry begun before');
    equal((await h.append('d', ['m1'], { owner: 'bob', ownerHash: 'hash-of-bob', create: true })).kind, 'ok', 'another user');
    equal((await h.append('e', ['m1'], { create: true })).kind, 'ok', 'a write without an owner');
    same((await h.ids()).sort(), ['before', 'd', 'e'], 'conversations');
    await driver.bar('hash-of-ann', 0, TRIP);
    equal((await h.append('lifted', ['m1'], named)).kind, 'ok', 'when it was lifted');
    await driver.bar('hash-of-ann', until, TRIP);
    await driver.bar('hash-of-ann', clock.now() + 1, TRIP);
    clock.advance(500);
    equal((await h.append('g', ['m1'], named)).kind, 'erased', 'a shorter bar takes nothing from a longer one');
    clock.advance(500);
    equal((await h.append('f', ['m1'], named)).kind, 'ok', 'when the time is over');
  },
});

function applied(outcome: { readonly kind: string }): void {
  equal(outcome.kind, 'ok', 'a write before the bar');
}
