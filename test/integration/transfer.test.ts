import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import {
  copyConversations,
  type ConversationSnapshot,
  createInMemoryProvider,
  createProvider,
  exportConversations,
  exportLines,
  type ExportOptions,
  importConversations,
  MemoryAbortError,
  type MemoryProvider,
  MemoryStorageError,
  unwrap,
  user,
} from 'jaf/memory';
import { counting, fakeClock, inMemoryBackend } from 'jaf/memory/testing';
import { describe, expect, it } from 'vitest';
import { hasReal, madeConversations, realConversations } from '../support/conversations.js';
import { KINDS, useStores } from '../support/stores.js';

const stores = useStores();
const timestamp = new Date('2026-02-01T00:00:00Z');

async function fill(provider: MemoryProvider, conversations: readonly ConversationSnapshot[]): Promise<void> {
  for (const conversation of conversations) unwrap(await provider.restoreConversation(conversation, { onConflict: 'fail' }));
}
async function lines(provider: MemoryProvider, options: ExportOptions = {}): Promise<string[]> {
  const out: string[] = [];
  for await (const line of exportLines(provider, {}, { timestamp, ...options })) out.push(line);
  return out;
}
/** Known by its public methods only. */
function foreign(provider: MemoryProvider): MemoryProvider {
  const methods = ['restoreConversation', 'getConversation', 'getMessages', 'iterateConversations', 'getStats'] as const;
  return Object.fromEntries(methods.map((name) => [name, (provider[name] as (...args: never[]) => unknown).bind(provider)])) as never;
}

const pairs = KINDS.flatMap((from) => KINDS.map((to) => [from, to] as const));
describe('round trips between every pair of stores', () => {
  const sets = [
    { name: 'made conversations', skip: false, make: madeConversations },
    { name: `recorded conversations${hasReal ? '' : ' (skipped: set JAF_TEST_DATA)'}`, skip: !hasReal, make: realConversations },
  ];
  describe.each(sets)('of $name', ({ skip, make }) => {
    it.skipIf(skip).each(pairs)('%s to %s: the second export is the first, byte for byte', async (a, b) => {
      const [from, to] = [await stores.open(a, {}, 'from'), await stores.open(b, {}, 'to')];
      const conversations = make();
      await fill(from, conversations);
      const first = await lines(from);
      expect(first).toHaveLength(conversations.length + 2);
      const whole = { imported: conversations.length, skipped: 0, failed: [] };
      expect(await importConversations(to, first, { onConflict: 'fail' })).toEqual(whole);
      expect((await lines(to)).join('\n')).toBe(first.join('\n'));
      // the same way back, past a store that is full already
      expect(await importConversations(from, await lines(to), { onConflict: 'skip' })).toEqual({
        ...whole,
        imported: 0,
        skipped: conversations.length,
      });
      expect((await lines(from)).join('\n')).toBe(first.join('\n'));
    });
  });
});

