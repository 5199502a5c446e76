/**
 * Cases about reading one conversation.
 *
 * @module
 */
import { textOf, user } from '../../message.js';
import { unwrap } from '../../result.js';
import { check, equal, present, same, settle } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { texts, textsIn } from '../hand.js';
import { collect, contents, say } from '../talk.js';

/** Cases about reading one conversation. */
export const readCases: readonly Case[] = defineCases('read', {
  'what is not there is undefined, or nothing': async ({ provider }) => {
    const p = provider();
    equal(await p.getConversation('none'), undefined, 'getConversation');
    same(await p.getRecentMessages('none'), [], 'getRecentMessages');
    same(await p.findConversations({ conversationId: 'none' }), [], 'findConversations');
    same(await p.getMessages('none', {}), { items: [], firstSeq: 1, nextSeq: 1, hasMore: false }, 'getMessages');
  },
  'messageLimit gives the newest messages and the count of all': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 10)));
    const read = present(await p.getConversation('c', { messageLimit: 3 }), 'conversation');
    same(contents(read.messages), texts(8, 10), 'messages');
    equal(read.messageCount, 10, 'messageCount');
    same((await p.getConversation('c', { messageLimit: 0 }))?.messages, [], 'messages with a limit of 0');
    equal((await p.getConversation('c', { messageLimit: 0 }))?.messageCount, 10, 'messageCount with a limit of 0');
    equal((await p.getConversation('c', { messageLimit: 99 }))?.messages.length, 10, 'messages with a limit above the count');
  },
  'getRecentMessages gives the newest 50, or as many as asked for': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 60)));
    same(contents(await p.getRecentMessages('c')), texts(11, 60), 'by default');
    same(contents(await p.getRecentMessages('c', 2)), texts(59, 60), 'with 2');
    same(contents(await p.getRecentMessages('c', 500)), texts(1, 60), 'with more than there are');
    same(await p.getRecentMessages('c', 0), [], 'with 0');
  },
  'getMessages walks forward and backward by sequence': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 10)));
    const page = async (range: { after?: number; before?: number; limit?: number }): Promise<unknown> => {
      const { items, firstSeq, nextSeq, hasMore } = await p.getMessages('c', range);
      return [items.map(({ seq, message }) => `${seq}=${textOf(message)}`).join(' '), firstSeq, nextSeq, hasMore];
    };
    same(await page({ limit: 3 }), ['1=m1 2=m2 3=m3', 1, 11, true], 'neither bound');
    same(await page({ after: 3, limit: 3 }), ['4=m4 5=m5 6=m6', 1, 11, true], 'after');
    same(await page({ after: 7, limit: 3 }), ['8=m8 9=m9 10=m10', 1, 11, false], 'after, to the end');
    same(await page({ after: 10 }), ['', 1, 11, false], 'after the end');
    same(await page({ before: 4, limit: 2 }), ['2=m2 3=m3', 1, 11, true], 'before');
    same(await page({ before: 3, limit: 5 }), ['1=m1 2=m2', 1, 11, false], 'before, to the beginning');
    same(await page({ after: 2, before: 5 }), ['3=m3 4=m4', 1, 11, false], 'both bounds, exclusive');
    same(await page({ after: 2, before: 9, limit: 2 }), ['3=m3 4=m4', 1, 11, true], 'both bounds and a limit');
  },
  'reading changes nothing': async ({ provider, clock, hand }) => {
    const p = provider({ ttl: 100 });
    unwrap(await p.storeMessages('c', say(1, 4), { a: 1 }, { userId: 'ann' }));
    const before = { read: await p.getConversation('c'), header: await hand().header('c') };
    clock.advance(50_000);
    const all = async (): Promise<void> => {
      await p.getConversation('c');
      await p.getConversation('c', { messageLimit: 2 });
      await p.getRecentMessages('c');
      await p.getMessages('c', { after: 1 });
      await p.findConversations({ userId: 'ann' });
      await collect(p.iterateConversations());
      await p.getStats();
      await p.getStats('ann');
      await p.healthCheck();
      await p.forUser('bob').getConversation('c');
    };
    await all();
    await settle();
    await all();
    same({ read: await p.getConversation('c'), header: await hand().header('c') }, before, 'conversation and header');
  },
  'a conversation deleted while it is read stays deleted': async ({ provider }) => {
    const p = provider();
    const ids = texts(1, 200, 'c');
    await Promise.all(ids.map(async (id) => unwrap(await p.storeMessages(id, say(1, 2)))));
    await Promise.all(ids.flatMap((id) => [p.getConversation(id), p.deleteConversation(id), p.getRecentMessages(id)]));
    await settle();
    same(
      await Promise.all(ids.map((id) => p.getConversation(id))),
      ids.map(() => undefined),
      'conversations',
    );
    same(await p.findConversations(), [], 'list');
  },

  'driver: header and bodies of a read are of one moment': async ({ hand }) => {
    const h = hand();
    await h.create('c', texts(1, 3));
    const writer = async (): Promise<void> => {
      const w = hand();
      for (let n = 0; n < 20; n++) await w.append('c', texts(1, 3), { maxMessages: 10 });
    };
    const reader = async (): Promise<void> => {
      for (let n = 0; n < 20; n++) {
        const { header, bodies } = await h.stored('c');
        const expected = Array.from({ length: header.next - header.first }, (_, i) => header.first + i);
        same(
          bodies.map(({ seq }) => seq),
          expected,
          'sequences of the bodies against first and next of the header',
        );
        check(bodies.length <= 10, `a read shows ${bodies.length} messages where at most 10 remain after each write`);
      }
    };
    await Promise.all([writer(), writer(), reader(), reader()]);
  },
  'driver: a header is returned whole': async ({ hand, clock }) => {
    const h = hand();
    const outcome = await h.create('c', ['m1'], { owner: 'ann', trace: 't', metadata: '{"a":1}', ttl: 60_000 });
    const { id, owner, trace, epoch, version, createdAt, updatedAt, ttl, expiresAt, hold, first, next, packedTo, bytes, metadata } =
      await h.header('c');
    same(JSON.parse(metadata), { a: 1 }, 'metadata');
    check(bytes > 0, 'bytes');
    same(
      { id, owner, trace, epoch, version, createdAt, updatedAt, ttl, expiresAt, hold, first, next, packedTo },
      {
        id: 'c',
        owner: 'ann',
        trace: 't',
        epoch: outcome.extent.epoch,
        version: outcome.receipt.version,
        createdAt: clock.now(),
        updatedAt: clock.now(),
        ttl: 60_000,
        expiresAt: clock.now() + 60_000,
        hold: false,
        first: 1,
        next: 2,
        packedTo: 1,
      },
      'header',
    );
  },
  'driver: an empty conversation is there and has no bodies': async ({ hand }) => {
    const h = hand();
    await h.create('c', []);
    const stored = await h.stored('c');
    same([stored.header.first, stored.header.next, textsIn(stored), stored.segments], [1, 1, [], []], 'first, next, bodies, segments');
  },
  'driver: it says what it is, and what a failure means, without saying what it was about': async ({ driver }) => {
    const { durability, shared, segments, batchCreations } = driver.capabilities;
    check(driver.name !== '' && driver.contract === 1, 'name and contract');
    check(['none', 'process', 'power', 'replicated'].includes(durability), 'capabilities.durability');
    check(['deflate', 'text'].includes(segments), 'capabilities.segments');
    same([typeof shared, typeof batchCreations], ['boolean', 'boolean'], 'capabilities.shared and batchCreations');
    const kinds = ['refused', 'lost', 'timeout', 'retryable', 'storage', 'corrupt', 'unreplicated', 'config'];
    const secret = 'a message of the user';
    for (const thrown of [
      new Error(secret),
      new TypeError(secret),
      Object.assign(new Error(secret), { code: 'ECONNREFUSED' }),
      secret,
      undefined,
      null,
      7,
      {},
      Object.create(null),
    ]) {
      const { kind, reason } = driver.classify(thrown);
      check(kinds.includes(kind), `kind of a failure: ${kind}`);
      check(!reason.includes(secret), `the reason of a failure repeats it: ${reason}`);
    }
  },
  'driver: opening again changes nothing': async ({ hand, driver }) => {
    const h = hand();
    await h.create('c', ['m1']);
    const before = await h.stored('c');
    const opened = await Promise.all([driver.open(), driver.open()]);
    check(/^[0-9a-f]{32,}$/.test(opened[0].key), 'the store has a key of hex digits');
    equal(opened[1].key, opened[0].key, 'key');
    same(await h.stored('c'), before, 'conversation');
  },
  'driver: ping reads only': async ({ hand, driver, provider }) => {
    const h = hand();
    await h.create('c', ['m1']);
    const before = await h.stored('c');
    check(typeof (await driver.ping({ timeout: 60_000 })).message === 'string', 'ping answers a message');
    same(await h.stored('c'), before, 'conversation');
    same(await h.ids(), ['c'], 'conversations');
    equal((await provider().healthCheck()).healthy, true, 'healthy');
  },
  'what is returned is the caller’s: changing it changes nothing that is stored': async ({ provider }) => {
    const p = provider();
    const message = { role: 'user' as const, content: 'before', extra: { list: [1] } };
    const metadata = { list: [1], deep: { x: 1 } };
    unwrap(await p.storeMessages('c', [message, user('second')], metadata));
    message.content = 'after';
    message.extra.list.push(2);
    metadata.list.push(2);
    metadata.deep.x = 2;
    const expected = [[{ role: 'user', content: 'before', extra: { list: [1] } }, user('second')], { list: [1], deep: { x: 1 } }];
    const first = present(await p.getConversation('c'), 'conversation');
    same([first.messages, first.metadata], expected, 'after the inputs changed');
    const disturb = (change: () => void): void => {
      try {
        change();
      } catch (error) {
        // frozen: as good as a copy
        if (!(error instanceof TypeError)) throw error;
      }
    };
    disturb(() => (first.messages as unknown[]).push('x'));
    disturb(() => ((first.messages[0] as { content: unknown }).content = 'changed'));
    disturb(() => present(first.messages[0]?.['extra'] as { list: number[] } | undefined, 'extra').list.push(3));
    disturb(() => ((first.metadata as Record<string, unknown>)['list'] = 'changed'));
    disturb(() => (first.metadata['deep'] as { x: number }).x++);
    disturb(() => first.createdAt.setTime(0));
    disturb(() => first.updatedAt.setTime(0));
    const second = present(await p.getConversation('c'), 'conversation');
    same([second.messages, second.metadata], expected, 'after the output changed');
    check(second.createdAt.getTime() > 0 && second.updatedAt.getTime() > 0, 'dates of the second read');
  },
});
