/**
 * Cases about maxMessages.
 *
 * @module
 */
import { MemoryValidationError } from '../../errors.js';
import { unwrap } from '../../result.js';
import type { MemoryEvent } from '../../types.js';
import { equal, failed, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { applied, texts } from '../hand.js';
import { contents, say } from '../talk.js';

/** Cases about maxMessages. */
export const limitsCases: readonly Case[] = defineCases('limits', {
  'after each write only the newest maxMessages remain, and that is reported': async ({ provider }) => {
    const events: MemoryEvent[] = [];
    const p = provider({ maxMessages: 4, onEvent: (event) => events.push(event) });
    equal(unwrap(await p.storeMessages('c', say(1, 3))).messageCount, 3, 'messageCount below the limit');
    equal(unwrap(await p.appendMessages('c', say(4, 6))).messageCount, 4, 'messageCount at the limit');
    same(contents((await p.getConversation('c'))?.messages), texts(3, 6), 'messages');
    equal(unwrap(await p.appendMessages('c', say(7, 16))).messageCount, 4, 'messageCount after a batch above the limit');
    same(contents((await p.getConversation('c'))?.messages), texts(13, 16), 'messages after it');
    equal(unwrap(await p.storeMessages('c', say(21, 29))).messageCount, 4, 'messageCount after a store above the limit');
    same(contents((await p.getConversation('c'))?.messages), texts(26, 29), 'messages after it');
    const trimmed = events.filter(({ type }) => type === 'trimmed').map(({ conversationId, messages }) => [conversationId, messages]);
    same(
      trimmed,
      [
        ['c', 2],
        ['c', 10],
        ['c', 5],
      ],
      'events',
    );
  },
  'the smaller limit of provider and write wins': async ({ provider }) => {
    const p = provider({ maxMessages: 4 });
    unwrap(await p.storeMessages('c', say(1, 4)));
    equal(unwrap(await p.appendMessages('c', say(5, 5), undefined, { maxMessages: 9 })).messageCount, 4, 'a larger one of the write');
    equal(unwrap(await p.appendMessages('c', say(6, 6), undefined, { maxMessages: 2 })).messageCount, 2, 'a smaller one of the write');
    equal(unwrap(await p.appendMessages('c', say(7, 9))).messageCount, 4, 'the provider’s again');
    failed(await p.appendMessages('c', say(1, 1), undefined, { maxMessages: 0 }), MemoryValidationError, 'invalid', 'maxMessages 0');
  },
  'sequence numbers go on after a trim': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 5), undefined, { maxMessages: 2 }));
    unwrap(await p.appendMessages('c', say(6, 6)));
    const page = await p.getMessages('c', {});
    same([page.items.map(({ seq }) => seq), page.firstSeq, page.nextSeq], [[4, 5, 6], 4, 7], 'sequences, firstSeq, nextSeq');
    same(
      (await p.getMessages('c', { after: 1, limit: 2 })).items.map(({ seq }) => seq),
      [4, 5],
      'a range that begins below what is kept',
    );
    same((await p.getMessages('c', { before: 4 })).items, [], 'a range below what is kept');
  },
  'a write that only merges metadata trims, too': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 5)));
    equal(unwrap(await p.appendMessages('c', [], { a: 1 }, { maxMessages: 2 })).messageCount, 2, 'messageCount');
    same(contents((await p.getConversation('c'))?.messages), texts(4, 5), 'messages');
  },

  'driver: trims are counted, and the extent moves': async ({ hand }) => {
    const h = hand();
    const created = applied(await h.append('c', texts(1, 5), { create: true, maxMessages: 3 }), 'create');
    same(
      [created.receipt.messageCount, created.extent.first, created.extent.next, created.trimmed],
      [3, 3, 6, 2],
      'create: count, first, next, trimmed',
    );
    const appended = applied(await h.append('c', texts(6, 7), { maxMessages: 3 }), 'append');
    same([appended.receipt.messageCount, appended.extent.first, appended.extent.next, appended.trimmed], [3, 5, 8, 2], 'append');
    const within = applied(await h.append('c', ['m8'], { maxMessages: 100 }), 'append within the limit');
    same([within.extent.first, within.trimmed], [5, 0], 'append within the limit');
    const above = applied(await h.append('c', texts(9, 18), { maxMessages: 3 }), 'append above the limit');
    same([above.receipt.messageCount, above.extent.first, above.extent.next, above.trimmed], [3, 16, 19, 11], 'append above the limit');
    same(await h.texts('c'), texts(16, 18), 'texts');
    const put = applied(await h.put('c', texts(1, 4, 'n'), { maxMessages: 3 }), 'put');
    same([put.receipt.messageCount, put.extent.first, put.extent.next, put.trimmed], [3, 20, 23, 1], 'put');
    same(await h.texts('c'), texts(2, 4, 'n'), 'texts after the put');
  },
  'driver: a trim of many messages shows at once': async ({ hand }) => {
    const h = hand();
    for (let from = 1; from <= 2000; from += 200) await h.append('c', texts(from, from + 199), { create: true });
    const outcome = applied(await h.append('c', ['last'], { maxMessages: 1 }), 'append');
    same([outcome.trimmed, outcome.receipt.messageCount], [2000, 1], 'trimmed and messageCount');
    same(await h.texts('c'), ['last'], 'texts');
    await h.purge({ kind: 'reap', now: (await h.header('c')).updatedAt, limit: 100 });
    same(await h.texts('c'), ['last'], 'texts after the leftovers are gone');
  },
});
