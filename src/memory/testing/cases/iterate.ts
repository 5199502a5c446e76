/**
 * Cases about walking a live store.
 *
 * @module
 */
import type { Page } from '../../driver.js';
import { unwrap } from '../../result.js';
import { equal, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { texts } from '../hand.js';
import { collect, idsOf, say } from '../talk.js';

/** How often each id is there. */
function tally(ids: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

/** Cases about walking a live store. */
export const iterateCases: readonly Case[] = defineCases('iterate', {
  'a walk is by creation, oldest first, and newest is its reverse': async ({ provider, clock }) => {
    const p = provider();
    for (const id of ['b', 'a', 'c']) {
      unwrap(await p.storeMessages(id, say(1, 1)));
      clock.advance(10);
    }
    unwrap(await p.appendMessages('b', say(2, 2)));
    same(idsOf(await collect(p.iterateConversations())), ['b', 'a', 'c'], 'by default');
    same(idsOf(await collect(p.iterateConversations({ order: 'newest' }))), ['c', 'a', 'b'], 'newest');
    same(idsOf(await collect(p.iterateConversations({ limit: 2 }))), ['b', 'a'], 'limit');
    same(idsOf(await collect(p.iterateConversations({ limit: 0 }))), [], 'limit 0');
    same(idsOf(await collect(p.iterateConversations({ offset: 1 }))), ['a', 'c'], 'offset');
  },
  'a walk filters as a search does': async ({ provider, clock }) => {
    const p = provider();
    unwrap(await p.storeMessages('a', [], { k: 1 }, { userId: 'ann', traceId: 't' }));
    clock.advance(1000);
    unwrap(await p.storeMessages('b', [], { k: 2 }, { userId: 'ann' }));
    unwrap(await p.storeMessages('c', [], { k: 1 }, { userId: 'bob' }));
    same(idsOf(await collect(p.iterateConversations({ userId: 'ann' }))), ['a', 'b'], 'userId');
    same(idsOf(await collect(p.iterateConversations({ metadata: { k: 1 } }))), ['a', 'c'], 'metadata');
    same(idsOf(await collect(p.iterateConversations({ traceId: 't' }))), ['a'], 'traceId');
    same(idsOf(await collect(p.iterateConversations({ conversationId: 'b' }))), ['b'], 'conversationId');
    same(idsOf(await collect(p.iterateConversations({ since: new Date(clock.now()) }))), ['b', 'c'], 'since');
    same(idsOf(await collect(p.iterateConversations({ until: new Date(clock.now() - 1) }))), ['a'], 'until');
  },
  'what exists throughout is seen exactly once, whatever is written meanwhile': async ({ provider, clock }) => {
    const p = provider();
    const ids = texts(1, 300, 'c');
    for (const id of ids) {
      unwrap(await p.storeMessages(id, say(1, 1)));
      if (Number(id.slice(1)) % 3 === 0) clock.advance(1);
    }
    const gone = new Set<string>();
    const seen = await collect(p.iterateConversations(), async (_, n) => {
      if (n > 280) return;
      clock.advance(1);
      // ahead of the walk and behind it: appended to, replaced, deleted, begun
      const ahead = `c${301 - n}`;
      if (!gone.has(ahead)) unwrap(await p.appendMessages(ahead, say(2, 2)));
      if (n % 7 === 0 && !gone.has(`c${n}`)) unwrap(await p.storeMessages(`c${n}`, say(1, 1), undefined, { userId: 'ann' }));
      if (n % 10 === 5 && n < 150) {
        gone.add(ahead);
        equal(await p.deleteConversation(ahead), true, `delete ${ahead}`);
      }
      if (n % 20 === 0) unwrap(await p.storeMessages(`new${n}`, say(1, 1)));
    });
    const counts = tally(idsOf(seen));
    for (const id of ids) if (!gone.has(id)) equal(counts.get(id) ?? 0, 1, `times ${id} was seen`);
    for (const [id, count] of counts) equal(count, 1, `times ${id} was seen`);
  },
  'driver: a walk by creation misses nothing that is written to meanwhile': async ({ hand, clock }) => {
    for (const direction of ['asc', 'desc'] as const) {
      for (const owner of [undefined, 'ann']) {
        const h = hand();
        const ids = texts(1, 12, `${direction}-${owner ?? 'all'}-`);
        for (const [n, id] of ids.entries()) {
          await h.create(id, ['m'], { owner: owner ?? 'bob' });
          if (n % 4 === 0) clock.advance(1);
        }
        let turn = 0;
        const touch = async (_: Page): Promise<void> => {
          clock.advance(1);
          // from the far end, so that a walk by last write would lose or repeat them
          for (const id of [ids[turn], ids[11 - turn]]) if (id !== undefined) await h.append(id, ['more']);
          turn = (turn + 1) % 12;
        };
        const seen = (await h.walk({ by: 'created', direction, owner, limit: 2 }, touch)).map(({ header }) => header.id);
        const mine = tally(seen.filter((id) => ids.includes(id)));
        for (const id of ids) equal(mine.get(id) ?? 0, 1, `times ${id} was seen`);
      }
    }
  },
  'a walk may be left early and begun again': async ({ provider }) => {
    const p = provider();
    for (const id of texts(1, 5, 'c')) unwrap(await p.storeMessages(id, []));
    let first: string | undefined;
    for await (const one of p.iterateConversations()) {
      first = one.conversationId;
      break;
    }
    equal(first, 'c1', 'first');
    same(idsOf(await collect(p.iterateConversations())), texts(1, 5, 'c'), 'again');
  },
});
