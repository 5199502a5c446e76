/**
 * Cases about totals.
 *
 * @module
 */
import { unwrap } from '../../result.js';
import { equal, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { bytesOf, texts } from '../hand.js';
import { say } from '../talk.js';

/** Cases about totals. */
export const statsCases: readonly Case[] = defineCases('stats', {
  'an empty store has nothing': async ({ provider }) => {
    const p = provider();
    same(await p.getStats(), { totalConversations: 0, totalMessages: 0, avgMessagesPerConversation: 0, totalStorageSize: 0 }, 'all');
    const empty = {
      totalConversations: 0,
      totalMessages: 0,
      avgMessagesPerConversation: 0,
      totalStorageSize: 0,
      userConversations: 0,
      userMessages: 0,
    };
    same(await p.getStats('ann'), empty, 'of a user');
  },
  'totals count what is visible, of all and of one user': async ({ provider, clock }) => {
    const p = provider();
    const start = clock.now();
    unwrap(await p.storeMessages('a', say(1, 3), { k: 'v' }, { userId: 'ann' }));
    clock.advance(1000);
    unwrap(await p.storeMessages('b', say(1, 1), undefined, { userId: 'ann' }));
    clock.advance(1000);
    unwrap(await p.storeMessages('c', say(1, 2), undefined, { userId: 'bob' }));
    unwrap(await p.storeMessages('gone', say(1, 9)));
    await p.deleteConversation('gone');
    unwrap(await p.storeMessages('over', say(1, 9), undefined, { ttl: 1 }));
    clock.advance(1000);
    const bytes = { a: bytesOf(texts(1, 3)) + 9, b: bytesOf(texts(1, 1)) + 2, c: bytesOf(texts(1, 2)) + 2 };
    same(
      await p.getStats(),
      {
        totalConversations: 3,
        totalMessages: 6,
        avgMessagesPerConversation: 2,
        totalStorageSize: bytes.a + bytes.b + bytes.c,
        oldestConversation: new Date(start),
        newestConversation: new Date(start + 2000),
      },
      'all',
    );
    same(
      await p.getStats('ann'),
      {
        totalConversations: 2,
        totalMessages: 4,
        avgMessagesPerConversation: 2,
        totalStorageSize: bytes.a + bytes.b,
        oldestConversation: new Date(start),
        newestConversation: new Date(start + 1000),
        userConversations: 2,
        userMessages: 4,
      },
      'of ann',
    );
    equal((await p.getStats('*')).userConversations, 0, 'conversations of a user named *');
  },
  'driver: pages of any size add up': async ({ hand, clock }) => {
    const h = hand();
    const start = clock.now();
    for (let n = 1; n <= 11; n++) {
      await h.create(`c${n}`, texts(1, n), n % 2 ? { owner: 'ann' } : {});
      if (n % 4 === 0) clock.advance(5);
    }
    const all = Array.from({ length: 11 }, (_, i) => bytesOf(texts(1, i + 1)) + 2);
    const ann = all.filter((_, i) => i % 2 === 0);
    const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
    for (const limit of [1, 2, 5, 11, 100]) {
      same(
        await h.stats({ limit }),
        { conversations: 11, messages: 66, bytes: sum(all), oldest: start, newest: start + 10 },
        `pages of ${limit}`,
      );
      same(
        await h.stats({ limit, owner: 'ann' }),
        { conversations: 6, messages: 36, bytes: sum(ann), oldest: start, newest: start + 10 },
        `pages of ${limit}, of ann`,
      );
    }
  },
  'driver: what was trimmed, replaced, removed or is over does not count': async ({ hand, clock }) => {
    const h = hand();
    await h.create('trimmed', texts(1, 9));
    await h.append('trimmed', ['m10'], { maxMessages: 2 });
    await h.create('replaced', texts(1, 9));
    await h.put('replaced', ['n']);
    await h.create('removed', texts(1, 9));
    await h.remove('removed');
    await h.create('over', texts(1, 9), { ttl: 5 });
    clock.advance(5);
    const { conversations, messages, bytes } = await h.stats();
    same([conversations, messages, bytes], [2, 3, bytesOf(['m9', 'm10', 'n']) + 4], 'conversations, messages, bytes');
  },
});
