import { inspect } from 'node:util';
import { createConversation, createInMemoryProvider, createSqliteProvider, MemoryValidationError, unwrap, user } from 'jaf/memory';
import { describe, expect, it } from 'vitest';

describe('what should have been an id', () => {
  const provider = createInMemoryProvider();
  const cycle: { self?: unknown; secret: string } = { secret: 'hunter2' };
  cycle.self = cycle;

  it.each([
    ['an object', { secret: 'hunter2' }],
    ['a cycle', cycle],
    ['a bigint', 1n],
    ['nothing', undefined],
    ['a text far too long', 'x'.repeat(1_000_000)],
  ])('is refused and not repeated in the error: %s', async (_name, id) => {
    const calls = [
      provider.appendMessages(id as never, []).then((r) => (r.ok ? undefined : r.error)),
      provider.storeMessages(id as never, []).then((r) => (r.ok ? undefined : r.error)),
      provider.restoreConversation({ conversationId: id } as never, { onConflict: 'fail' }).then((r) => (r.ok ? undefined : r.error)),
      provider.getConversation(id as never).catch((error: unknown) => error),
      provider.getRecentMessages(id as never).catch((error: unknown) => error),
      provider.deleteConversation(id as never).catch((error: unknown) => error),
      provider.clearUserConversations(id as never).catch((error: unknown) => error),
    ];
    for (const error of await Promise.all(calls)) {
      expect(error).toBeInstanceOf(MemoryValidationError);
      expect(inspect(error)).not.toContain('hunter2');
      expect((error as Error).message.length).toBeLessThan(2000);
    }
  });
});

describe('wrong arguments of writes', () => {
  const provider = createInMemoryProvider();
  it.each([
    ['messages', () => provider.storeMessages('c', 'hello' as never), /messages: expected an array, got a string/],
    ['metadata', () => provider.storeMessages('c', [], null as never), /metadata: expected an object, got null/],
    ['options', () => provider.storeMessages('c', [], {}, 'x' as never), /options: expected an object, got a string/],
    [
      'an unknown option',
      () => provider.storeMessages('c', [], {}, { createIfMissing: true } as never),
      /options\.createIfMissing: no such option/,
    ],
    ['a signal', () => provider.storeMessages('c', [], {}, { signal: {} as never }), /options\.signal: expected an AbortSignal/],
    [
      'a null snapshot',
      () => provider.restoreConversation(null as never, { onConflict: 'fail' }),
      /snapshot: expected an object, got null/,
    ],
    [
      'onConflict',
      () => provider.restoreConversation({ ...createConversation({ conversationId: 'c' }), firstSeq: 1 }, undefined as never),
      /options\.onConflict: expected skip, replace or fail, got nothing/,
    ],
  ])('%s', async (_name, call, message) => {
    const result = await call();
    expect(result.ok).toBe(false);
    if (!result.ok) expect(result.error.message).toMatch(message);
    expect(await provider.getConversation('c')).toBeUndefined();
  });
});

it('a clock with fractions gives whole times and versions', async () => {
  let now = 1_700_000_000_000.75;
  for (const provider of [
    createInMemoryProvider({ clock: () => now }),
    await createSqliteProvider({ path: ':memory:', sweep: false, clock: () => now }),
  ]) {
    const { version } = unwrap(await provider.storeMessages('c', [user('a')], undefined, { ttl: 1.0005 }));
    expect(version).toBe(1_700_000_000_000);
    expect((await provider.getConversation('c'))?.expiresAt?.getTime()).toBe(1_700_000_001_001);
    now += 1001;
    expect(await provider.getConversation('c')).toBeUndefined();
    expect(await provider.purgeExpired()).toBe(1);
    await provider.close();
    now -= 1001;
  }
});
