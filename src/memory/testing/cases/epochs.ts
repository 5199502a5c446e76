/**
 * Cases about the lives of a conversation id.
 *
 * @module
 */
import { TOMBSTONE_MS } from '../../driver.js';
import { unwrap } from '../../result.js';
import { check, equal, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { applied, texts } from '../hand.js';
import { contents, say } from '../talk.js';

/** Cases about the lives of a conversation id. */
export const epochsCases: readonly Case[] = defineCases('epochs', {
  'a deleted conversation begins again at sequence 1, with nothing of the old': async ({ provider, clock }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 9), { old: 1 }, { userId: 'ann', traceId: 't', ttl: 9 }));
    await p.deleteConversation('c');
    clock.advance(1);
    const receipt = unwrap(await p.appendMessages('c', say(1, 2, 'n'), undefined, { createIfMissing: true }));
    same([receipt.created, receipt.messageCount], [true, 2], 'created and messageCount');
    const read = present(await p.getConversation('c'), 'conversation');
    same(
      [contents(read.messages), read.metadata, read.userId, read.expiresAt],
      [['n1', 'n2'], {}, undefined, undefined],
      'messages, metadata, owner, expiresAt',
    );
    equal(read.createdAt.getTime(), clock.now(), 'createdAt');
    const page = await p.getMessages('c', { limit: 500 });
    same([page.items.map(({ seq }) => seq), page.firstSeq, page.nextSeq], [[1, 2], 1, 3], 'sequences');
    same(await p.findConversations({ traceId: 't' }), [], 'by the old trace');
    equal((await p.getStats()).totalMessages, 2, 'messages in the totals');
  },

  'driver: every life has a greater epoch and version, also within one millisecond': async ({ hand }) => {
    const h = hand();
    let last = await h.create('c', texts(1, 3));
    for (let life = 2; life <= 5; life++) {
      const version = (await h.header('c')).version;
      equal((await h.remove('c')).kind, 'removed', `end of life ${life - 1}`);
      const next = await h.create('c', texts(1, life, `life${life}-`));
      check(next.extent.epoch > last.extent.epoch, `epoch ${next.extent.epoch} of life ${life} against ${last.extent.epoch} before`);
      check(next.receipt.version > version, `version ${next.receipt.version} of life ${life} against ${version} before`);
      same([next.extent.first, next.extent.next, next.extent.packedTo], [1, life + 1, 1], `extent of life ${life}`);
      same(await h.texts('c'), texts(1, life, `life${life}-`), `texts of life ${life}`);
      last = next;
    }
  },
  'driver: bodies of an earlier life are never seen, before and after they are reaped': async ({ hand, clock }) => {
    const h = hand();
    await h.create('c', texts(1, 50, 'old'));
    await h.remove('c');
    await h.create('c', texts(1, 2));
    for (const reaped of [false, true]) {
      same(await h.texts('c'), ['m1', 'm2'], `texts, reaped: ${reaped}`);
      same((await h.stored('c', { kind: 'after', seq: 2, limit: 99 })).bodies, [], `behind the end, reaped: ${reaped}`);
      equal((await h.stats()).messages, 2, `messages in the totals, reaped: ${reaped}`);
      await h.append('c', [], {});
      await h.purge({ kind: 'reap', now: clock.now(), limit: 10 });
    }
    await h.append('c', ['m3']);
    same(await h.texts('c'), ['m1', 'm2', 'm3'], 'texts after an append');
  },
  'driver: an expired life is over as a removed one is': async ({ hand, clock }) => {
    const h = hand();
    const first = await h.create('c', texts(1, 5, 'old'), {
      ttl: 10,
      owner: 'ann',
      trace: 't',
      metadata: '{"a":1}',
      operation: { hash: 'h', digest: 'd' },
    });
    clock.advance(10);
    const next = applied(await h.append('c', ['m1'], { create: true, operation: { hash: 'h', digest: 'other' } }), 'creation');
    check(next.extent.epoch > first.extent.epoch, 'epoch');
    same([next.receipt.created, next.receipt.messageCount], [true, 1], 'created and messageCount');
    const { header } = await h.stored('c');
    same(
      [header.owner, header.trace, header.metadata, header.ttl, header.createdAt],
      [undefined, undefined, '{}', undefined, clock.now()],
      'header',
    );
    same(await h.texts('c'), ['m1'], 'texts');
    same(await h.ids({ owner: 'ann' }), [], 'list of the old owner');
  },
  'driver: a retry from an earlier life does not reach the next': async ({ hand }) => {
    const h = hand();
    await hand().create('c', ['m1']);
    const write = h.prepare('append', 'c', ['m2']);
    const create = hand().prepare('append', 'c', ['again'], { create: true });
    await h.send(write);
    await hand().send(create);
    await hand().remove('c');
    equal((await h.resend(write)).kind, 'missing', 'retry of an append, while there is none');
    await hand().create('c', ['n1']);
    equal((await h.resend(write)).kind, 'missing', 'retry of an append, in the next life');
    equal((await h.resend(create)).kind, 'missing', 'retry of an append that would create, in the next life');
    same(await h.texts('c'), ['n1'], 'texts');
    equal((await h.append('c', ['n2'])).kind, 'ok', 'a new write of the same writer');
  },
  'driver: an epoch is not used again when the tombstone is gone': async ({ hand, clock }) => {
    const h = hand();
    const first = await h.create('c', texts(1, 9, 'old'));
    await h.remove('c');
    clock.advance(TOMBSTONE_MS + 1000);
    await h.purge({ kind: 'reap', now: clock.now(), limit: 5 });
    const next = await h.create('c', ['m1']);
    check(next.extent.epoch > first.extent.epoch, 'epoch');
    check(next.receipt.version > first.receipt.version, 'version');
    same(await h.texts('c'), ['m1'], 'texts');
  },
});
