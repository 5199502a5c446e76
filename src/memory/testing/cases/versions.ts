/**
 * Cases about versions.
 *
 * @module
 */
import { MemoryConflictError } from '../../errors.js';
import { unwrap } from '../../result.js';
import { check, equal, failed, present, rejects, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { applied } from '../hand.js';
import { contents, say } from '../talk.js';

/** Cases about versions. */
export const versionsCases: readonly Case[] = defineCases('versions', {
  'every write raises the version: to the time, or by one': async ({ provider, clock }) => {
    const p = provider();
    const start = clock.now();
    equal(unwrap(await p.storeMessages('c', say(1, 1))).version, start, 'store');
    equal(unwrap(await p.appendMessages('c', say(2, 2))).version, start + 1, 'append in the same millisecond');
    equal(unwrap(await p.appendMessages('c', [], { a: 1 })).version, start + 2, 'metadata only');
    equal(unwrap(await p.storeMessages('c', say(1, 1))).version, start + 3, 'replace');
    clock.advance(1000);
    equal(unwrap(await p.appendMessages('c', say(3, 3))).version, start + 1000, 'append later');
    equal((await p.getConversation('c'))?.version, start + 1000, 'version as read');
  },
  'a write with the expected version is applied, with another it is a conflict that writes nothing': async ({ provider }) => {
    const p = provider();
    const { version } = unwrap(await p.storeMessages('c', say(1, 1), { a: 1 }));
    const next = unwrap(await p.appendMessages('c', say(2, 2), undefined, { expectedVersion: version })).version;
    for (const result of [
      await p.appendMessages('c', say(3, 3), { a: 2 }, { expectedVersion: version }),
      await p.storeMessages('c', say(3, 3), { a: 2 }, { expectedVersion: version }),
    ]) {
      const error = failed(result, MemoryConflictError, 'version', 'an old version');
      same([error.expectedVersion, error.actualVersion, error.outcome], [version, next, 'not_applied'], 'expected, actual, outcome');
    }
    const read = present(await p.getConversation('c'), 'conversation');
    same([contents(read.messages), read.metadata, read.version], [['m1', 'm2'], { a: 1 }, next], 'messages, metadata, version');
  },
  'expectedVersion 0 means: there must be none': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 1), undefined, { expectedVersion: 0 }));
    failed(await p.storeMessages('c', say(2, 2), undefined, { expectedVersion: 0 }), MemoryConflictError, 'version', 'store');
    failed(
      await p.appendMessages('c', say(2, 2), undefined, { expectedVersion: 0, createIfMissing: true }),
      MemoryConflictError,
      'version',
      'append',
    );
    same(contents((await p.getConversation('c'))?.messages), ['m1'], 'messages');
    const error = failed(
      await p.storeMessages('none', say(1, 1), undefined, { expectedVersion: 7 }),
      MemoryConflictError,
      'version',
      'a version of nothing',
    );
    equal(error.actualVersion, 0, 'actualVersion');
    equal(await p.getConversation('none'), undefined, 'none');
  },
  'deleteConversation takes an expected version': async ({ provider }) => {
    const p = provider();
    const { version } = unwrap(await p.storeMessages('c', say(1, 1)));
    const error = await rejects(
      p.deleteConversation('c', { expectedVersion: version + 1 }),
      MemoryConflictError,
      'version',
      'another version',
    );
    equal(error.actualVersion, version, 'actualVersion');
    check((await p.getConversation('c')) !== undefined, 'the conversation is still there');
    equal(await p.deleteConversation('c', { expectedVersion: version }), true, 'the version it has');
  },
  'the version grows over deletion and a new life': async ({ provider }) => {
    const p = provider();
    const old = unwrap(await p.storeMessages('c', say(1, 1))).version;
    await p.deleteConversation('c');
    const young = unwrap(await p.storeMessages('c', say(1, 1))).version;
    check(young > old, `version ${young} of the new life against ${old} of the old`);
    failed(await p.appendMessages('c', say(2, 2), undefined, { expectedVersion: old }), MemoryConflictError, 'version', 'the old version');
  },
  'of writers that expect the same version, one wins': async ({ provider }) => {
    const providers = Array.from({ length: 10 }, () => provider());
    const first = present(providers[0], 'provider');
    let { version } = unwrap(await first.storeMessages('c', []));
    for (let round = 1; round <= 5; round++) {
      const expectedVersion = version;
      const results = await Promise.all(
        providers.map((p, n) => p.appendMessages('c', say(n, n, `r${round}-`), undefined, { expectedVersion })),
      );
      const winners = results.filter((result) => result.ok);
      equal(winners.length, 1, `winners of round ${round}`);
      version = winners[0]?.ok ? winners[0].data.version : 0;
      for (const result of results) {
        if (!result.ok) equal(failed(result, MemoryConflictError, 'version', 'a loser').actualVersion, version, 'actualVersion of a loser');
      }
    }
    equal((await first.getConversation('c'))?.messageCount, 5, 'messageCount');
  },

  'driver: conflicts tell the version there is, 0 when there is none': async ({ hand }) => {
    const h = hand();
    const { version } = (await h.create('c', ['m1'])).receipt;
    same(await h.append('c', ['x'], { expectedVersion: version - 1 }), { kind: 'conflict', actualVersion: version }, 'append');
    same(await h.put('c', ['x'], { expectedVersion: 0 }), { kind: 'conflict', actualVersion: version }, 'put');
    same(await h.put('none', ['x'], { expectedVersion: 3 }), { kind: 'conflict', actualVersion: 0 }, 'put of none');
    same(await h.remove('c', { expectedVersion: version + 1 }), { kind: 'conflict', actualVersion: version }, 'remove');
    equal(applied(await h.append('c', ['m2'], { expectedVersion: version }), 'append').receipt.version, version + 1, 'version after');
    same(await h.texts('c'), ['m1', 'm2'], 'texts');
    await h.remove('c');
    same(await h.put('c', ['x'], { expectedVersion: version + 1 }), { kind: 'conflict', actualVersion: 0 }, 'put after a removal');
    equal((await h.put('c', ['x'], { expectedVersion: 0 })).kind, 'ok', 'put that expects none after a removal');
  },
});
