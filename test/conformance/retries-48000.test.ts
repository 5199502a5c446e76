import { createProvider, textOf, unwrap, user } from 'jaf/memory';
import { type Backend, fakeClock, faulty, inMemoryBackend, keepOpen, randomLosses, type Schedule, sqliteBackend } from 'jaf/memory/testing';
import { describe, expect, it } from 'vitest';

const WRITERS = 4;
const PER_WRITER = 12_000;
/** Calls of one writer at once: below the limit of writes that may wait. */
const WAVE = 2_000;

async function lossyAppends(backend: Backend): Promise<void> {
  const clock = fakeClock();
  const driver = await backend.create(clock);
  try {
    await driver.open();
    let replies = 0;
    let requests = 0;
    const writers = Array.from({ length: WRITERS }, (_, w) => {
      const losses = randomLosses({ seed: 48_000 + w, replies: 0.02, requests: 0.01 });
      const schedule: Schedule = (trip) => {
        const fault = losses(trip);
        if (fault === 'lose-reply') replies++;
        if (fault === 'lose-request') requests++;
        return fault;
      };
      return createProvider(faulty(keepOpen(driver), schedule), { clock: clock.now, deadline: 300_000 });
    });
    const reader = createProvider(keepOpen(driver), { clock: clock.now });
    unwrap(await reader.storeMessages('c', []));

    await Promise.all(
      writers.map(async (provider, w) => {
        for (let from = 0; from < PER_WRITER; from += WAVE) {
          const wave = Array.from({ length: WAVE }, (_, n) => provider.appendMessages('c', [user(`${w}:${from + n}`)]));
          for (const result of await Promise.all(wave)) unwrap(result);
        }
      }),
    );

    const seen = Array.from({ length: WRITERS }, () => 0);
    let after = 0;
    for (;;) {
      const { items, hasMore } = await reader.getMessages('c', { after, limit: 1000 });
      for (const { seq, message } of items) {
        expect(seq).toBe(after + 1);
        after = seq;
        const [w = -1, n] = textOf(message).split(':').map(Number);
        // the next one of its writer: none doubled, none lost, none out of order
        expect(n).toBe(seen[w]);
        seen[w] = (seen[w] ?? 0) + 1;
      }
      if (!hasMore) break;
    }
    expect(seen).toEqual(Array.from({ length: WRITERS }, () => PER_WRITER));
    expect(after).toBe(WRITERS * PER_WRITER);
    expect(replies).toBeGreaterThan(500);
    expect(requests).toBeGreaterThan(200);
    console.log(
      `${backend.name}: ${after} appends by ${WRITERS} writers, ${replies} replies and ${requests} requests lost, none doubled, none lost`,
    );
    for (const provider of [...writers, reader]) await provider.close();
  } finally {
    await driver.close();
    await backend.destroy();
  }
}

describe('48,000 appends by 4 writers to one conversation, replies lost at random', () => {
  for (const backend of [inMemoryBackend(), sqliteBackend()]) {
    it(`${backend.name}: none doubled, none lost`, { timeout: 300_000 }, () => lossyAppends(backend));
  }
});
