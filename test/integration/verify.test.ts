import { join } from 'node:path';
import { createSqliteProvider, type Message, type MemoryProvider, type MessagePage, unwrap, user, verifyConversation } from 'jaf/memory';
import { describe, expect, it, vi } from 'vitest';
import { testFolder } from './cli-run.js';
import { type Database, loadSqlite } from '../../src/memory/providers/sqlite/client.js';

async function databaseOf(path: string): Promise<Database> {
  const { DatabaseSync } = await loadSqlite();
  return new DatabaseSync(path);
}

/** A file with a packed conversation of 300 messages, `c`. */
async function packed(): Promise<string> {
  const path = join(testFolder(), 'store.db');
  const provider = await createSqliteProvider({ path, sweep: false });
  const messages = Array.from({ length: 300 }, (_, k) => user(`m${k}`));
  unwrap(await provider.appendMessages('c', messages, { a: 1 }, { createIfMissing: true, compressionThreshold: 20 }));
  // packing goes on beside the calls, and is given up by closing
  const db = await databaseOf(path);
  await vi.waitFor(() => expect(db.prepare('SELECT count(*) AS n FROM segments').get()).toEqual({ n: 2 }));
  db.close();
  await provider.close();
  return path;
}

async function issuesOf(path: string): Promise<unknown> {
  const provider = await createSqliteProvider({ path, sweep: false });
  try {
    const { valid, issues } = await verifyConversation(provider, 'c');
    expect(valid).toBe(issues.length === 0);
    return issues.map(({ index, kind, detail }) => [index, kind, detail]);
  } finally {
    await provider.close();
  }
}

describe('a stored conversation whose data was damaged', () => {
  it.each<[string, string, unknown]>([
    ['nothing', 'SELECT 1', []],
    [
      'a packed run',
      "UPDATE segments SET data = CAST(substr(data, 1, 20) || X'00' || substr(data, 22) AS BLOB) WHERE id = (SELECT min(id) FROM segments)",
      [[0, 'damaged-segment', expect.stringMatching(/^messages 1 to \d+: segment checksum does not match$/) as string]],
    ],
    [
      'one message',
      "UPDATE messages SET bodies = replace(bodies, 'm290', 'm29x')",
      [[290, 'damaged', 'message 291: checksum does not match']],
    ],
    ['the metadata', 'UPDATE conversations SET metadata = \'{"a"\'', [[-1, 'damaged', 'the metadata cannot be decoded']]],
    [
      'messages that are gone',
      'DELETE FROM messages WHERE bodies LIKE \'%"m299"%\'',
      [[expect.any(Number), 'non-monotonic-sequence', expect.stringMatching(/^messages 2\d\d to 300: it is missing$/) as string]],
    ],
  ])('%s', async (_, sql, expected) => {
    const path = await packed();
    const db = await databaseOf(path);
    db.exec(sql);
    db.close();
    expect(await issuesOf(path)).toEqual(expected);
  });
});

describe('a provider known by its methods', () => {
  const messages = [user('a'), user(''), user('c')];
  const provider = (pages: (after: number) => Partial<MessagePage>): MemoryProvider =>
    ({
      getConversation: () => Promise.resolve({ messages }),
      getMessages: (_id: string, { after = 0 }: { after?: number }) =>
        Promise.resolve({ firstSeq: 5, nextSeq: 8, items: [], ...pages(after) }),
    }) as never;
  const items = (...seqs: number[]): { seq: number; message: Message }[] => seqs.map((seq) => ({ seq, message: user('x') }));

  it.each<[string, (after: number) => Partial<MessagePage>, unknown]>([
    ['goes up by one', () => ({ items: items(5, 6, 7) }), [[1, 'empty']]],
    [
      'leaves one out',
      () => ({ items: items(5, 7) }),
      [
        [1, 'empty'],
        [1, 'non-monotonic-sequence'],
      ],
    ],
    [
      'repeats one',
      () => ({ items: items(5, 5, 6, 7) }),
      [
        [1, 'empty'],
        [1, 'non-monotonic-sequence'],
      ],
    ],
    [
      'stops early',
      (after) => ({ items: after < 5 ? items(5) : [] }),
      [
        [1, 'empty'],
        [1, 'non-monotonic-sequence'],
      ],
    ],
    [
      'goes in circles',
      () => ({ items: items(4, 4) }),
      [
        [0, 'non-monotonic-sequence'],
        [0, 'non-monotonic-sequence'],
        [0, 'non-monotonic-sequence'],
        [1, 'empty'],
      ],
    ],
  ])('whose sequence %s', async (_, pages, expected) => {
    const { issues } = await verifyConversation(provider(pages), 'c');
    expect(issues.map(({ index, kind }) => [index, kind]).sort()).toEqual(expected);
  });
});
