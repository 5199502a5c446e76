import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSqliteProvider, type Message, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { replayRecording } from '../../src/cli/replay/replay.js';
import { openReplayStore } from '../../src/cli/replay/store.js';
import { usePostgres } from '../support/postgres.js';
import { useStores } from '../support/stores.js';
import { cli, testFolder } from './cli-run.js';

const call = (id: string, name: string, args: string): NonNullable<Message['tool_calls']>[number] => ({
  id,
  type: 'function',
  function: { name, arguments: args },
});
const result = (id: string, name: string, content: string): Message => ({ role: 'tool', tool_call_id: id, name, content });
const assistant = (content: string | null, ...calls: NonNullable<Message['tool_calls']>): Message =>
  calls.length === 0 ? { role: 'assistant', content } : { role: 'assistant', content, tool_calls: calls };

interface Line {
  conversation_id: string;
  user_id: string | null;
  metadata?: object;
  messages: readonly Message[];
}
const recorded = (messages: readonly Message[], id = 'c'): Line => ({
  conversation_id: id,
  user_id: 'ada',
  metadata: { reward: 1, nested: { a: [null] } },
  messages,
});

/** What real recordings look like: ids that repeat, the same call twice, text beside calls, empty results, the same words twice. */
const REAL = [
  recorded(
    [
      { role: 'system', content: 'Be brief.' },
      user('yes'),
      assistant(null, call('call_1', 'find', '{"q":1}')),
      result('call_1', 'find', ''),
      assistant('thinking', call('call_1', 'find', '{"q":1}'), call('call_2', 'book', '{}')),
      result('call_1', 'find', '{"a": 2,  "b": "\u0000\ud83d"}'),
      result('call_2', 'book', 'done'),
      assistant('ok'),
      user('yes'),
      assistant('ok'),
      user('bye'),
    ],
    'a:1*?[\u{1f600}',
  ),
  {
    conversation_id: 'ends-in-a-result',
    user_id: null,
    messages: [user('go'), assistant(null, call('x', 'transfer_to_human', '{}')), result('x', 'transfer_to_human', 'ok')],
  },
  { conversation_id: 'ends-in-a-reply', user_id: 'bob', metadata: {}, messages: [assistant('Welcome!'), user('hi'), assistant('hello')] },
];

