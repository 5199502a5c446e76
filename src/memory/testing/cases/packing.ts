/**
 * Cases about segments: older messages kept together, compressed.
 *
 * @module
 */
import type { Header, PackOutcome, Stored } from '../../driver.js';
import { unwrap } from '../../result.js';
import { SEGMENT_MESSAGES, unpackSegment } from '../../segment.js';
import { check, equal, eventually, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { faulty } from '../faults.js';
import { bytesOf, type Hand, segmentOf, textIn, texts } from '../hand.js';
import { answering, calling, collect, contents, say } from '../talk.js';

function sizeOf(data: Uint8Array | string): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
}

/** Packs `m<from> … m<to - 1>`. */
async function pack(h: Hand, id: string, from: number, to: number, epoch?: number): Promise<PackOutcome> {
  return h.pack({ id, epoch: epoch ?? (await h.header(id)).epoch, from, to, data: await segmentOf(h.driver, texts(from, to - 1)) });
}

/** Sequences and texts of everything that was read, segments unpacked and cut to what is visible. */
async function unpacked({ header, bodies, segments }: Stored): Promise<string> {
  const all: string[] = [];
  for (const segment of segments) {
    (await unpackSegment(segment)).forEach((body, i) => {
      if (segment.from + i >= header.first) all.push(`${segment.from + i}=${textIn(body)}`);
    });
  }
  return [...all, ...bodies.map(({ seq, body }) => `${seq}=${textIn(body)}`)].join(' ');
}

/** What packing must not change. */
function visible(header: Header): Omit<Header, 'packedTo' | 'bytes'> {
  const { packedTo: _packedTo, bytes: _bytes, ...rest } = header;
  return rest;
}

const run = (from: number, to: number): string =>
  texts(from, to)
    .map((text) => `${text.slice(1)}=${text}`)
    .join(' ');

