import { createProvider, eraseUser, type MemoryProvider, unwrap, user } from 'jaf/memory';
import { type FakeClock, fakeClock, faulty, inMemoryBackend } from 'jaf/memory/testing';
import { describe, expect, it } from 'vitest';

const audit = { append: () => Promise.resolve({ hash: 'none' }) };

/** A store with a conversation that is over in a second, whose connection is refused for the last step of removals. */
async function withRefusals(): Promise<{ provider: MemoryProvider; clock: FakeClock }> {
  const clock = fakeClock();
  const driver = await inMemoryBackend().create(clock);
  const isLast = (request: unknown): boolean => (request as { kind?: string }).kind === 'reap';
  const unreliable = faulty(driver, ({ operation, args }) => (operation === 'purge' && isLast(args[0]) ? 'fail' : 'pass'));
  const provider = createProvider(unreliable, { clock: clock.now, deadline: 100 });
  unwrap(await provider.storeMessages('c', [user('x')], undefined, { userId: 'u', ttl: 1 }));
  return { provider, clock };
}

describe('a removal of several steps that fails', () => {
  it('says that nothing happened when nothing did', async () => {
    const { provider } = await withRefusals();
    await expect(provider.purgeExpired()).rejects.toMatchObject({ name: 'MemoryConnectionError', outcome: 'not_applied' });
  });

  it('does not say so when something was removed', async () => {
    const { provider, clock } = await withRefusals();
    clock.advance(2000);
    await expect(provider.purgeExpired()).rejects.toMatchObject({ name: 'MemoryConnectionError', outcome: 'unknown' });
  });

  it('does not say so of an erasure whose bar stands', async () => {
    const { provider } = await withRefusals();
    await expect(eraseUser(provider, 'u', { audit })).rejects.toMatchObject({ name: 'MemoryConnectionError', outcome: 'unknown' });
    expect(await provider.storeMessages('n', [user('x')], undefined, { userId: 'u' })).toMatchObject({
      ok: false,
      error: { code: 'erased' },
    });
  });
});
