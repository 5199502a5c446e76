import {
  assistant,
  cleanupConversations,
  eraseUser,
  exportConversations,
  exportLines,
  importConversations,
  MemoryAccessError,
  MemoryConnectionError,
  type MemoryProvider,
  MemoryStorageError,
  MemoryValidationError,
  unwrap,
  user,
} from 'jaf/memory';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Kind, KINDS, useStores } from '../support/stores.js';

const DAY = 86_400_000;
const START = Date.parse('2026-01-15T10:00:00Z');
let now: number;
beforeEach(() => {
  now = START;
});

const stores = useStores();
const create = (kind: Kind, name = 'a'): Promise<MemoryProvider> => stores.open(kind, { clock: () => now }, name);
const lines = async (provider: MemoryProvider, query?: Parameters<typeof exportLines>[1]): Promise<string[]> => {
  const out: string[] = [];
  for await (const line of exportLines(provider, query)) out.push(line);
  return out;
};

/** Three conversations: trimmed, owned with a TTL far ahead, packed. */
async function fill(provider: MemoryProvider): Promise<void> {
  for (let i = 0; i < 5; i++) {
    unwrap(await provider.appendMessages('trimmed', [user(`${i}`)], { note: 'a\0\ud800' }, { createIfMissing: true, maxMessages: 3 }));
    now += 1000;
  }
  unwrap(await provider.storeMessages('owned', [user('x'), assistant('y')], { user_id: 'u1' }, { ttl: 50 * 365 * 86_400 }));
  now += 1000;
  for (let i = 0; i < 300; i += 20) {
    const messages = Array.from({ length: 20 }, (_, k) => user(`m${i + k}`));
    unwrap(await provider.appendMessages('packed', messages, undefined, { createIfMissing: true, compressionThreshold: 10, userId: 'u2' }));
  }
}

