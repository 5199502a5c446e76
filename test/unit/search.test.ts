import { createProvider, type MemoryProvider, unwrap, user } from 'jaf/memory';
import { fakeClock, inMemoryBackend } from 'jaf/memory/testing';
import { describe, expect, it } from 'vitest';

/** A provider; `between` runs once between the page of headers and the reading of its bodies. */
async function withInterruption(between: (provider: MemoryProvider) => Promise<unknown>, clock = fakeClock()): Promise<MemoryProvider> {
  const driver = await inMemoryBackend().create(clock);
  const { list } = driver;
  let interrupted = false;
  driver.list = async (...args) => {
    const page = await list.apply(driver, args);
    if (!interrupted && page.items.length > 0) {
      interrupted = true;
      await between(provider);
    }
    return page;
  };
  const provider = createProvider(driver, { clock: clock.now });
  unwrap(await provider.storeMessages('c', [user('of u1')], { topic: 't' }, { userId: 'u1' }));
  return provider;
}

describe('a search that decides on headers and then reads the winners', () => {
  const query = { userId: 'u1', metadata: { topic: 't' } };

  it('finds them', async () => {
    const provider = await withInterruption(() => Promise.resolve());
    expect((await provider.findConversations(query)).map((c) => c.messages)).toEqual([[user('of u1')]]);
  });

  it('leaves out what was deleted meanwhile', async () => {
    const provider = await withInterruption((p) => p.deleteConversation('c'));
    expect(await provider.findConversations(query)).toEqual([]);
  });

  it('does not give out what began another life under another owner meanwhile', async () => {
    const provider = await withInterruption(async (p) => {
      await p.deleteConversation('c');
      unwrap(await p.storeMessages('c', [user('of u2')], { topic: 't' }, { userId: 'u2' }));
    });
    expect(await provider.findConversations(query)).toEqual([]);
  });

  it('puts what was written meanwhile where its new time belongs', async () => {
    const clock = fakeClock();
    const provider = await withInterruption(async (p) => {
      clock.advance(1);
      unwrap(await p.appendMessages('c', [user('more')]));
    }, clock);
    clock.advance(1);
    unwrap(await provider.storeMessages('later', [user('of u1')], { topic: 't' }, { userId: 'u1' }));
    const newest = await provider.findConversations(query);
    expect(newest.map((c) => [c.conversationId, c.messages.length])).toEqual([
      ['c', 2],
      ['later', 1],
    ]);
    expect((await provider.findConversations({ ...query, order: 'oldest' })).map((c) => c.conversationId)).toEqual(['later', 'c']);
  });
});