function file(lines: readonly (Line | string)[]): string {
  const path = join(testFolder(), 'r.ndjson');
  writeFileSync(path, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'));
  return path;
}
interface Report {
  conversations: number;
  messages: number;
  stores: {
    store: string;
    conversations: number;
    runs: number;
    messages: number;
    writes: number;
    otherWrites: number;
    differences: { conversationId: string; message?: number; what: string }[];
  }[];
}
const report = (stdout: string): Report => JSON.parse(stdout) as Report;

describe('a replay', () => {
  it('of recordings that can be repeated finds no difference, in memory and in SQLite', async () => {
    const { code, stdout, stderr } = await cli(['replay', '--json', file(REAL)]);
    expect(stderr).toBe('');
    const { conversations, messages, stores } = report(stdout);
    expect([code, conversations, messages]).toStrictEqual([0, 3, 17]);
    for (const store of stores) {
      expect(store).toMatchObject({ conversations: 3, runs: 5, messages: 17, otherWrites: 0, differences: [] });
      // one write for what begins a run, one for each reply and each result
      expect(store.writes).toBe(5 + 10);
    }
    expect(stores.map((s) => s.store)).toStrictEqual(['memory', 'sqlite']);
  });

  it('prints a table, and how far it is', async () => {
    const { code, stdout, stderr } = await cli(['replay', file(REAL)]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^store\s+conversations\s+runs\s+messages\s+writes by run\(\)\s+other writes\s+differences/);
    expect(stdout).toMatch(/\nsqlite\s+3\s+5\s+17\s+15\s+0\s+0\s/);
    expect(stderr.trim().split('\n').at(-1)).toBe('34/34 messages');
    expect((await cli(['replay', '-q', file(REAL)])).stderr).toBe('');
  });

  it('leaves the conversations in the store it is given, and refuses to write over them', async () => {
    const cwd = testFolder();
    const path = file(REAL);
    const env = { JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: './r.db' };
    expect(report((await cli(['replay', '--json', path], { cwd, env })).stdout).stores.map((s) => s.store)).toStrictEqual(['sqlite']);
    const { stdout } = await cli(['show', '--json', REAL[0]?.conversation_id ?? '', '-p', 'sqlite:./r.db'], { cwd });
    expect(JSON.parse(stdout)).toMatchObject({
      userId: 'ada',
      metadata: { reward: 1, nested: { a: [null] } },
      messages: REAL[0]?.messages,
    });
    const again = await cli(['replay', path, '-p', 'sqlite:./r.db'], { cwd });
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('empty store');
    expect(JSON.parse((await cli(['stats', '--json', '-p', 'sqlite:./r.db'], { cwd })).stdout)).toMatchObject({ totalMessages: 17 });
  });

  it('leaves nothing behind when no store is given', async () => {
    const folder = testFolder();
    expect((await cli(['replay', file(REAL)], { cwd: folder, env: { TMPDIR: folder } })).code).toBe(0);
    expect(readdirSync(folder)).toStrictEqual([]);
  });

  it.each<[string, readonly Message[], { message?: number; what: string }]>([
    [
      'a user message without a reply',
      [user('a'), user('b'), assistant('x')],
      { message: 3, what: 'before this reply were 1, not the 2 recorded' },
    ],
    ['a second reply', [user('a'), assistant('x'), assistant('y')], { what: '1 recorded replies were not asked for' }],
    [
      'a call without a result',
      [user('a'), assistant(null, call('1', 'f', '{}')), user('b'), assistant('x')],
      { message: 3, what: 'differs in' },
    ],
    ['a result of nothing', [user('a'), assistant('x'), result('1', 'f', 'r')], { what: '1 recorded tool results were not used' }],
    [
      'arguments that are no JSON',
      [user('a'), assistant(null, call('1', 'f', '{')), result('1', 'f', 'r'), assistant('x')],
      { message: 3, what: 'differs in content' },
    ],
    [
      'a result under another id',
      [user('a'), assistant(null, call('1', 'f', '{}')), result('2', 'f', 'r')],
      { message: 3, what: 'differs in tool_call_id' },
    ],
    [
      'a result without a name',
      [user('a'), assistant(null, call('1', 'f', '{}')), { role: 'tool', tool_call_id: '1', content: 'r' }],
      { message: 3, what: 'differs in name (added)' },
    ],
    [
      'an end after a result',
      [user('a'), assistant(null, call('1', 'f', '{}')), result('1', 'f', 'r'), user('b')],
      { what: 'ended with script_ended' },
    ],
    ['no user', [{ role: 'system', content: 's' }], { what: 'no user message' }],
  ])('answers 1 and says where for %s', async (_name, messages, expected) => {
    const { code, stdout } = await cli(['replay', '--json', '-p', 'memory:', file([recorded(messages)])]);
    expect(code).toBe(1);
    const { differences } = report(stdout).stores[0] ?? { differences: [] };
    expect(differences.length).toBeGreaterThan(0);
    expect(differences).toContainEqual(expect.objectContaining({ ...expected, what: expect.stringContaining(expected.what) }));
    expect((await cli(['replay', '-p', 'memory:', file([recorded(messages)])])).stdout).toContain('Differences (memory)');
  });

  it('answers 1 when the store loses messages', async () => {
    const env = { JAF_MEMORY_TYPE: 'memory', JAF_MEMORY_MAX_MESSAGES: '3' };
    const { code, stdout } = await cli(['replay', '--json', file(REAL)], { env });
    expect(code).toBe(1);
    const differences = report(stdout).stores[0]?.differences.map((d) => d.what) ?? [];
    expect(differences).toContain('11 messages recorded, 3 stored');
    expect(differences).toContain('run() wrote 17 messages, 9 are stored');
  });

  it('answers 2 for a file it cannot read, and shows nothing of it', async () => {
    for (const [lines, expected] of [
      [['{"secret'], 'line 1: not JSON'],
      [[REAL[1] ?? '', '', '{"conversation_id": 5, "x": "secret"}'], 'line 3: "conversation_id"'],
      [[REAL[1] ?? '', REAL[1] ?? ''], 'line 2: the same conversation_id as line 1'],
      [['{"conversation_id": "c", "messages": ["secret"]}'], 'messages[0]'],
      [[''], 'no conversations'],
    ] as const) {
      const { code, stdout, stderr } = await cli(['replay', file(lines)]);
      expect([lines, code, stdout]).toStrictEqual([lines, 2, '']);
      expect(stderr).toContain(expected);
      expect(stderr).not.toContain('secret');
    }
    expect(await cli(['replay', '/no/such/file'])).toMatchObject({ code: 2, stderr: expect.stringContaining('ENOENT') });
    const cwd = testFolder();
    expect((await cli(['replay', '/no/such/file', '-p', 'sqlite:./x.db'], { cwd })).code).toBe(2);
    expect(existsSync(join(cwd, 'x.db'))).toBe(false);
  });

  it('answers 130 to an interrupt', async () => {
    const many = Array.from({ length: 400 }, (_, i) => recorded(REAL[0]?.messages ?? [], `c${i}`));
    const cwd = testFolder();
    const ran = await cli(['replay', file(many), '-p', 'sqlite:./x.db'], {
      cwd,
      live: (child) => child.stderr?.once('data', () => child.kill('SIGINT')),
    });
    expect(ran).toMatchObject({ code: 130, signal: null, stdout: '' });
    expect(readdirSync(cwd)).toStrictEqual(['x.db']);
  });
});

describe('the store of a replay', () => {
  const recording = {
    conversationId: 'c',
    userId: 'ada',
    metadata: { k: 1 },
    messages: [user('a'), { role: 'assistant', content: 'b' } as Message],
  };
  const never = new AbortController().signal;

  it('tells the writes of run() from all others', async () => {
    const store = await openReplayStore({ type: 'memory' }, 10);
    expect(await replayRecording(recording, store, never)).toStrictEqual({ runs: 1, messages: 2, differences: [] });
    expect(store.tally).toStrictEqual({ running: false, writes: 2, messages: 2, others: 0 });
    unwrap(await store.provider.appendMessages('c', [user('x')]));
    await store.provider.deleteConversation('c');
    expect(store.tally).toStrictEqual({ running: false, writes: 2, messages: 2, others: 2 });
  });

  it.each<[string, Partial<typeof recording>, string]>([
    ['another owner', { userId: 'bob' }, 'another owner'],
    ['other metadata', { metadata: { k: 2 } }, 'other metadata'],
    ['another message', { messages: [user('z'), { role: 'assistant', content: 'b' }] }, 'differs in content'],
  ])('shows %s', async (_name, other, expected) => {
    const path = join(testFolder(), 'x.db');
    const store = await openReplayStore({ type: 'sqlite', path }, 10);
    // what was there before is what run() meets: the owner stays, metadata and messages come on top
    await using before = await createSqliteProvider({ path });
    const { userId, metadata, messages } = { ...recording, ...other };
    unwrap(await before.storeMessages('c', messages, metadata, { userId }));
    const { differences } = await replayRecording({ ...recording, metadata: {} }, store, never);
    expect(differences.map((d) => d.what).join()).toContain(expected);
    await store.provider.close();
  });
});

describe('into PostgreSQL', () => {
  let server: Awaited<ReturnType<typeof usePostgres>>;
  beforeAll(async () => {
    server = await usePostgres();
  });
  afterAll(async () => {
    await server?.destroy();
  });

  it.each(['rows', 'document'])('replays without a difference into the layout %s', async (layout) => {
    const path = process.env['JAF_TEST_DATA'] ?? file(REAL);
    const schema = `jaf_test_replay_${process.pid}_${layout}`;
    const env = {
      JAF_MEMORY_TYPE: 'postgres',
      JAF_POSTGRES_CONNECTION_STRING: server.url,
      JAF_POSTGRES_SCHEMA: schema,
      JAF_POSTGRES_LAYOUT: layout,
    };
    try {
      const { code, stdout, stderr } = await cli(['replay', '--json', path], { env });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const { conversations, messages } = report(stdout);
      expect(report(stdout)).toMatchObject({ stores: [{ messages, differences: [], otherWrites: 0 }] });
      const { stdout: kept } = await cli(['stats', '--json'], { env });
      expect(JSON.parse(kept)).toMatchObject({ totalConversations: conversations, totalMessages: messages });
    } finally {
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      await client.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await client.end();
    }
  });
});

const REAL_DATA = process.env['JAF_TEST_DATA'];
it.skipIf(!REAL_DATA)('replays the real conversations without a difference (JAF_TEST_DATA)', async () => {
  const { code, stdout } = await cli(['replay', '--json', REAL_DATA ?? '']);
  const lines = readFileSync(REAL_DATA ?? '', 'utf8')
    .trim()
    .split('\n');
  const messages = lines.reduce((sum, line) => sum + (JSON.parse(line) as Line).messages.length, 0);
  expect(code).toBe(0);
  expect(report(stdout)).toMatchObject({
    conversations: lines.length,
    messages,
    stores: [
      { messages, differences: [], otherWrites: 0 },
      { messages, differences: [], otherWrites: 0 },
    ],
  });
});

describe('into Redis', () => {
  const stores = useStores(['redis']);

  it('replays without a difference', async () => {
    const path = process.env['JAF_TEST_DATA'] ?? file(REAL);
    const env = stores.env('redis');
    const { code, stdout, stderr } = await cli(['replay', '--json', path], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { conversations, messages } = report(stdout);
    expect(report(stdout)).toMatchObject({ stores: [{ store: 'redis', messages, differences: [], otherWrites: 0 }] });
    const { stdout: kept } = await cli(['stats', '--json'], { env });
    expect(JSON.parse(kept)).toMatchObject({ totalConversations: conversations, totalMessages: messages });
  });
});