describe('export', () => {
  it('is sorted by id as UTF-8 bytes, counted, and the same through temporary files, which are gone afterwards', async () => {
    const provider = createInMemoryProvider({ maxConversations: 10_000 });
    const ids = Array.from(
      { length: 3000 },
      (_, i) => `${String.fromCodePoint(0x61 + ((i * 7) % 900), 0x1f600 + (i % 80), 0xff00 + (i % 200))}${i}`,
    );
    for (const [i, id] of ids.entries()) unwrap(await provider.storeMessages(id, [user('x'.repeat(i % 300))]));
    const temporary = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('jaf-sort-'));
    const before = temporary();
    const inMemory = await lines(provider);
    const told: (readonly [string, number, number | undefined])[] = [];
    // some 20 conversations in a run, so 150 runs, merged in two levels
    const onDisk = await lines(provider, { sortMemory: 20_000, onProgress: (...progress) => told.push(progress) });
    expect(onDisk.join('\n')).toBe(inMemory.join('\n'));
    const found = inMemory.slice(1, -1).map((line) => (JSON.parse(line) as { conversation_id: string }).conversation_id);
    expect(found).toEqual(ids.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    expect(JSON.parse(inMemory[0] ?? '')).toMatchObject({ conversation_count: 3000, export_timestamp: timestamp.toISOString() });
    expect([told[2999], told.at(-1)]).toEqual([
      ['read', 3000, undefined],
      ['written', 3000, 3000],
    ]);
    const stopped = exportLines(provider, {}, { sortMemory: 20_000 });
    await stopped.next();
    await stopped.return();
    expect(temporary()).toEqual(before);
  });

  it('holds a conversation that begins a new life under the walk once', async () => {
    const clock = fakeClock();
    const provider = createProvider(await inMemoryBackend().create(clock), { clock: clock.now });
    for (let i = 0; i < 1200; i++) {
      unwrap(await provider.storeMessages(`c${i}`, [user('old')]));
      clock.advance(1);
    }
    // the oldest is read first, and is then the newest
    for (const [id, sortMemory] of [
      ['c0', undefined],
      ['c1', 5000],
    ] as const) {
      let seen = 0;
      const out: string[] = [];
      const again = async (): Promise<void> => {
        clock.advance(1);
        await provider.deleteConversation(id);
        unwrap(await provider.storeMessages(id, [user('new life')]));
      };
      let waiting: Promise<void> | undefined;
      const options = { sortMemory, onProgress: () => void (seen++ === 600 && (waiting = again())) };
      for await (const line of exportLines(provider, {}, options)) out.push(line);
      await waiting;
      expect(out).toHaveLength(1202);
      expect(JSON.parse(out[0] ?? '')).toMatchObject({ conversation_count: 1200 });
      expect(out.filter((line) => line.includes('new life')).map((line) => line.includes(`"${id}"`))).toContain(true);
    }
  });

  it('of a provider known by its methods is the same, and consistent under writers', async () => {
    const provider = createInMemoryProvider();
    await fill(
      provider,
      madeConversations().map(({ traceId: _traceId, ...rest }) => ({ ...rest, metadata: {} })),
    );
    expect((await lines(foreign(provider))).slice(1)).toEqual((await lines(provider)).slice(1));
    // a write between the two reads of a conversation: what is exported is one of the two states
    let left = 3;
    const busy = foreign(provider);
    const { getMessages } = busy;
    busy.getMessages = async (id, range) => {
      if (left-- > 0) unwrap(await provider.appendMessages(id, [user(`late ${left}`)], undefined, { maxMessages: 2 }));
      return await getMessages(id, range);
    };
    const records = (await lines(busy))
      .slice(1, -1)
      .map((line) => JSON.parse(line) as { conversation_id: string; first_seq: number; messages: unknown[] });
    const written = records.find((record) => record.conversation_id === madeConversations()[0]?.conversationId);
    const now = await provider.getMessages(written?.conversation_id ?? '', {});
    expect(now.nextSeq).toBe(4);
    expect([written?.first_seq, written?.messages]).toEqual([now.firstSeq, now.items.map((item) => item.message)]);
  });

  it('carries the trace, and an import finds it again', async () => {
    const [from, to] = [createInMemoryProvider(), createInMemoryProvider()];
    unwrap(await from.storeMessages('c', [user('a')], {}, { traceId: 't-1' }));
    await importConversations(to, await exportConversations(from), { onConflict: 'fail' });
    expect(await to.findConversations({ traceId: 't-1' })).toHaveLength(1);
  });
});

