/**
 * Cases about the caller's operation ids.
 *
 * @module
 */
import { OPERATIONS_KEPT } from '../../driver.js';
import { MemoryConflictError } from '../../errors.js';
import { unwrap } from '../../result.js';
import { equal, failed, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { applied, texts } from '../hand.js';
import { contents, say } from '../talk.js';

/** Cases about the caller's operation ids. */
export const operationsCases: readonly Case[] = defineCases('operations', {
  'the same operation again changes nothing and answers the first receipt': async ({ provider, clock }) => {
    const p = provider();
    const first = unwrap(await p.appendMessages('c', say(1, 1), { a: 1 }, { operationId: 'op', createIfMissing: true }));
    equal(first.duplicate, false, 'duplicate of the first');
    unwrap(await p.appendMessages('c', say(2, 2)));
    clock.advance(10);
    for (const again of [p, provider()]) {
      const receipt = unwrap(await again.appendMessages('c', say(1, 1), { a: 1 }, { operationId: 'op', createIfMissing: true }));
      same(receipt, { ...first, duplicate: true }, 'receipt');
    }
    const read = present(await p.getConversation('c'), 'conversation');
    same([contents(read.messages), read.updatedAt.getTime()], [['m1', 'm2'], clock.now() - 10], 'messages and updatedAt');
  },
  'the same operation id with other content is a conflict that writes nothing': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', [], { a: 1 }));
    unwrap(await p.appendMessages('c', say(1, 1), undefined, { operationId: 'op' }));
    const calls = [
      p.appendMessages('c', say(2, 2), undefined, { operationId: 'op' }),
      p.appendMessages('c', say(1, 1), { a: 2 }, { operationId: 'op' }),
      p.storeMessages('c', say(1, 1), undefined, { operationId: 'op' }),
    ];
    for (const call of calls)
      equal(failed(await call, MemoryConflictError, 'operation_reused', 'other content').outcome, 'not_applied', 'outcome');
    const read = present(await p.getConversation('c'), 'conversation');
    same([contents(read.messages), read.metadata], [['m1'], { a: 1 }], 'messages and metadata');
  },
  'storeMessages takes an operation id, too, and it comes before expectedVersion': async ({ provider }) => {
    const p = provider();
    const first = unwrap(await p.storeMessages('c', say(1, 2), undefined, { operationId: 'op', expectedVersion: 0 }));
    unwrap(await p.appendMessages('c', say(3, 3)));
    same(
      unwrap(await p.storeMessages('c', say(1, 2), undefined, { operationId: 'op', expectedVersion: 0 })),
      { ...first, duplicate: true },
      'receipt',
    );
    same(contents((await p.getConversation('c'))?.messages), texts(1, 3), 'messages');
  },
  'the same operation from many providers at once is applied once': async ({ provider }) => {
    const providers = Array.from({ length: 8 }, () => provider());
    const receipts = await Promise.all(
      providers.map(async (p) => unwrap(await p.appendMessages('c', say(1, 2), undefined, { operationId: 'op', createIfMissing: true }))),
    );
    equal(receipts.filter(({ duplicate }) => !duplicate).length, 1, 'receipts that are not duplicates');
    for (const receipt of receipts)
      same([receipt.messageCount, receipt.created, receipt.version], [2, true, receipts[0]?.version], 'receipt');
    same(contents((await provider().getConversation('c'))?.messages), ['m1', 'm2'], 'messages');
  },
  'operation ids are the conversation’s own': async ({ provider }) => {
    const p = provider();
    for (const id of ['a', 'b']) unwrap(await p.storeMessages(id, []));
    for (const id of ['a', 'b'])
      equal(unwrap(await p.appendMessages(id, say(1, 1), undefined, { operationId: 'op' })).duplicate, false, `duplicate at ${id}`);
  },
  'a new life of the conversation knows no operation of the old': async ({ provider }) => {
    const p = provider();
    const write = { operationId: 'op', createIfMissing: true };
    unwrap(await p.appendMessages('c', say(1, 1), undefined, write));
    await p.deleteConversation('c');
    const receipt = unwrap(await p.appendMessages('c', say(1, 1), undefined, write));
    same([receipt.duplicate, receipt.created, receipt.messageCount], [false, true, 1], 'duplicate, created, messageCount');
  },

  'driver: the newest operations are remembered, among any number of other writes': async ({ hand }) => {
    const h = hand();
    await h.create('c', []);
    const op = (n: number): { hash: string; digest: string } => ({ hash: `h${n}`, digest: `d${n}` });
    const receipts = [];
    for (let n = 1; n <= OPERATIONS_KEPT + 5; n++) {
      receipts.push(applied(await h.append('c', [`m${n}`], { operation: op(n) }), `operation ${n}`).receipt);
      if (n % 5 === 0) await h.append('c', ['between']);
    }
    const count = (await h.header('c')).next;
    for (let n = 6; n <= OPERATIONS_KEPT + 5; n++) {
      same(await h.append('c', [`m${n}`], { operation: op(n) }), { kind: 'duplicate', receipt: receipts[n - 1] }, `operation ${n} again`);
      equal(
        (await h.append('c', ['x'], { operation: { hash: `h${n}`, digest: 'other' } })).kind,
        'reused',
        `operation ${n} with other content`,
      );
    }
    equal((await h.header('c')).next, count, 'nothing was stored');
  },
  'driver: operations outlive a put and a trim': async ({ hand }) => {
    const h = hand();
    const operation = { hash: 'h', digest: 'd' };
    const { receipt } = applied(await h.append('c', ['m1'], { create: true, operation }), 'append');
    await h.put('c', ['n1', 'n2']);
    await h.append('c', ['n3'], { maxMessages: 1 });
    same(await h.append('c', ['m1'], { operation }), { kind: 'duplicate', receipt }, 'again');
    same(await h.texts('c'), ['n3'], 'texts');
  },
  'driver: a refused write leaves no operation behind': async ({ hand }) => {
    const h = hand();
    const operation = { hash: 'h', digest: 'd' };
    const { version } = (await h.create('c', [])).receipt;
    equal((await h.append('c', ['x'], { operation, expectedVersion: version - 1 })).kind, 'conflict', 'with another version');
    equal((await h.append('c', ['m1'], { operation, expectedVersion: version })).kind, 'ok', 'with the version there is');
    equal((await h.append('none', ['x'], { operation })).kind, 'missing', 'at a missing conversation');
    equal((await h.append('none', ['m1'], { operation, create: true })).kind, 'ok', 'when it begins');
  },
});