describe.each(KINDS)('export and import on %s', (kind) => {
  it.each(['object', 'lines'] as const)('carry everything over exactly, as %s', async (form) => {
    const [from, to] = [await create(kind, 'from'), await create(kind === 'memory' ? 'sqlite' : 'memory', 'to')];
    await fill(from);
    const source = form === 'object' ? await exportConversations(from) : await lines(from);
    now += 10 * DAY;
    expect(await importConversations(to, source, { onConflict: 'fail' })).toEqual({ imported: 3, skipped: 0, failed: [] });
    for (const id of ['trimmed', 'owned', 'packed']) {
      const [a, b] = [await from.getConversation(id), await to.getConversation(id)];
      expect({ ...b, version: 0 }).toEqual({ ...a, version: 0 });
      expect((await to.getMessages(id, { limit: 1 })).firstSeq).toBe((await from.getMessages(id, { limit: 1 })).firstSeq);
    }
    const records = async (p: MemoryProvider): Promise<string[]> => (await lines(p)).slice(1);
    expect(await records(to)).toEqual(await records(from));
    expect(await importConversations(to, source, { onConflict: 'skip' })).toEqual({ imported: 0, skipped: 3, failed: [] });
    expect((await importConversations(to, source, { onConflict: 'fail' })).failed.map((f) => f.reason)).toEqual(
      Array(3).fill('the conversation exists'),
    );
    unwrap(await to.appendMessages('owned', [user('later')]));
    expect(await importConversations(to, source, { onConflict: 'replace' })).toEqual({ imported: 3, skipped: 0, failed: [] });
    expect(await records(to)).toEqual(await records(from));
  });

  it('loses only the damaged lines of a file, and says which', async () => {
    const [from, to] = [await create(kind, 'from'), await create(kind, 'to')];
    await fill(from);
    const all = await lines(from);
    const damaged = [...all.slice(0, 2), '{"conversation_id":"cut', ...all.slice(3)];
    const report = await importConversations(to, damaged, { onConflict: 'fail' });
    expect(report).toMatchObject({ imported: 2, skipped: 0 });
    expect(report.failed).toEqual([
      { line: 3, reason: 'not JSON' },
      { line: 5, reason: '3 conversations were written, 2 are here' },
    ]);
    const cut = await importConversations(to, all.slice(0, -1), { onConflict: 'skip' });
    expect(cut.failed).toEqual([{ line: 4, reason: 'the last line is missing: the export was cut off' }]);
    const edited = all.map((line) => line.replace('"m7"', '"m8"'));
    const changed = all.findIndex((line) => line.includes('"m7"')) + 1;
    expect(await importConversations(to, edited, { onConflict: 'replace' })).toEqual({
      imported: 2,
      skipped: 0,
      failed: [
        { line: changed, reason: 'damaged: its checksum does not match' },
        { line: 5, reason: '3 conversations were written, 2 are here' },
      ],
    });
    const signed = edited.map((line) => line.replace(/"checksum":"[^"]*",/, ''));
    expect((await importConversations(to, signed, { onConflict: 'replace' })).failed).toEqual([
      { line: 5, reason: 'the digest does not match: a line was changed' },
    ]);
    expect((await importConversations(to, all.slice(0, -2), { onConflict: 'skip' })).failed).toEqual([
      { line: 3, reason: 'the last line is missing: the export was cut off (3 conversations were written, 2 are here)' },
    ]);
  });

  it("takes the document's own form and either spelling, and names what is wrong in a record", async () => {
    const to = await create(kind);
    const conversations = [
      { conversation_id: 'snake', user_id: null, messages: [user('a')], metadata: { a: 1 } },
      { conversationId: 'camel', userId: 'u1', messages: [user('b')], metadata: {}, createdAt: '2024-01-15T10:00:00Z' },
      { conversation_id: 'bad time', messages: [], created_at: 'yesterday' },
      { conversation_id: 'bad message', messages: [{ role: 'bot', content: 'hunter2' }] },
      { messages: [] },
      7,
      { conversation_id: 'over', messages: [], expires_at: '2020-01-01T00:00:00Z' },
    ];
    const report = await importConversations(
      to,
      { export_timestamp: '', user_id: null, conversation_count: 7, conversations },
      { onConflict: 'fail' },
    );
    expect(report).toMatchObject({ imported: 2, skipped: 1 });
    expect(report.failed.map((f) => f.line)).toEqual([3, 4, 5, 6]);
    expect(JSON.stringify(report)).not.toContain('hunter2');
    expect((await to.getConversation('camel'))?.createdAt).toEqual(new Date('2024-01-15T10:00:00Z'));
  });

  it('stops when the store is gone, and exports only whole conversations', async () => {
    const to = await create(kind);
    await fill(to);
    const all = await lines(to);
    await expect(exportConversations(to, { messageLimit: 3 })).rejects.toThrow(MemoryValidationError);
    expect((await exportConversations(to, { userId: 'u1' })).conversations).toHaveLength(1);
    expect((await exportConversations(to.forUser('u2'))).conversations).toHaveLength(1);
    await to.close();
    await expect(importConversations(to, all, { onConflict: 'skip' })).rejects.toThrow(MemoryConnectionError);
  });
});

describe.each(KINDS)('retention on %s', (kind) => {
  const old = async (provider: MemoryProvider, id: string, days: number, metadata: object = {}, userId?: string): Promise<void> => {
    now = Date.now() - days * DAY;
    unwrap(await provider.storeMessages(id, [user('x'.repeat(100))], metadata as never, { userId }));
  };
  const ids = async (provider: MemoryProvider): Promise<string[]> =>
    (await provider.findConversations()).map((c) => c.conversationId).sort();

  it('deletes what is old, keeps what is held, and counts', async () => {
    const provider = await create(kind);
    await old(provider, 'old', 100, {}, 'u1');
    await old(provider, 'old too', 95, {}, 'u2');
    await old(provider, 'held', 99, { legalHold: true });
    await old(provider, 'new', 1);
    now = Date.now();
    const dry = await cleanupConversations(provider, { olderThan: 90 * 86_400, dryRun: true });
    expect(dry).toMatchObject({ matched: 3, archived: 0, deleted: 0 });
    expect(dry.bytes).toBeGreaterThan(300);
    expect(await ids(provider)).toEqual(['held', 'new', 'old', 'old too']);
    const archived: (string | undefined)[] = [];
    const report = await cleanupConversations(provider, {
      olderThan: 90 * 86_400,
      userId: 'u1',
      archive: async (conversation) => {
        archived.push(conversation.conversationId, conversation.messages[0]?.role);
      },
    });
    expect(report).toMatchObject({ matched: 1, archived: 1, deleted: 1 });
    expect(archived).toEqual(['old', 'user']);
    expect(await cleanupConversations(provider, { until: new Date(Date.now() - 90 * DAY) })).toMatchObject({ matched: 2, deleted: 1 });
    expect(await ids(provider)).toEqual(['held', 'new']);
  });

  it('does not delete what is written between the archive and the deletion', async () => {
    const provider = await create(kind);
    await old(provider, 'c', 100);
    const report = await cleanupConversations(provider, {
      olderThan: 90 * 86_400,
      archive: async () => {
        unwrap(await provider.appendMessages('c', [user('still here')]));
      },
    });
    expect(report).toMatchObject({ matched: 1, archived: 1, deleted: 0, bytes: 0 });
    expect((await provider.getConversation('c'))?.messageCount).toBe(2);
  });

  it('stops when an archive fails, and wants to be told an age', async () => {
    const provider = await create(kind);
    await old(provider, 'c', 100);
    await expect(
      cleanupConversations(provider, { olderThan: 60, archive: () => Promise.reject(new Error('bucket full')) }),
    ).rejects.toThrow('bucket full');
    expect(await ids(provider)).toEqual(['c']);
    await expect(cleanupConversations(provider, {})).rejects.toThrow(/expected until \(a Date\) or olderThan \(seconds\)/);
  });
});

describe.each(KINDS)('erasure on %s', (kind) => {
  const log = (): { entries: object[]; append: (entry: object) => Promise<{ hash: string }> } => {
    const entries: object[] = [];
    return {
      entries,
      append: async (entry) => {
        entries.push(entry);
        return { hash: `head ${entries.length}` };
      },
    };
  };

  it('removes everything of a user, keeps late writes out for an hour, and names nobody in the log', async () => {
    const provider = await create(kind);
    for (let i = 0; i < 3; i++) unwrap(await provider.storeMessages(`user-one:${i}`, [user('a'), user('b')], {}, { userId: 'user-one' }));
    unwrap(await provider.storeMessages('user-one:over', [user('c')], {}, { userId: 'user-one', ttl: 1 }));
    unwrap(await provider.storeMessages('u2:0', [user('d')], {}, { userId: 'u2' }));
    now += 2000;
    const audit = log();
    const receipt = await eraseUser(provider, 'user-one', { audit });
    expect(receipt).toMatchObject({ conversations: 3, messages: 6, at: new Date(now), auditHead: 'head 1' });
    expect(receipt.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(JSON.stringify(audit.entries)).not.toContain('user-one');
    expect(await provider.getStats('user-one')).toMatchObject({ totalConversations: 0 });
    expect(await provider.getStats()).toMatchObject({ totalConversations: 1 });
    const late = await provider.appendMessages('user-one:0', [user('late')], undefined, { createIfMissing: true, userId: 'user-one' });
    expect(late.ok ? undefined : late.error).toMatchObject({ code: 'erased', outcome: 'not_applied' });
    const scoped = await provider.forUser('user-one').storeMessages('user-one:new', [user('late')]);
    expect(scoped.ok ? undefined : scoped.error).toMatchObject({ code: 'erased' });
    now += 3_600_001;
    unwrap(await provider.storeMessages('user-one:0', [user('back')], {}, { userId: 'user-one' }));
  });

  it('erases nothing while one conversation is held, unless that is allowed', async () => {
    const provider = await create(kind);
    unwrap(await provider.storeMessages('free', [user('a')], {}, { userId: 'u1' }));
    unwrap(await provider.storeMessages('held', [user('b')], { legalHold: true }, { userId: 'u1' }));
    const audit = log();
    await expect(eraseUser(provider, 'u1', { audit })).rejects.toThrow(MemoryAccessError);
    expect(audit.entries).toEqual([]);
    expect(await provider.getStats('u1')).toMatchObject({ totalConversations: 2 });
    unwrap(await provider.appendMessages('free', [user('not barred')], undefined, { userId: 'u1' }));
    expect(await eraseUser(provider, 'u1', { audit, allowLegalHold: true })).toMatchObject({ conversations: 2, messages: 3 });
    expect(await provider.getStats()).toMatchObject({ totalConversations: 0 });
  });

  it('is for the user of a handle only, and for providers that can keep a user out', async () => {
    const provider = await create(kind);
    await expect(eraseUser(provider.forUser('u2'), 'u1', { audit: log() })).rejects.toThrow(MemoryAccessError);
    await expect(eraseUser({ ...provider }, 'u1', { audit: log() })).rejects.toThrow(MemoryStorageError);
    await expect(eraseUser(provider, '', { audit: {} as never })).rejects.toThrow(
      /userId: expected 1 to 255.*options\.audit: expected an audit log/,
    );
  });
});