describe('import', () => {
  const source = async (): Promise<string[]> => {
    const provider = createInMemoryProvider();
    await fill(provider, madeConversations());
    return await lines(provider);
  };

  it('names each damaged line, and imports the others, wherever a byte flips', async () => {
    const all = await source();
    let state = 3;
    const random = (n: number): number => (state = (state * 48271) % 2147483647) % n;
    for (let round = 0; round < 60; round++) {
      const line = 1 + random(all.length - 2);
      const text = all[line] ?? '';
      const at = random(text.length);
      const flipped = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
      const to = createInMemoryProvider();
      const report = await importConversations(to, [...all.slice(0, line), flipped, ...all.slice(line + 1)], { onConflict: 'fail' });
      expect(report.imported).toBe(all.length - 3);
      expect(report.failed.map((f) => f.line)).toEqual([line + 1, all.length]);
    }
  });

  it('a damaged header or last line is one problem, and every conversation arrives', async () => {
    const provider = createInMemoryProvider();
    await fill(provider, madeConversations());
    const all = await lines(provider);
    // what is left of a header may look like the beginning of the object
    const cut = await importConversations(createInMemoryProvider(), all.with(0, '{'), { onConflict: 'fail' });
    expect(cut).toMatchObject({ imported: 10, failed: [{ line: 1, reason: 'not JSON' }] });
    for (const line of [0, all.length - 1]) {
      const text = all[line] ?? '';
      for (let at = 0; at < text.length; at++) {
        const flipped = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 2) + text.slice(at + 1);
        const report = await importConversations(createInMemoryProvider(), all.with(line, flipped), { onConflict: 'fail' });
        expect(report.imported, `${line}, ${at}`).toBe(10);
        // without its name a checksum is a field that nobody knows: nothing that counts was damaged
        if (!(at >= 2 && at < 10)) expect(report.failed.length, `${line}, ${at}`).toBeGreaterThan(0);
        expect(report.failed.every((f) => f.line === line + 1 || f.line === all.length)).toBe(true);
      }
    }
  });

  it('reads the object however it was written, exports behind each other, and refuses a newer format', async () => {
    const provider = createInMemoryProvider();
    await fill(provider, madeConversations());
    const object = await exportConversations(provider, {}, { timestamp });
    const all = await lines(provider);
    const into = async (text: string): Promise<unknown> => {
      const to = createInMemoryProvider();
      const report = await importConversations(to, text.split('\n'), { onConflict: 'fail' });
      return [report, (await lines(to)).slice(1).join() === all.slice(1).join()];
    };
    const whole = { imported: 10, skipped: 0, failed: [] };
    expect(await into(JSON.stringify(object))).toEqual([whole, true]);
    expect(await into(`\ufeff${JSON.stringify(object, null, 2)}`)).toEqual([whole, true]);
    expect(await into([...all.slice(0, 1), '', all[1], all.at(-1), ...all].join('\r\n'))).toMatchObject([
      { imported: 10, failed: [{ line: 4 }, { line: 6, reason: 'the conversation exists' }] },
      true,
    ]);
    const newer = all.map((line) => line.replace(/^\{"checksum":"\w+",(.*)"version":1\}$/, '{$1"version":2}'));
    expect(await into(newer.join('\n'))).toMatchObject([
      { imported: 0, failed: [{ line: 1, reason: expect.stringContaining('nothing of it was imported') as string }] },
      false,
    ]);
    expect(await into(JSON.stringify(object, null, 2).slice(0, -5))).toMatchObject([
      { imported: 0, failed: [{ reason: 'not JSON, or cut off' }] },
      false,
    ]);
  });

  it('keeps many restores under way, reports in order of lines, and stops on a signal after what has begun', async () => {
    const clock = fakeClock();
    const driver = counting(await inMemoryBackend().create(clock));
    const to = createProvider(driver, {});
    let [now, most] = [0, 0];
    const watched: MemoryProvider = Object.create(to) as MemoryProvider;
    watched.restoreConversation = async (snapshot, options) => {
      most = Math.max(most, ++now);
      // the first ends last
      for (let i = 0; i < (snapshot.conversationId === 'c0' ? 50 : 1); i++) await new Promise((turn) => setImmediate(turn));
      const result = await to.restoreConversation(snapshot, options);
      now--;
      return result;
    };
    const records = Array.from({ length: 100 }, (_, i) =>
      JSON.stringify({ conversation_id: `c${i}`, messages: i % 10 === 0 ? 'wrong' : [] }),
    );
    const report = await importConversations(watched, records, { onConflict: 'fail', concurrency: 7 });
    expect(most).toBe(7);
    expect(report.imported).toBe(90);
    expect(report.failed.map((f) => f.line)).toEqual([1, 11, 21, 31, 41, 51, 61, 71, 81, 91]);
    const stop = new AbortController();
    let progress = { imported: 0, skipped: 0, failed: 0 };
    const stopped = importConversations(watched, records, {
      onConflict: 'skip',
      signal: stop.signal,
      onProgress: (done) => {
        progress = done;
        if (done.skipped === 20) stop.abort();
      },
    });
    await expect(stopped).rejects.toThrow(MemoryAbortError);
    expect([now, progress.skipped >= 20, progress.skipped < 60]).toEqual([0, true, true]);
  });

  it('takes a line that is too long for damaged', async () => {
    const to = createInMemoryProvider();
    const records = ['a', 'b', 'c'].map((id) =>
      JSON.stringify({ conversation_id: id, messages: [user(id === 'b' ? 'x'.repeat(200) : 'x')] }),
    );
    expect(await importConversations(to, records, { onConflict: 'fail', maxLine: 150 })).toEqual({
      imported: 2,
      skipped: 0,
      failed: [{ line: 2, reason: 'longer than 150 characters' }],
    });
  });
});

