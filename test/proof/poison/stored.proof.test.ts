// Bits that flip in stored bodies and segments: one typed error, which names conversation and sequence, and the rest stays readable.
import fc from 'fast-check';
import { createProvider, MemoryStorageError, textOf, unwrap, user } from 'jaf/memory';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Stored } from '../../../src/memory/driver.js';
import { variant } from '../../../src/memory/testing/broken/broken.js';
import { BACKENDS, type Running, startBackend } from '../model/backends.js';
import { found } from '../support/results.js';
import { options, RUNS } from './fuzz.js';

// two segments of 128, and bodies behind them
const TEXTS = Array.from({ length: 300 }, (_, n) => `message ${n} é😀 ${'y'.repeat(n % 60)}`);

/** What is damaged: a body, or the segment of several. Sequences. */
interface Place {
  readonly from: number;
  /** Behind the last one. */
  readonly to: number;
}

const placesOf = (stored: Stored): Place[] => [
  ...stored.segments.map(({ from, to }) => ({ from, to })),
  ...stored.bodies.map(({ seq }) => ({ from: seq, to: seq + 1 })),
];

describe.each(BACKENDS.filter((name) => !/cluster|ioredis|pgbouncer/.test(name)))('stored bodies and segments of %s', (name) => {
  let running: Running;
  beforeAll(async () => {
    running = await startBackend(name);
  }, 120_000);
  afterAll(() => running?.stop());

  it('a bit that flipped is one typed error that names the conversation and the message; the rest is readable', {
    timeout: 0,
  }, async () => {
    const [driver] = await running.open(0, Date.now);
    if (!driver) throw new Error('no driver');
    let flip: ((stored: Stored) => Stored) | undefined;
    const damaged = variant(driver, {
      read: async (read, trip) => {
        const stored = await driver.read(read, trip);
        return stored && flip ? flip(stored) : stored;
      },
    });
    const provider = createProvider(damaged);
    for (const texts of [TEXTS.slice(0, 140), TEXTS.slice(140)])
      unwrap(
        await provider.appendMessages(
          'flips',
          texts.map((t) => user(t)),
          undefined,
          { createIfMissing: true, compressionThreshold: 20 },
        ),
      );
    const places = await vi.waitFor(async () => {
      const stored = await driver.read({ id: 'flips', now: Date.now(), window: { kind: 'all' } }, { timeout: 5000 });
      // packing comes after the write
      if (stored?.segments.length !== 2) throw new Error('not packed yet');
      return placesOf(stored);
    }, 10_000);
    const textsOf = async (window: { after?: number; before?: number }): Promise<string[]> =>
      (await provider.getMessages('flips', { ...window, limit: 1000 })).items.map(({ message }) => textOf(message));
    let named = 0;
    let harmless = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: places.length - 1 }), fc.nat(), fc.nat({ max: 7 }), async (which, at, bit) => {
        const { from, to } = places[which] as Place;
        flip = (stored) => damage(stored, from, at, bit);
        const read = await provider.getConversation('flips').catch((error: unknown) => error);
        if (!(read instanceof Error)) {
          // a flip may hit what carries no meaning
          expect((read as { messages: [] }).messages.map(textOf)).toEqual(TEXTS);
          harmless++;
          return;
        }
        expect(read).toBeInstanceOf(MemoryStorageError);
        expect(read).toMatchObject({ code: 'corrupt' });
        expect(read.message).toContain(`message ${from} of conversation "flips" is damaged`);
        expect(await textsOf({ before: from })).toEqual(TEXTS.slice(0, from - 1));
        expect(await textsOf({ after: to - 1 })).toEqual(TEXTS.slice(to - 1));
        named++;
      }),
      { ...options, numRuns: Math.min(RUNS, 1000) },
    );
    flip = undefined;
    expect((await provider.getConversation('flips'))?.messages.map(textOf)).toEqual(TEXTS);
    expect(named).toBeGreaterThan(0);
    found({
      part: 'poison',
      backend: name,
      what: 'bits flipped in bodies and segments',
      numbers: { flips: named + harmless, 'named errors': named, harmless, 'wrong answers': 0 },
    });
    await provider.close();
  });
});

/** A bit of the body or segment that begins at a sequence, if the read has it. */
function damage(stored: Stored, from: number, at: number, bit: number): Stored {
  const inBytes = (bytes: Buffer): Buffer => {
    const place = at % bytes.length;
    bytes[place] = (bytes[place] ?? 0) ^ (1 << bit);
    return bytes;
  };
  const inText = (text: string): string => inBytes(Buffer.from(text)).toString();
  return {
    ...stored,
    bodies: stored.bodies.map((one) => {
      if (one.seq !== from) return one;
      const text = inText(one.body.text);
      return { seq: one.seq, body: { text, bytes: Buffer.byteLength(text) } };
    }),
    segments: stored.segments.map((segment) => {
      if (segment.from !== from) return segment;
      return { ...segment, data: typeof segment.data === 'string' ? inText(segment.data) : inBytes(Buffer.from(segment.data)) };
    }),
  };
}
