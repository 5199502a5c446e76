/**
 * Cases about exact restores.
 *
 * @module
 */
import { MemoryAccessError, MemoryConflictError, MemoryValidationError } from '../../errors.js';
import { unwrap } from '../../result.js';
import type { ConversationSnapshot } from '../../types.js';
import { check, equal, failed, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { applied, bytesOf, texts } from '../hand.js';
import { contents, idsOf, say } from '../talk.js';

/** A snapshot of long ago. */
function snapshot(fields: Partial<ConversationSnapshot> = {}): ConversationSnapshot {
  return {
    conversationId: 'c',
    userId: 'ann',
    messages: say(41, 43),
    messageCount: 3,
    metadata: { a: 1 },
    createdAt: new Date('2020-01-02T03:04:05.678Z'),
    updatedAt: new Date('2021-02-03T04:05:06.789Z'),
    version: 5,
    firstSeq: 41,
    ...fields,
  };
}

/** Cases about exact restores. */
export const restoreCases: readonly Case[] = defineCases('restore', {
  'a restore is exact: times, owner, expiry, metadata, sequence': async ({ provider, clock }) => {
    const p = provider({ ttl: 7, maxMessages: 2 });
    const expiresAt = new Date(clock.now() + 5000);
    const receipt = unwrap(await p.restoreConversation(snapshot({ expiresAt }), { onConflict: 'fail' }));
    same([receipt.created, receipt.messageCount, receipt.duplicate], [true, 3, false], 'created, messageCount, duplicate');
    const read = present(await p.getConversation('c'), 'conversation');
    const { version: _, ...rest } = read;
    same(
      { ...rest, messages: contents(rest.messages) },
      {
        conversationId: 'c',
        userId: 'ann',
        messages: texts(41, 43),
        messageCount: 3,
        metadata: { a: 1 },
        createdAt: new Date('2020-01-02T03:04:05.678Z'),
        updatedAt: new Date('2021-02-03T04:05:06.789Z'),
        expiresAt,
      },
      'conversation',
    );
    const page = await p.getMessages('c', {});
    same([page.items.map(({ seq }) => seq), page.firstSeq, page.nextSeq], [[41, 42, 43], 41, 44], 'sequences');
    clock.advance(5000);
    equal(await p.getConversation('c'), undefined, 'when it expires');
  },
  'what is restored goes on as any other conversation': async ({ provider, clock }) => {
    const p = provider();
    unwrap(await p.restoreConversation(snapshot(), { onConflict: 'fail' }));
    same(idsOf(await p.findConversations({ userId: 'ann', until: new Date('2021-02-03T04:05:06.789Z') })), ['c'], 'listed by its own time');
    equal(unwrap(await p.appendMessages('c', say(44, 44))).messageCount, 4, 'messageCount after an append');
    const read = present(await p.getConversation('c'), 'conversation');
    same(
      [read.createdAt.getTime(), read.updatedAt.getTime()],
      [Date.parse('2020-01-02T03:04:05.678Z'), clock.now()],
      'createdAt, updatedAt',
    );
    equal(read.expiresAt, undefined, 'expiresAt');
    failed(await p.appendMessages('c', [], undefined, { userId: 'bob' }), MemoryAccessError, 'owner', 'append of another owner');
  },
  'onConflict decides when there is one: fail, skip or replace': async ({ provider }) => {
    const p = provider();
    const { version } = unwrap(await p.storeMessages('c', say(1, 1), { own: true }, { userId: 'ann' }));
    const error = failed(await p.restoreConversation(snapshot(), { onConflict: 'fail' }), MemoryConflictError, 'version', 'fail');
    same([error.outcome, error.actualVersion], ['not_applied', version], 'outcome and actualVersion');
    const skipped = unwrap(await p.restoreConversation(snapshot(), { onConflict: 'skip' }));
    same(skipped, { conversationId: 'c', messageCount: 1, version, created: false, duplicate: true }, 'skip');
    same(contents((await p.getConversation('c'))?.messages), ['m1'], 'messages after fail and skip');
    const replaced = unwrap(await p.restoreConversation(snapshot(), { onConflict: 'replace' }));
    same([replaced.created, replaced.messageCount, replaced.duplicate], [false, 3, false], 'replace');
    check(replaced.version > version, 'the version grows');
    const read = present(await p.getConversation('c'), 'conversation');
    same(
      [contents(read.messages), read.metadata, read.createdAt.getTime()],
      [texts(41, 43), { a: 1 }, Date.parse('2020-01-02T03:04:05.678Z')],
      'messages, metadata, createdAt',
    );
    equal((await p.getMessages('c', {})).firstSeq, 41, 'firstSeq');
  },
  'a restore respects owner and legal hold': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1), undefined, { userId: 'bob' }));
    for (const onConflict of ['fail', 'skip', 'replace'] as const) {
      failed(await p.restoreConversation(snapshot(), { onConflict }), MemoryAccessError, 'owner', `another’s, ${onConflict}`);
    }
    unwrap(await p.storeMessages('held', say(1, 1), { legalHold: true }, { userId: 'ann' }));
    failed(
      await p.restoreConversation(snapshot({ conversationId: 'held' }), { onConflict: 'replace' }),
      MemoryAccessError,
      'legal_hold',
      'a held one',
    );
    unwrap(await p.restoreConversation(snapshot({ conversationId: 'new', metadata: { legalHold: true } }), { onConflict: 'fail' }));
    failed(await p.storeMessages('new', []), MemoryAccessError, 'legal_hold', 'a restored hold holds');
  },
  'a restore keeps the trace it names, and replaces only the version it expects': async ({ provider }) => {
    const p = provider();
    const first = unwrap(
      await p.restoreConversation(snapshot({ traceId: 'named', metadata: { traceId: 'told' } }), {
        onConflict: 'fail',
        expectedVersion: 0,
      }),
    );
    same(idsOf(await p.findConversations({ traceId: 'named' })), ['c'], 'by the trace it names');
    same(await p.findConversations({ traceId: 'told' }), [], 'by that of the metadata');
    const replace = { onConflict: 'replace', expectedVersion: first.version } as const;
    unwrap(await p.appendMessages('c', say(44, 44)));
    failed(await p.restoreConversation(snapshot(), replace), MemoryConflictError, 'version', 'written to meanwhile');
    equal((await p.getConversation('c'))?.messageCount, 4, 'what was written stays');
    const now = present(await p.getConversation('c'), 'conversation').version;
    unwrap(await p.restoreConversation(snapshot(), { ...replace, expectedVersion: now }));
    same(await p.findConversations({ traceId: 'named' }), [], 'a new life has the trace of its own write');
  },
  'a window is not a snapshot, and what is over cannot be restored': async ({ provider, clock }) => {
    const p = provider();
    failed(
      await p.restoreConversation(snapshot({ messageCount: 9 }), { onConflict: 'fail' }),
      MemoryValidationError,
      'invalid',
      'a window',
    );
    failed(
      await p.restoreConversation(snapshot({ expiresAt: new Date(clock.now()) }), { onConflict: 'fail' }),
      MemoryValidationError,
      'invalid',
      'an expired one',
    );
    equal(await p.getConversation('c'), undefined, 'conversation');
  },

  'driver: a restore begins a new life with its own sequence and times': async ({ hand, clock }) => {
    const h = hand();
    const before = await h.create('c', texts(1, 9), {
      owner: 'ann',
      trace: 't',
      metadata: '{"old":1}',
      operation: { hash: 'h', digest: 'd' },
    });
    const restore = { createdAt: 1000, updatedAt: 2000, expiresAt: clock.now() + 500, firstSeq: 5, onConflict: 'replace' as const };
    const outcome = applied(await h.restore('c', texts(5, 6, 'r'), restore, { metadata: '{"new":1}' }), 'restore');
    check(outcome.extent.epoch > before.extent.epoch, 'epoch');
    same([outcome.extent.first, outcome.extent.next, outcome.extent.packedTo], [5, 7, 5], 'first, next, packedTo');
    same([outcome.receipt.created, outcome.receipt.messageCount, outcome.trimmed], [false, 2, 0], 'created, messageCount, trimmed');
    const { header } = await h.stored('c');
    same([header.createdAt, header.updatedAt, header.expiresAt, header.owner], [1000, 2000, clock.now() + 500, 'ann'], 'times and owner');
    equal(header.metadata, '{"new":1}', 'metadata');
    equal(header.bytes, bytesOf(texts(5, 6, 'r')) + 9, 'bytes');
    same(await h.texts('c'), ['r5', 'r6'], 'texts');
    equal(
      (await h.append('c', ['x'], { operation: { hash: 'h', digest: 'other' } })).kind,
      'ok',
      'an operation id of the old life is free',
    );
    same(await h.ids({ by: 'created', direction: 'asc' }), ['c'], 'list');
  },
  'driver: a restore replaces all there is: metadata it does not bring is gone, and no limit trims it': async ({ hand, clock }) => {
    const h = hand();
    await h.create('c', texts(1, 9), { trace: 't', metadata: '{"old":1}', ttl: 500 });
    const outcome = applied(
      await h.restore(
        'c',
        texts(1, 4, 'r'),
        { createdAt: 1, updatedAt: 2, firstSeq: 1, onConflict: 'replace' },
        { maxMessages: 2, defaultTtl: 100 },
      ),
      'restore',
    );
    same([outcome.receipt.messageCount, outcome.trimmed], [4, 0], 'messageCount and trimmed');
    const { metadata, trace, ttl, expiresAt } = await h.header('c');
    same([metadata, trace, ttl, expiresAt], ['{}', undefined, undefined, undefined], 'metadata, trace, ttl, expiresAt');
    clock.advance(1000);
    same(await h.texts('c'), texts(1, 4, 'r'), 'texts');
  },
  'driver: a restore is in its place in every list': async ({ hand, clock }) => {
    const h = hand();
    await h.create('a', []);
    clock.advance(10);
    await h.create('z', []);
    const between = clock.now() - 5;
    applied(
      await h.restore('m', ['x'], { createdAt: between, updatedAt: between, firstSeq: 1, onConflict: 'fail' }, { owner: 'ann' }),
      'restore',
    );
    for (const by of ['updated', 'created'] as const) {
      same(await h.ids({ by, direction: 'asc' }), ['a', 'm', 'z'], `by ${by}`);
      same(await h.ids({ by, direction: 'asc', since: between, until: between }), ['m'], `by ${by}, its own time`);
    }
    same(await h.ids({ owner: 'ann' }), ['m'], 'of its owner');
  },
  'driver: a repeated restore is repeated': async ({ hand }) => {
    const h = hand();
    const write = h.prepare('restore', 'c', ['m1'], { restore: { createdAt: 1, updatedAt: 2, firstSeq: 9, onConflict: 'fail' } });
    const { receipt } = applied(await h.send(write), 'first');
    same(await h.resend(write), { kind: 'repeated', receipt }, 'retry');
    same(await h.texts('c'), ['m1'], 'texts');
  },
  'driver: skip and fail change nothing': async ({ hand }) => {
    const h = hand();
    const { receipt } = await h.create('c', ['m1', 'm2']);
    const before = await h.stored('c');
    const restore = { createdAt: 1, updatedAt: 2, firstSeq: 9 };
    same(
      await h.restore('c', ['x'], { ...restore, onConflict: 'skip' }),
      { kind: 'skipped', receipt: { ...receipt, created: false } },
      'skip',
    );
    same(await h.restore('c', ['x'], { ...restore, onConflict: 'fail' }), { kind: 'conflict', actualVersion: receipt.version }, 'fail');
    same(await h.stored('c'), before, 'conversation');
  },
});
