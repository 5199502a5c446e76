/**
 * Cases about repeating what may have been done already.
 *
 * @module
 */
import { WRITERS_KEPT } from '../../driver.js';
import { MemoryConnectionError } from '../../errors.js';
import { unwrap } from '../../result.js';
import { check, equal, failed, present, rejects, same } from '../assert.js';
import { type Case, type CaseContext, defineCases } from '../case.js';
import { faulty, randomLosses } from '../faults.js';
import { applied, textsIn, texts } from '../hand.js';
import { contents, say } from '../talk.js';

/** Lets so many new writers write to `c`. */
async function crowd({ hand }: CaseContext, count: number): Promise<void> {
  for (let n = 1; n <= count; n++) applied(await hand().append('c', [`crowd${n}`]), `writer ${n}`);
}

/** Cases about repeating what may have been done already. */
export const retriesCases: readonly Case[] = defineCases('retries', {
  'a write whose reply is lost is applied once and answered as if nothing had happened': async ({ provider, driver }) => {
    const p = provider(
      {},
      faulty(driver, ({ operation, nth }) => (operation === 'write' && nth % 2 === 1 ? 'lose-reply' : 'pass')),
    );
    same(
      (({ created, messageCount, duplicate }) => [created, messageCount, duplicate])(unwrap(await p.storeMessages('c', say(1, 1)))),
      [true, 1, false],
      'store',
    );
    same((({ created, messageCount }) => [created, messageCount])(unwrap(await p.appendMessages('c', say(2, 3)))), [false, 3], 'append');
    equal(unwrap(await p.appendMessages('d', say(1, 1), undefined, { createIfMissing: true })).created, true, 'append that creates');
    equal(unwrap(await p.storeMessages('c', say(5, 8))).messageCount, 4, 'replace');
    unwrap(await p.appendMessages('c', [], { n: 1 }));
    same(contents((await p.getConversation('c'))?.messages), texts(5, 8), 'messages of c');
    same(contents((await p.getConversation('d'))?.messages), ['m1'], 'messages of d');
    same((await p.getMessages('c', {})).firstSeq, 4, 'firstSeq: the replacement was made once');
  },
  'a write whose request is lost or refused is sent again': async ({ provider, driver }) => {
    const p = provider(
      {},
      faulty(driver, ({ nth }) => (nth === 1 ? 'fail' : nth === 2 ? 'lose-request' : 'pass')),
    );
    equal(unwrap(await p.storeMessages('c', say(1, 1))).created, true, 'store');
    same(contents((await p.getConversation('c'))?.messages), ['m1'], 'messages');
  },
  'a removal whose reply is lost answers true': async ({ provider, driver }) => {
    const p = provider(
      {},
      faulty(driver, ({ operation, nth }) => (operation === 'remove' && nth === 1 ? 'lose-reply' : 'pass')),
    );
    unwrap(await p.storeMessages('c', say(1, 1)));
    equal(await p.deleteConversation('c'), true, 'delete');
    equal(await p.deleteConversation('c'), false, 'delete again');
  },
  'a request that arrives late, after its retry, is not applied again': async ({ provider, driver }) => {
    let release: (value: unknown) => void = () => undefined;
    const late = new Promise((resolve) => {
      release = resolve;
    });
    const faults = faulty(driver, ({ operation, nth }) => (operation === 'write' && nth === 2 ? { late } : 'pass'));
    const p = provider({}, faults);
    unwrap(await p.storeMessages('c', say(1, 1)));
    unwrap(await p.appendMessages('c', say(2, 2)));
    unwrap(await p.appendMessages('c', say(3, 3)));
    release(undefined);
    const stragglers = await faults.stragglers();
    same(contents((await p.getConversation('c'))?.messages), texts(1, 3), `messages after ${JSON.stringify(stragglers)}`);
  },
  'four writers, replies and requests lost at random: nothing is doubled, lost or out of order': async ({ provider, driver }) => {
    const writers = [1, 2, 3, 4].map((seed) => provider({}, faulty(driver, randomLosses({ seed, replies: 0.1, requests: 0.05 }))));
    unwrap(await present(writers[0], 'writer').storeMessages('c', []));
    const calls = writers.flatMap((p, w) =>
      texts(1, 50, `w${w}-`).map(async (_, n) => unwrap(await p.appendMessages('c', say(n + 1, n + 1, `w${w}-`)))),
    );
    await Promise.all(calls);
    const stored = contents((await provider().getConversation('c'))?.messages) ?? [];
    equal(stored.length, 200, 'messages');
    for (const w of writers.keys())
      same(
        stored.filter((text) => String(text).startsWith(`w${w}-`)),
        texts(1, 50, `w${w}-`),
        `messages of writer ${w}`,
      );
  },
  'a retry that can no longer be decided is a Failure with outcome unknown, applied once at most': async (context) => {
    const { provider, driver } = context;
    unwrap(await provider().storeMessages('c', []));
    let crowded: Promise<void> | undefined;
    const p = provider(
      {},
      faulty(driver, ({ operation, nth }) => {
        if (operation !== 'write') return 'pass';
        if (nth === 1) return 'lose-reply';
        crowded ??= crowd(context, WRITERS_KEPT + 1);
        return { hold: 'request', until: crowded };
      }),
    );
    const error = failed(await p.appendMessages('c', say(1, 1)), MemoryConnectionError, 'lost', 'append');
    equal(error.outcome, 'unknown', 'outcome');
    const stored = contents((await provider().getConversation('c'))?.messages) ?? [];
    equal(stored.filter((text) => text === 'm1').length, 1, 'times the message is stored');
  },
  'a removal that can no longer be decided rejects with outcome unknown, and does not remove the next life': async (context) => {
    const { provider, driver, hand } = context;
    const nextLife = async (): Promise<void> => {
      await hand().create('c', []);
      await crowd(context, WRITERS_KEPT);
    };
    let begun: Promise<void> | undefined;
    const p = provider(
      {},
      faulty(driver, ({ operation, nth }) => {
        if (operation !== 'remove') return 'pass';
        if (nth === 1) return 'lose-reply';
        begun ??= nextLife();
        return { hold: 'request', until: begun };
      }),
    );
    unwrap(await provider().storeMessages('c', say(1, 1)));
    equal((await rejects(p.deleteConversation('c'), MemoryConnectionError, 'lost', 'delete')).outcome, 'unknown', 'outcome');
    same(contents((await provider().getConversation('c'))?.messages), texts(1, WRITERS_KEPT, 'crowd'), 'messages of the next life');
  },

  'driver: a repeated write answers the first receipt and changes nothing': async ({ hand, clock }) => {
    const h = hand();
    const create = h.prepare('append', 'c', ['m1'], { create: true });
    const append = h.prepare('append', 'c', ['m2'], { metadata: '{"a":1}' });
    const put = h.prepare('put', 'c', ['n1']);
    for (const write of [create, append, put]) {
      const first = applied(await h.send(write), write.kind);
      const before = await h.stored('c');
      clock.advance(10);
      same(await h.resend(write), { kind: 'repeated', receipt: first.receipt }, `retry of ${write.kind}`);
      same(await h.send(write), { kind: 'repeated', receipt: first.receipt }, `${write.kind} delivered twice, without the mark of a retry`);
      same(await h.stored('c'), before, `conversation after ${write.kind}`);
    }
  },
  'driver: a retry whose first attempt never arrived is applied': async ({ hand }) => {
    const h = hand();
    equal((await h.resend(h.prepare('append', 'c', ['m1'], { create: true }))).kind, 'ok', 'creation');
    equal((await h.resend(h.prepare('append', 'c', ['m2']))).kind, 'ok', 'append');
    same(await h.texts('c'), ['m1', 'm2'], 'texts');
  },
  'driver: a retry is repeated also behind other writers and other writes': async ({ hand }) => {
    const h = hand();
    await h.create('c', ['m1']);
    const write = h.prepare('append', 'c', ['m2']);
    const { receipt } = applied(await h.send(write), 'append');
    for (let n = 1; n < WRITERS_KEPT; n++) await hand().append('c', [`o${n}`], n % 2 ? { maxMessages: 5 } : { metadata: `{"k${n}":1}` });
    await hand().put('d', ['x']);
    same(await h.resend(write), { kind: 'repeated', receipt }, 'retry');
    equal((await h.texts('c'))?.includes('m2'), false, 'm2 was trimmed once and did not come back');
  },
  'driver: a straggler, older than its writer’s last write, is never applied': async ({ hand }) => {
    const h = hand();
    await h.create('c', ['m1']);
    const straggler = h.prepare('append', 'c', ['late']);
    applied(await h.append('c', ['m2']), 'a later write');
    equal((await h.send(straggler)).kind, 'unknown', 'straggler');
    equal((await h.resend(straggler)).kind, 'unknown', 'straggler as a retry');
    const before = h.prepareRemove('c');
    applied(await h.append('c', ['m3']), 'a later write');
    equal((await h.sendRemove(before)).kind, 'unknown', 'a removal that comes late');
    same(await h.texts('c'), ['m1', 'm2', 'm3'], 'texts');
  },
  'driver: a ring that is full answers unknown for the writer that left it': async (context) => {
    const { hand } = context;
    const h = hand();
    const write = h.prepare('append', 'c', ['m1'], { create: true });
    applied(await h.send(write), 'first');
    await crowd(context, WRITERS_KEPT - 1);
    equal((await h.resend(write)).kind, 'repeated', `retry behind ${WRITERS_KEPT - 1} other writers`);
    await crowd(context, 1);
    equal((await h.resend(write)).kind, 'unknown', `retry behind ${WRITERS_KEPT} other writers`);
    equal((await h.texts('c'))?.filter((text) => text === 'm1').length, 1, 'times the message is stored');
  },
  'driver: a full ring is no reason to refuse what was begun after the writer that left it last': async (context) => {
    const { hand, clock } = context;
    await hand().create('c', []);
    const early = hand().prepare('append', 'c', ['early']);
    clock.advance(10);
    await crowd(context, WRITERS_KEPT * 2);
    clock.advance(10);
    await crowd(context, WRITERS_KEPT / 2);
    const late = hand().prepare('append', 'c', ['late']);
    equal((await hand().resend(late)).kind, 'ok', 'a retry that cannot have been applied');
    equal((await hand().resend(early)).kind, 'unknown', 'a retry that may have been applied');
    equal(
      (await hand().send(hand().prepare('append', 'c', ['fresh'], { now: early.now }))).kind,
      'ok',
      'a first attempt of a new writer with an old time',
    );
    const stored = (await hand().texts('c')) ?? [];
    same(
      stored.filter((text) => !text.startsWith('crowd')),
      ['late', 'fresh'],
      'texts',
    );
  },
  'driver: a refused write is no memory: its retry is decided anew': async ({ hand }) => {
    const h = hand();
    const write = h.prepare('append', 'c', ['m1']);
    equal((await h.send(write)).kind, 'missing', 'before there is a conversation');
    await hand().create('c', []);
    equal((await h.resend(write)).kind, 'ok', 'when there is one');
    same(await h.texts('c'), ['m1'], 'texts');
  },
  'driver: retries in a batch are decided each alone': async ({ hand }) => {
    const h = hand();
    for (const id of ['a', 'b']) await h.create(id, ['m1']);
    const a = h.prepare('append', 'a', ['m2']);
    const { receipt } = applied(await h.send(a), 'append to a');
    const outcomes = await h.sendAll([
      { ...a, retry: true },
      { ...h.prepare('append', 'b', ['m2']), retry: true },
    ]);
    same(outcomes[0], { kind: 'repeated', receipt }, 'a');
    equal(outcomes[1]?.kind, 'ok', 'b');
    for (const id of ['a', 'b']) same(await h.texts(id), ['m1', 'm2'], `texts of ${id}`);
  },
  'driver: the ring is the conversation’s own': async ({ hand }) => {
    const h = hand();
    for (const id of ['a', 'b']) await h.create(id, []);
    const one = h.prepare('append', 'a', ['m1']);
    const other = h.prepare('append', 'b', ['m1']);
    equal((await h.send(other)).kind, 'ok', 'a later mark at another conversation');
    equal((await h.send(one)).kind, 'ok', 'an earlier mark here');
    same([textsIn(await h.read('a')), textsIn(await h.read('b'))], [['m1'], ['m1']], 'texts');
  },
  'what a store remembers survives a restart': {
    needs: 'persistent',
    run: async ({ hand, driver, reopen, clock }) => {
      const h = hand();
      const write = h.prepare('append', 'c', texts(1, 3), {
        create: true,
        metadata: '{"a":1}',
        owner: 'ann',
        ttl: 60_000,
        operation: { hash: 'h', digest: 'd' },
      });
      const { receipt } = applied(await h.send(write), 'first');
      const removed = hand();
      await removed.create('gone', ['x']);
      const remove = removed.prepareRemove('gone');
      await removed.sendRemove(remove);
      const before = await h.stored('c');
      const { key } = await driver.open();
      await driver.close();
      const reopened = await reopen();
      equal((await reopened.open()).key, key, 'key of the store');
      const again = hand(reopened);
      same(await again.stored('c'), before, 'conversation');
      same(await again.resend(write), { kind: 'repeated', receipt }, 'retry');
      same(
        await again.append('c', ['x'], { owner: 'ann', operation: { hash: 'h', digest: 'd' } }),
        { kind: 'duplicate', receipt },
        'operation',
      );
      equal((await again.sendRemove({ ...remove, retry: true })).kind, 'removed', 'retry of the removal');
      same(await again.ids({ owner: 'ann' }), ['c'], 'list of the owner');
      clock.advance(60_000);
      check((await again.read('c')) === undefined, 'expiry');
    },
  },
});
