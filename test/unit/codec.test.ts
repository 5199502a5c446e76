import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/memory/canonical.js';
import { DamagedError, decodeMessage, encodeMessage } from '../../src/memory/codec.js';
import { packSegment, SEGMENT_BYTES, SEGMENT_MESSAGES, segmentLength, unpackSegment } from '../../src/memory/segment.js';
import type { Message } from '../../src/memory/types.js';

const message = fc.record({
  role: fc.constantFrom('user' as const, 'assistant' as const),
  content: fc.string({ unit: 'binary' }),
  extra: fc.json().map((j) => JSON.parse(j)),
});

describe('bodies', () => {
  it('return any message exactly', () => {
    fc.assert(
      fc.property(message, (m) => {
        const body = encodeMessage(m);
        expect(encodeMessage(m).bytes).toBe(Buffer.byteLength(body.text)); // counted before it was text
        expect(body.bytes).toBe(Buffer.byteLength(body.text));
        expect(decodeMessage({ text: body.text, bytes: body.bytes })).toEqual(JSON.parse(JSON.stringify(m)));
      }),
    );
  });

  it('hold no lone surrogate and no U+0000 as text, whatever the content', () => {
    const { text } = encodeMessage({ role: 'user', content: '\0 \ud800 \udfff' });
    expect(text.isWellFormed()).toBe(true);
    expect(text).not.toContain('\0');
    expect(decodeMessage({ text, bytes: 0 }).content).toBe('\0 \ud800 \udfff');
  });

  it('keep __proto__ an ordinary key', () => {
    const m = JSON.parse('{"role":"user","content":"x","__proto__":{"polluted":1}}') as Message;
    const back = decodeMessage({ text: encodeMessage(m).text, bytes: 0 });
    expect(Object.keys(back)).toContain('__proto__');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('are deeply frozen', () => {
    const { text } = encodeMessage({ role: 'user', content: [{ type: 'text', text: 'a' }] });
    const back = decodeMessage({ text, bytes: 0 });
    expect(Object.isFrozen(back) && Object.isFrozen(back.content) && Object.isFrozen((back.content as readonly object[])[0])).toBe(true);
  });

  it('with any flipped bit are a typed error, never another message', () => {
    const { text } = encodeMessage({ role: 'user', content: 'The code is 1234.' });
    const bytes = Buffer.from(text);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = Buffer.from(bytes);
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => decodeMessage({ text: copy.toString('utf8'), bytes: copy.length }), `bit ${bit}`).toThrow(DamagedError);
    }
  });
});

describe('segments', () => {
  it.each(['deflate', 'text'] as const)(
    'are not made of a damaged body, whose own checksum nobody would look at again (%s)',
    async (form) => {
      const { text } = encodeMessage({ role: 'user', content: 'The code is 1234.' });
      const damaged = text.replace('1234', '1235');
      await expect(packSegment([{ text: damaged, bytes: damaged.length }], form)).rejects.toThrow(DamagedError);
      await expect(packSegment([{ text, bytes: text.length }], form)).resolves.toBeDefined();
    },
  );

  const bodies = Array.from({ length: 20 }, (_, i) => encodeMessage({ role: 'user', content: `message ${i} äöü 🎉` }));

  for (const form of ['deflate', 'text'] as const) {
    it(`return their bodies exactly (${form})`, async () => {
      const data = await packSegment(bodies, form);
      expect((await unpackSegment({ from: 5, to: 25, data })).map((b) => b.text)).toEqual(bodies.map((b) => b.text));
    });

    it(`with a flipped bit are a typed error (${form})`, async () => {
      const data = await packSegment(bodies, form);
      const bytes = Buffer.from(data as string);
      for (let bit = 0; bit < bytes.length * 8; bit += 7) {
        const copy = Buffer.from(bytes);
        copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const damaged = form === 'text' ? copy.toString('utf8') : copy;
        await expect(unpackSegment({ from: 5, to: 25, data: damaged }), `bit ${bit}`).rejects.toThrow(DamagedError);
      }
    });
  }

  it('of another length than the store says are a typed error', async () => {
    const data = await packSegment(bodies, 'deflate');
    await expect(unpackSegment({ from: 5, to: 24, data })).rejects.toThrow(DamagedError);
    await expect(unpackSegment({ from: 5, to: 25, data: new Uint8Array(3) })).rejects.toThrow(DamagedError);
  });

  it('close at 128 messages or 1 MB, and take at least one', () => {
    const small = Array.from({ length: 500 }, () => ({ text: '', bytes: 400 }));
    expect(segmentLength(small)).toBe(SEGMENT_MESSAGES);
    expect(
      segmentLength([
        { text: '', bytes: SEGMENT_BYTES * 10 },
        { text: '', bytes: 1 },
      ]),
    ).toBe(1);
    expect(segmentLength(Array.from({ length: 10 }, () => ({ text: '', bytes: SEGMENT_BYTES / 4 })))).toBe(4);
  });
});

describe('canonical JSON', () => {
  it('is the same text whatever the order of keys', () => {
    expect(canonicalJson({ b: [1, { d: 1e21, c: -0 }], a: 'é' })).toBe('{"a":"é","b":[1,{"c":0,"d":1e+21}]}');
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
        const shuffled = Object.fromEntries(Object.entries(object).reverse());
        expect(canonicalJson(shuffled)).toBe(canonicalJson(object));
        expect(JSON.parse(canonicalJson(object))).toEqual(JSON.parse(JSON.stringify(object)));
      }),
    );
  });
});