/** Cases about segments: older messages kept together, compressed. */
export const packingCases: readonly Case[] = defineCases('packing', {
  'a compressed conversation reads as any other, in every way of reading': async ({ provider, hand }) => {
    const messages = [...say(1, 250), calling('k1'), answering('k1'), ...say(253, 600)];
    const plain = provider();
    unwrap(await plain.storeMessages('plain', messages));
    const p = provider({ compressionThreshold: 20 });
    unwrap(await p.storeMessages('c', messages.slice(0, 100)));
    for (let n = 100; n < 600; n += 50) unwrap(await p.appendMessages('c', messages.slice(n, n + 50)));
    const receipt = unwrap(await p.appendMessages('c', [], { k: 1 }));
    await eventually('packing', async () => (await hand().header('c')).packedTo > SEGMENT_MESSAGES);
    await p.close();
    const header = await hand().header('c');
    check(header.packedTo <= 601 - 20, `the newest 20 stay unpacked, packed up to ${header.packedTo}`);
    equal(header.version, receipt.version, 'version: packing is no write');

    const whole = present(await plain.getConversation('c'), 'conversation');
    same(whole.messages, messages, 'getConversation');
    equal(whole.messageCount, 600, 'messageCount');
    for (const limit of [0, 1, 19, 20, 21, 100, 349, 350, 351, 599, 600, 601]) {
      same(await plain.getRecentMessages('c', limit), await plain.getRecentMessages('plain', limit), `getRecentMessages ${limit}`);
      same(
        (await plain.getConversation('c', { messageLimit: limit }))?.messages,
        (await plain.getConversation('plain', { messageLimit: limit }))?.messages,
        `messageLimit ${limit}`,
      );
    }
    for (const range of [
      {},
      { after: 100 },
      { after: 127, limit: 3 },
      { after: 128, before: 131 },
      { before: 130, limit: 5 },
      { before: 600 },
      { after: 598 },
      { limit: 1000 },
    ]) {
      same(await plain.getMessages('c', range), await plain.getMessages('plain', range), `getMessages ${JSON.stringify(range)}`);
    }
    for await (const one of plain.iterateConversations({ conversationId: 'c' })) same(one.messages, messages, 'iterateConversations');
    for (const one of await collect(plain.iterateConversations()))
      same(one.messages, messages, `iterateConversations, ${one.conversationId}`);
    equal((await plain.getStats()).totalMessages, 1200, 'getStats');
  },
  'a compressed conversation can be appended to, trimmed, replaced and deleted': async ({ provider, hand }) => {
    const p = provider({ compressionThreshold: 10 });
    for (let n = 1; n <= 400; n += 100) unwrap(await p.appendMessages('c', say(n, n + 99), undefined, { createIfMissing: true }));
    await eventually('packing', async () => (await hand().header('c')).packedTo > 1);
    await p.close();
    const q = provider();
    equal(unwrap(await q.appendMessages('c', say(401, 401))).messageCount, 401, 'messageCount after an append');
    equal(
      unwrap(await q.appendMessages('c', say(402, 402), undefined, { maxMessages: 300 })).messageCount,
      300,
      'messageCount after a trim',
    );
    same(contents((await q.getConversation('c'))?.messages), texts(103, 402), 'messages after a trim into a segment');
    unwrap(await q.appendMessages('c', [], { a: 1 }, { maxMessages: 5 }));
    same(contents((await q.getConversation('c'))?.messages), texts(398, 402), 'messages after a trim beyond the segments');
    unwrap(await q.storeMessages('c', say(1, 2, 'n')));
    same(contents((await q.getConversation('c'))?.messages), ['n1', 'n2'], 'messages after a replacement');
    equal(await q.deleteConversation('c'), true, 'deleted');
    equal(await q.getConversation('c'), undefined, 'conversation');
  },
  'a pack whose reply or request is lost does no harm': async ({ provider, driver, hand }) => {
    const lossy = faulty(driver, ({ operation, nth }) =>
      operation !== 'pack' || nth > 4 ? 'pass' : nth % 2 === 1 ? 'lose-reply' : 'lose-request',
    );
    const p = provider({ compressionThreshold: 10 }, lossy);
    for (let n = 1; n <= 600; n += 150) unwrap(await p.appendMessages('c', say(n, n + 149), undefined, { createIfMissing: true }));
    await eventually('packing', async () => (await hand().header('c')).packedTo > 1);
    unwrap(await p.appendMessages('c', say(601, 700)));
    await p.close();
    same(contents((await provider().getConversation('c'))?.messages), texts(1, 700), 'messages');
  },

  'driver: packing swaps bodies for a segment and changes nothing else': async ({ hand, driver, clock }) => {
    const h = hand();
    await h.create('c', texts(1, 10), { metadata: '{"a":1}' });
    const before = await h.header('c');
    clock.advance(1000);
    equal(await pack(h, 'c', 1, 5), 'ok', 'first pack');
    equal(await pack(h, 'c', 5, 8), 'ok', 'second pack');
    const stored = await h.stored('c');
    same(visible(stored.header), visible(before), 'header');
    equal(stored.header.packedTo, 8, 'packedTo');
    same(
      stored.segments.map(({ from, to }) => [from, to]),
      [
        [1, 5],
        [5, 8],
      ],
      'segments',
    );
    same(
      stored.bodies.map(({ seq }) => seq),
      [8, 9, 10],
      'bodies that are not in a segment',
    );
    equal(await unpacked(stored), run(1, 10), 'messages');
    const packed = sizeOf(await segmentOf(driver, texts(1, 4))) + sizeOf(await segmentOf(driver, texts(5, 7)));
    equal(stored.header.bytes, packed + bytesOf(texts(8, 10)) + 7, 'bytes: of segments, unpacked bodies and metadata');
    equal((await h.stats()).bytes, stored.header.bytes, 'bytes in the totals');
    equal((await h.stats()).messages, 10, 'messages in the totals');
  },
  'driver: a window brings the segments that overlap it and the bodies it means': async ({ hand }) => {
    const h = hand();
    await h.create('c', texts(1, 12));
    for (const [from, to] of [
      [1, 4],
      [4, 7],
      [7, 10],
    ] as const)
      equal(await pack(h, 'c', from, to), 'ok', `pack ${from}..${to}`);
    const asked = [
      [{ kind: 'none' }, [], []],
      [{ kind: 'all' }, [1, 4, 7], [10, 11, 12]],
      [{ kind: 'last', count: 2 }, [], [11, 12]],
      [{ kind: 'last', count: 3 }, [], [10, 11, 12]],
      [{ kind: 'last', count: 4 }, [7], [10, 11, 12]],
      [{ kind: 'last', count: 7 }, [4, 7], [10, 11, 12]],
      [{ kind: 'after', seq: 3, limit: 3 }, [4], []],
      [{ kind: 'after', seq: 3, limit: 4 }, [4, 7], []],
      [{ kind: 'after', seq: 8, limit: 3 }, [7], [10, 11]],
      [{ kind: 'after', seq: 5, before: 7, limit: 9 }, [4], []],
      [{ kind: 'before', seq: 4, limit: 9 }, [1], []],
      [{ kind: 'before', seq: 5, limit: 2 }, [1, 4], []],
      [{ kind: 'before', seq: 11, limit: 1 }, [], [10]],
    ] as const;
    for (const [window, segments, bodies] of asked) {
      const stored = await h.stored('c', window);
      same(
        stored.segments.map(({ from }) => from),
        [...segments],
        `segments with ${JSON.stringify(window)}`,
      );
      same(
        stored.bodies.map(({ seq }) => seq),
        [...bodies],
        `bodies with ${JSON.stringify(window)}`,
      );
      same((await h.walk({ window }))[0], stored, `in a list with ${JSON.stringify(window)}`);
    }
  },
  'driver: a pack is stale when packedTo is not where it begins, or it begins below first': async ({ hand }) => {
    const h = hand();
    await h.create('c', texts(1, 10));
    equal(await pack(h, 'c', 3, 5), 'stale', 'a gap');
    equal(await pack(h, 'c', 1, 5), 'ok', 'in order');
    equal(await pack(h, 'c', 1, 5), 'stale', 'the same again');
    equal(await pack(h, 'c', 3, 7), 'stale', 'an overlap');
    await h.append('c', ['m11'], { maxMessages: 4 });
    equal(await pack(h, 'c', 5, 8), 'stale', 'when a trim went beyond its beginning');
    same(await h.texts('c'), texts(8, 11), 'texts');
    equal((await h.header('c')).packedTo, 8, 'packedTo after the trim');
    equal(await pack(h, 'c', 8, 10), 'ok', 'from there');
    equal(await unpacked(await h.stored('c')), run(8, 11), 'messages');
    equal(await pack(h, 'none', 1, 3, 1), 'stale', 'of a conversation that is not there');
  },
  'driver: a pack does not cross into another life': async ({ hand, driver, clock }) => {
    const h = hand();
    const { epoch } = (await h.create('c', texts(1, 10, 'old'))).extent;
    const data = await segmentOf(driver, texts(1, 5, 'old'));
    const old = { id: 'c', epoch, from: 1, to: 6, data };
    await h.remove('c');
    equal(await h.pack(old), 'stale', 'while there is none');
    await h.create('c', texts(1, 10));
    equal(await h.pack(old), 'stale', 'in the next life');
    equal(await unpacked(await h.stored('c')), run(1, 10), 'messages of the next life');
    await h.create('over', texts(1, 10, 'old'), { ttl: 5 });
    const over = { ...old, id: 'over', epoch: (await h.header('over')).epoch };
    clock.advance(5);
    await h.create('over', texts(1, 10));
    equal(await h.pack(over), 'stale', 'when the old life expired');
    equal(await unpacked(await h.stored('over')), run(1, 10), 'its messages');
  },
  'driver: a replacement leaves the segments behind': async ({ hand }) => {
    const h = hand();
    await h.create('c', texts(1, 10));
    const { epoch } = await h.header('c');
    equal(await pack(h, 'c', 1, 6), 'ok', 'pack');
    await h.put('c', texts(11, 15));
    const stored = await h.stored('c');
    same([stored.header.first, stored.header.packedTo, stored.segments], [11, 11, []], 'first, packedTo, segments');
    equal(stored.header.bytes, bytesOf(texts(11, 15)) + 2, 'bytes');
    equal(await pack(h, 'c', 6, 9, epoch), 'stale', 'a pack planned before');
    equal(await pack(h, 'c', 11, 13), 'ok', 'a pack planned after');
    equal(await unpacked(await h.stored('c')), run(11, 15), 'messages');
  },
  'driver: a trim into a segment keeps it whole until its last message is gone': async ({ hand, driver }) => {
    const h = hand();
    await h.create('c', texts(1, 10));
    equal(await pack(h, 'c', 1, 5), 'ok', 'pack');
    const segment = sizeOf(await segmentOf(driver, texts(1, 4)));
    await h.append('c', ['m11'], { maxMessages: 8 });
    const partly = await h.stored('c');
    same([partly.header.first, partly.header.packedTo, partly.segments.length], [4, 5, 1], 'first, packedTo, segments');
    equal(await unpacked(partly), run(4, 11), 'messages');
    equal(partly.header.bytes, segment + bytesOf(texts(5, 11)) + 2, 'bytes');
    await h.append('c', ['m12'], { maxMessages: 8 });
    const wholly = await h.stored('c');
    same([wholly.header.first, wholly.header.packedTo, wholly.segments], [5, 5, []], 'first, packedTo, segments when it is gone');
    equal(wholly.header.bytes, bytesOf(texts(5, 12)) + 2, 'bytes when it is gone');
  },
  'driver: packing beside appends loses nothing': async ({ hand }) => {
    const h = hand();
    await h.create('c', texts(1, 20));
    const { epoch } = await h.header('c');
    const appends = async (): Promise<void> => {
      const writer = hand();
      for (let n = 21; n <= 40; n++) equal((await writer.append('c', [`m${n}`])).kind, 'ok', `append ${n}`);
    };
    const packs = async (): Promise<void> => {
      for (let from = 1; from < 20; from += 5) equal(await pack(h, 'c', from, from + 5, epoch), 'ok', `pack at ${from}`);
    };
    await Promise.all([appends(), packs()]);
    equal(await unpacked(await h.stored('c')), run(1, 40), 'messages');
    equal((await h.header('c')).packedTo, 21, 'packedTo');
  },
});
