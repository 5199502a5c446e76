/**
 * Cases about storing and appending.
 *
 * @module
 */
import type { WriteOutcome } from '../../driver.js';
import { MemoryNotFoundError, MemoryValidationError } from '../../errors.js';
import { user } from '../../message.js';
import { unwrap } from '../../result.js';
import { equal, failed, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { applied, bytesOf, texts } from '../hand.js';
import { contents, say } from '../talk.js';

/** Cases about storing and appending. */
export const writeCases: readonly Case[] = defineCases('write', {
  'storeMessages begins a conversation': async ({ provider, clock }) => {
    const p = provider();
    const receipt = unwrap(await p.storeMessages('c', say(1, 2), { topic: 'weather' }));
    same(receipt, { conversationId: 'c', messageCount: 2, version: clock.now(), created: true, duplicate: false }, 'receipt');
    const read = present(await p.getConversation('c'), 'conversation');
    same(contents(read.messages), ['m1', 'm2'], 'messages');
    same(read.metadata, { topic: 'weather' }, 'metadata');
    equal(read.messageCount, 2, 'messageCount');
    equal(read.version, receipt.version, 'version');
    equal(read.createdAt.getTime(), clock.now(), 'createdAt');
    equal(read.updatedAt.getTime(), clock.now(), 'updatedAt');
    equal(read.expiresAt, undefined, 'expiresAt');
    equal(read.userId, undefined, 'userId');
  },
  'storeMessages on an existing conversation replaces messages and metadata, and keeps createdAt and owner': async ({
    provider,
    clock,
  }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 5), { topic: 'old', extra: 1 }, { userId: 'ann' }));
    const began = clock.now();
    clock.advance(1000);
    const receipt = unwrap(await p.storeMessages('c', say(1, 2, 'n'), { topic: 'new' }));
    equal(receipt.created, false, 'created');
    equal(receipt.messageCount, 2, 'messageCount of the receipt');
    const read = present(await p.getConversation('c'), 'conversation');
    same(contents(read.messages), ['n1', 'n2'], 'messages');
    same(read.metadata, { topic: 'new' }, 'metadata is replaced, not merged');
    equal(read.createdAt.getTime(), began, 'createdAt');
    equal(read.updatedAt.getTime(), clock.now(), 'updatedAt');
    equal(read.userId, 'ann', 'owner');
  },
  'storeMessages without metadata keeps the stored metadata': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1), { topic: 'kept' }));
    unwrap(await p.storeMessages('c', say(1, 1, 'n')));
    same((await p.getConversation('c'))?.metadata, { topic: 'kept' }, 'metadata');
  },
  'storeMessages with no messages empties the conversation': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 3)));
    equal(unwrap(await p.storeMessages('c', [])).messageCount, 0, 'messageCount of the receipt');
    const read = present(await p.getConversation('c'), 'conversation');
    same(read.messages, [], 'messages');
    unwrap(await p.appendMessages('c', say(4, 4)));
    same(contents((await p.getConversation('c'))?.messages), ['m4'], 'messages after an append');
  },
  'an append to a missing conversation is not_found and stores nothing': async ({ provider }) => {
    const p = provider();
    const error = failed(await p.appendMessages('c', say(1, 1)), MemoryNotFoundError, 'not_found', 'append');
    equal(error.outcome, 'not_applied', 'outcome');
    equal(error.conversationId, 'c', 'conversationId');
    equal(await p.getConversation('c'), undefined, 'conversation');
    same((await p.getStats()).totalConversations, 0, 'conversations');
  },
  'an append with createIfMissing begins a conversation, once': async ({ provider }) => {
    const p = provider();
    equal(unwrap(await p.appendMessages('c', say(1, 1), undefined, { createIfMissing: true })).created, true, 'created, first');
    equal(unwrap(await p.appendMessages('c', say(2, 2), undefined, { createIfMissing: true })).created, false, 'created, second');
    same(contents((await p.getConversation('c'))?.messages), ['m1', 'm2'], 'messages');
  },
  'appends come at the end, in order, and equal messages are all kept': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', [user('yes'), user('no')]));
    unwrap(await p.appendMessages('c', [user('yes')]));
    const receipt = unwrap(await p.appendMessages('c', [user('yes'), user('yes')]));
    equal(receipt.messageCount, 5, 'messageCount');
    same(contents((await p.getConversation('c'))?.messages), ['yes', 'no', 'yes', 'yes', 'yes'], 'messages');
  },
  'an append merges metadata per top-level key; null is a value, objects are replaced whole': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1), { a: 1, b: { x: 1, y: 2 }, c: 'kept', d: [1, 2] }));
    unwrap(await p.appendMessages('c', say(2, 2), { a: null, b: { z: 3 }, e: 'new', d: [] }));
    same((await p.getConversation('c'))?.metadata, { a: null, b: { z: 3 }, c: 'kept', d: [], e: 'new' }, 'metadata');
    unwrap(await p.appendMessages('c', say(3, 3)));
    same(
      (await p.getConversation('c'))?.metadata,
      { a: null, b: { z: 3 }, c: 'kept', d: [], e: 'new' },
      'metadata after an append without',
    );
    unwrap(await p.appendMessages('c', say(4, 4), {}));
    same((await p.getConversation('c'))?.metadata, { a: null, b: { z: 3 }, c: 'kept', d: [], e: 'new' }, 'metadata after an empty one');
  },
  'an append with no messages only merges metadata, and is a write': async ({ provider, clock }) => {
    const p = provider();
    const first = unwrap(await p.storeMessages('c', say(1, 2), { a: 1 }));
    clock.advance(5);
    const receipt = unwrap(await p.appendMessages('c', [], { b: 2 }));
    equal(receipt.messageCount, 2, 'messageCount');
    equal(receipt.version > first.version, true, 'version grew');
    const read = present(await p.getConversation('c'), 'conversation');
    same(read.metadata, { a: 1, b: 2 }, 'metadata');
    same(contents(read.messages), ['m1', 'm2'], 'messages');
    equal(read.updatedAt.getTime(), clock.now(), 'updatedAt');
  },
  'a batch with one invalid message stores none of it': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1)));
    const bad = { role: 'user', content: 'x', score: Number.NaN } as const;
    const error = failed(await p.appendMessages('c', [user('good'), bad]), MemoryValidationError, 'invalid', 'append');
    equal(error.outcome, 'not_applied', 'outcome');
    same(contents((await p.getConversation('c'))?.messages), ['m1'], 'messages');
  },
  'a write that was aborted before it began is not applied': async ({ provider }) => {
    const p = provider();
    const result = await p.storeMessages('c', say(1, 1), undefined, { signal: AbortSignal.abort() });
    equal(result.ok, false, 'ok');
    if (!result.ok) same([result.error.code, result.error.outcome, result.error.name], ['aborted', 'not_applied', 'AbortError'], 'error');
    equal(await p.getConversation('c'), undefined, 'conversation');
  },

  'driver: an append answers its receipt, its extent and nothing trimmed': async ({ hand, clock }) => {
    const h = hand();
    const created = await h.create('c', texts(1, 3));
    same(created.receipt, { version: clock.now(), messageCount: 3, created: true }, 'receipt of the first');
    const outcome = applied(await h.append('c', texts(4, 5)), 'append');
    same(outcome.receipt, { version: clock.now() + 1, messageCount: 5, created: false }, 'receipt of the second');
    same(outcome.extent, { epoch: created.extent.epoch, first: 1, next: 6, packedTo: 1 }, 'extent');
    equal(outcome.trimmed, 0, 'trimmed');
    same(await h.texts('c'), texts(1, 5), 'texts');
  },
  'driver: a put goes on in the sequence where the replaced messages ended': async ({ hand }) => {
    const h = hand();
    const created = await h.create('c', texts(1, 3));
    const outcome = applied(await h.put('c', ['n1', 'n2']), 'put');
    same(outcome.extent, { epoch: created.extent.epoch, first: 4, next: 6, packedTo: 4 }, 'extent');
    equal(outcome.receipt.messageCount, 2, 'messageCount');
    equal(outcome.receipt.created, false, 'created');
    const stored = await h.stored('c');
    same(
      stored.bodies.map(({ seq }) => seq),
      [4, 5],
      'sequences',
    );
  },
  'driver: outcomes of a batch come in its order, each write decided alone': async ({ hand }) => {
    const h = hand();
    await h.create('a', ['a1']);
    await h.create('b', ['b1'], { owner: 'bob' });
    await h.create('d', ['d1']);
    const outcomes = await h.sendAll([
      h.prepare('append', 'a', ['a2']),
      h.prepare('append', 'missing', ['x']),
      h.prepare('append', 'b', ['b2'], { owner: 'ann' }),
      h.prepare('append', 'd', ['d2'], { expectedVersion: 1 }),
    ]);
    same(
      outcomes.map((o) => o.kind),
      ['ok', 'missing', 'forbidden', 'conflict'],
      'outcomes',
    );
    same(await h.texts('a'), ['a1', 'a2'], 'the one that was allowed');
    same(await h.texts('b'), ['b1'], 'the forbidden one');
    same(await h.texts('d'), ['d1'], 'the one with another version');
    equal(await h.read('missing'), undefined, 'the missing one');
  },
  'driver: a batch of 64 conversations is applied to each': async ({ hand }) => {
    const h = hand();
    const ids = texts(1, 64, 'c');
    for (const id of ids) await h.create(id, ['m1']);
    const outcomes = await h.sendAll(ids.map((id) => h.prepare('append', id, [`of ${id}`])));
    for (const [i, outcome] of outcomes.entries())
      equal(applied(outcome, ids[i] ?? '').receipt.messageCount, 2, `messageCount of ${ids[i]}`);
    for (const id of ids) same(await h.texts(id), ['m1', `of ${id}`], `texts of ${id}`);
  },
  'driver: the order of checks is tombstone, missing, owner, operation, hold, version': async ({ hand }) => {
    const h = hand();
    const operation = { hash: 'op', digest: 'one' };
    await h.create('c', ['m1'], { owner: 'ann', hold: true, operation });
    const wrong = { expectedVersion: 1 };
    const asked: [string, Promise<WriteOutcome>, WriteOutcome['kind']][] = [
      ['missing before version', h.append('none', ['x'], wrong), 'missing'],
      ['owner before operation', h.put('c', ['x'], { owner: 'bob', operation: { hash: 'op', digest: 'two' }, ...wrong }), 'forbidden'],
      ['operation before hold', h.put('c', ['x'], { owner: 'ann', operation: { hash: 'op', digest: 'two' }, ...wrong }), 'reused'],
      ['a known operation before hold and version', h.put('c', ['m1'], { owner: 'ann', operation, ...wrong }), 'duplicate'],
      ['hold before version', h.put('c', ['x'], { owner: 'ann', ...wrong }), 'held'],
      ['version', h.append('c', ['x'], { owner: 'ann', ...wrong }), 'conflict'],
    ];
    for (const [what, outcome, expected] of asked) equal((await outcome).kind, expected, what);
    same(await h.texts('c'), ['m1'], 'nothing was stored');
  },
  'driver: updatedAt and version never go back when a caller’s clock does': async ({ hand, clock }) => {
    const h = hand();
    const created = await h.create('c', ['m1']);
    const outcome = applied(await h.append('c', ['m2'], { now: clock.now() - 60_000 }), 'append');
    equal(outcome.receipt.version, created.receipt.version + 1, 'version');
    equal((await h.header('c')).updatedAt, clock.now(), 'updatedAt');
  },
  'driver: bytes are those of visible bodies and metadata': async ({ hand }) => {
    const h = hand();
    const metadata = '{"a":"é"}';
    await h.create('c', texts(1, 3), { metadata });
    equal((await h.header('c')).bytes, bytesOf(texts(1, 3)) + Buffer.byteLength(metadata), 'after the first write');
    await h.append('c', ['a longer text'], { metadata: '{"b":[1,2]}' });
    const merged = Buffer.byteLength('{"a":"é","b":[1,2]}');
    equal((await h.header('c')).bytes, bytesOf([...texts(1, 3), 'a longer text']) + merged, 'after an append');
    await h.append('c', ['m5'], { maxMessages: 2 });
    equal((await h.header('c')).bytes, bytesOf(['a longer text', 'm5']) + merged, 'after a trim');
    await h.put('c', ['new']);
    equal((await h.header('c')).bytes, bytesOf(['new']) + merged, 'after a put without metadata');
    await h.put('c', ['new'], { metadata: '{}' });
    equal((await h.header('c')).bytes, bytesOf(['new']) + 2, 'after a put with metadata');
  },
  'driver: trace is kept until a write names another': async ({ hand }) => {
    const h = hand();
    await h.create('c', ['m1'], { trace: 't1' });
    await h.append('c', ['m2']);
    equal((await h.header('c')).trace, 't1', 'after an append without');
    await h.append('c', ['m3'], { trace: 't2' });
    equal((await h.header('c')).trace, 't2', 'after an append with another');
  },
});