describe.each(KINDS)('copy from %s', (kind) => {
  it('copies, compares, passes over what is equal, and names what is not', async () => {
    const [from, to] = [await stores.open(kind, {}, 'from'), await stores.open(kind === 'sqlite' ? 'postgres' : 'sqlite', {}, 'to')];
    const conversations = madeConversations();
    await fill(from, conversations);
    const empty = { different: [], changed: [], failed: [], gone: 0 };
    expect(await copyConversations(from, to)).toEqual({ ...empty, copied: 10, present: 0 });
    expect((await lines(to)).join('\n')).toBe((await lines(from)).join('\n'));
    expect(await copyConversations(from, to)).toEqual({ ...empty, copied: 0, present: 10 });
    unwrap(await to.appendMessages('Z', [user('only here')]));
    expect(await copyConversations(from, to)).toEqual({ ...empty, copied: 0, present: 9, different: ['Z'] });
    expect(await copyConversations(from, to, {}, { onConflict: 'fail' })).toMatchObject({ present: 9, failed: [{ conversationId: 'Z' }] });
    expect(await copyConversations(from, to, { conversationId: 'Z' }, { onConflict: 'replace' })).toMatchObject({ copied: 1, present: 0 });
    expect((await lines(to)).join('\n')).toBe((await lines(from)).join('\n'));
  });
});

describe('copy', () => {
  it('names what was written to under it, and what the target does not give back as it was', async () => {
    const [from, to] = [createInMemoryProvider(), createInMemoryProvider()];
    await fill(from, madeConversations());
    const touched = foreign(to);
    touched.restoreConversation = async (snapshot, options) => {
      const result = await to.restoreConversation(snapshot, options);
      if (snapshot.conversationId === 'Z') unwrap(await from.appendMessages('Z', [user('meanwhile')]));
      if (snapshot.conversationId === 'é') unwrap(await to.appendMessages('é', [user('not in the source')]));
      return result;
    };
    const plain = foreign(from);
    expect(await copyConversations(plain, touched)).toMatchObject({ copied: 10, changed: ['Z'], different: ['é'], failed: [] });
  });
});

describe('damaged data', () => {
  it('ends an export, or is named and left out', async () => {
    const provider = createInMemoryProvider();
    await fill(provider, madeConversations());
    const damaged = foreign(provider);
    damaged.getConversation = async (id, options) => {
      if (id === 'Z') throw new MemoryStorageError('Z is damaged', { provider: 'custom', operation: 'getConversation', code: 'corrupt' });
      return await provider.getConversation(id, options);
    };
    await expect(lines(damaged)).rejects.toThrow('Z is damaged');
    const named: string[] = [];
    expect(await lines(damaged, { onDamaged: (id) => named.push(id) })).toHaveLength(11);
    expect(named).toEqual(['Z']);
    expect(await copyConversations(damaged, createInMemoryProvider())).toMatchObject({ copied: 9, failed: [{ conversationId: 'Z' }] });
  });
});
