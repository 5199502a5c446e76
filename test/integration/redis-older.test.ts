// What the earlier implementations stored in Redis: converted by the command line, counted by the doctor.
import { createRedisProvider, type MemoryProvider, unwrap, user } from 'jaf/memory';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { convertOlder, type OlderReport } from '../../src/memory/providers/redis/older-convert.js';
import { createRedisProvider as createFromSources } from '../../src/memory/providers/redis/index.js';
import { connect, startRedis, useRedis } from '../support/redis.js';
import { cli, type Ran, type RunOptions } from './cli-run.js';

let server: Awaited<ReturnType<typeof useRedis>>;
let client: Awaited<ReturnType<typeof connect>>;
let prefix = '';
let tests = 0;

beforeAll(async () => {
  server = await useRedis();
  client = await connect(server.url);
});
beforeEach(() => {
  prefix = `jaf-test-older:${process.pid}:${++tests}:`;
});
afterAll(async () => {
  for (const key of await keys(`jaf-test-older:${process.pid}:`)) await client.unlink(key);
  client?.destroy();
  await server?.destroy();
});

/** All keys of a test: the older ones, and those of the store. */
async function keys(start = prefix): Promise<string[]> {
  const found: string[] = [];
  for await (const batch of client.scanIterator({ COUNT: 1000 })) {
    found.push(...batch.filter((key) => key.startsWith(start) || key.startsWith(`{${start}`)));
  }
  return found.sort();
}

const older = async (): Promise<string[]> => (await keys()).filter((key) => key.startsWith(prefix));

/** What the keys hold, whatever their types. */
async function contents(): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const key of await keys()) all[key] = JSON.stringify(await client.sendCommand(['DUMP', key]));
  return all;
}

const env = (): Record<string, string> => ({
  JAF_MEMORY_TYPE: 'redis',
  JAF_REDIS_URL: server.url,
  JAF_REDIS_KEY_PREFIX: prefix,
  TZ: 'America/New_York',
});
const migrate = (args: readonly string[] = [], options: RunOptions = {}): Promise<Ran> =>
  cli(['migrate', '--to', 'lists', ...args], { ...options, env: env() });
/** Runs it with --json; answers the report and the exit code. */
async function converted(...args: readonly string[]): Promise<OlderReport & { code: number | null; stderr: string }> {
  const { code, stdout, stderr } = await migrate(['--json', ...args]);
  return { ...(JSON.parse(stdout || '{}') as OlderReport), code, stderr };
}

async function store(): Promise<MemoryProvider> {
  const provider = await createRedisProvider({ url: server.url, keyPrefix: prefix });
  onTestFinished(() => provider.close());
  return provider;
}

/** As the Python one writes: ASCII, nulls, local times without an offset. */
const ascii = (value: unknown): string =>
  JSON.stringify(value).replaceAll(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
const python = (id: string, count = 2, more: object = {}): string =>
  ascii({
    conversation_id: id,
    user_id: null,
    messages: Array.from({ length: count }, (_, i) => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: `m${i} é\u{1f600}`,
      message_id: `msg_1700000000000_0000000${i % 10}`,
      tool_call_id: null,
      tool_calls: null,
    })),
    metadata: {
      created_at: '2024-03-01T10:00:00.123456',
      updated_at: '2024-03-01T11:00:00.654321',
      last_activity: '2024-03-01T11:00:00.654400',
      total_messages: count,
      topic: 'booking',
      ...more,
    },
  });

const call = { id: 'call_1', type: 'function', function: { name: 'find', arguments: '{"q": "x"}' } };
const attachment = { kind: 'image', mimeType: 'image/png', data: 'aGVsbG8=', name: 'a.png' };

/** The four shapes, their keys, and the conversations they mean. New York is 5 hours behind UTC in winter. */
const SHAPES = {
  'python:*:1': {
    text: ascii({
      conversation_id: 'python:*:1',
      user_id: 'ada',
      messages: [
        {
          role: 'user',
          content: 'caf\u00e9 \u{1f600} \u2028',
          message_id: 'msg_1700000000000_1a2b3c4d',
          tool_call_id: null,
          tool_calls: null,
        },
        { role: 'assistant', content: '', message_id: 'msg_1700000000001_1a2b3c4d', tool_call_id: null, tool_calls: [call] },
        { role: 'tool', content: '{}', message_id: 'msg_1700000000002_1a2b3c4d', tool_call_id: 'call_1', tool_calls: null },
      ],
      metadata: {
        created_at: '2024-01-15T10:00:00.123456',
        updated_at: '2024-01-15T11:00:00',
        last_activity: '2024-01-15T11:00:00',
        total_messages: 3,
        user_id: 'ada',
        trace_id: 'trace-1',
        note: null,
      },
    }),
    means: {
      userId: 'ada',
      messages: [
        { role: 'user', content: 'caf\u00e9 \u{1f600} \u2028', message_id: 'msg_1700000000000_1a2b3c4d' },
        { role: 'assistant', content: '', message_id: 'msg_1700000000001_1a2b3c4d', tool_calls: [call] },
        { role: 'tool', content: '{}', message_id: 'msg_1700000000002_1a2b3c4d', tool_call_id: 'call_1' },
      ],
      messageCount: 3,
      metadata: { note: null, traceId: 'trace-1' },
      createdAt: new Date('2024-01-15T15:00:00.123Z'),
      updatedAt: new Date('2024-01-15T16:00:00.000Z'),
    },
  },
  'typescript[1]?': {
    text: JSON.stringify({
      conversationId: 'typescript[1]?',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'look' },
            { type: 'image_url', image_url: { url: 'https://x/y.png' } },
          ],
        },
        { role: 'user', content: 'and', attachments: [attachment] },
      ],
      metadata: {
        createdAt: '2024-01-15T10:00:00.500Z',
        updatedAt: '2024-01-15T10:30:00.000Z',
        lastActivity: '2024-01-15T10:31:00.000Z',
        totalMessages: 2,
        nested: { a: [null, { b: 1 }] },
      },
    }),
    means: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'look' },
            { type: 'image_url', image_url: { url: 'https://x/y.png' } },
          ],
        },
        { role: 'user', content: 'and', attachments: [attachment] },
      ],
      messageCount: 2,
      metadata: { nested: { a: [null, { b: 1 }] } },
      createdAt: new Date('2024-01-15T10:00:00.500Z'),
      updatedAt: new Date('2024-01-15T10:31:00.000Z'),
    },
  },
  mixed: {
    text: JSON.stringify({
      conversation_id: 'mixed',
      conversationId: 'mixed',
      user_id: 'bob',
      messages: [
        { role: 'user', content: 'hi', message_id: 'msg_1700000000000_1a2b3c4d', tool_call_id: null, tool_calls: null },
        { role: 'assistant', content: 'hello' },
      ],
      metadata: {
        created_at: '2024-01-15T10:00:00.000000',
        updated_at: '2024-01-15T10:00:00.000000',
        updatedAt: '2024-01-15T15:05:00.000Z',
        lastActivity: '2024-01-15T15:05:00.000Z',
        total_messages: 1,
        totalMessages: 2,
      },
    }),
    means: {
      userId: 'bob',
      messages: [
        { role: 'user', content: 'hi', message_id: 'msg_1700000000000_1a2b3c4d' },
        { role: 'assistant', content: 'hello' },
      ],
      messageCount: 2,
      metadata: {},
      createdAt: new Date('2024-01-15T15:00:00.000Z'),
      updatedAt: new Date('2024-01-15T15:05:00.000Z'),
    },
  },
  'document\u{1f600}': {
    text: JSON.stringify({
      conversation_id: 'document\u{1f600}',
      user_id: null,
      messages: [],
      metadata: { user_id: 'eve' },
      created_at: '2024-01-15T10:00:00+00:00',
      updated_at: '2024-01-15T10:00:00+00:00',
    }),
    means: {
      userId: 'eve',
      messages: [],
      messageCount: 0,
      metadata: {},
      createdAt: new Date('2024-01-15T10:00:00.000Z'),
      updatedAt: new Date('2024-01-15T10:00:00.000Z'),
    },
  },
} as const;

describe('jaf-memory migrate --to lists', { timeout: 120_000 }, () => {
  it('converts all shapes exactly, keeps what is left of their time, and finds them there when it is run again', async () => {
    for (const [id, { text }] of Object.entries(SHAPES)) await client.set(prefix + id, text);
    await client.pExpire(`${prefix}mixed`, 3_600_000);
    const before = await older();
    const first = await converted();
    expect(first).toMatchObject({ code: 0, keys: 4, conversations: 4, messages: 7, converted: 4, found: 0, removed: 0 });
    const provider = await store();
    for (const [id, { means }] of Object.entries(SHAPES)) {
      const { version, expiresAt, ...found } = (await provider.getConversation(id)) ?? { version: 0 };
      expect(found).toStrictEqual({ conversationId: id, ...means });
      expect(version).toBeGreaterThan(0);
      const left = expiresAt ? expiresAt.getTime() - Date.now() : undefined;
      if (id !== 'mixed') expect(left).toBeUndefined();
      else expect(left).toSatisfy((ms: number) => ms > 3_400_000 && ms <= 3_600_000);
    }
    expect((await provider.findConversations({ userId: 'ada', traceId: 'trace-1' })).map((c) => c.conversationId)).toStrictEqual([
      'python:*:1',
    ]);
    expect(await older()).toStrictEqual(before);
    const stored = await contents();
    expect(await converted()).toMatchObject({ code: 0, conversations: 4, converted: 0, found: 4, removed: 0 });
    expect(await contents()).toStrictEqual(stored);
    const last = await migrate(['--remove-source']);
    expect(last).toMatchObject({ code: 0, stdout: expect.stringContaining('4 sources removed') });
    expect(last.stderr).toContain('4/4 keys');
    expect(await older()).toStrictEqual([]);
    expect((await provider.getStats()).totalMessages).toBe(7);
    expect((await migrate()).stdout).toContain('There are no conversations of earlier versions');
  });

  it('takes the prefix as it is, not as a pattern', async () => {
    const plain = prefix;
    await client.set(`${plain}ab:c`, python('c'));
    await client.set(`${plain}aXb:c`, python('c'));
    prefix = `${plain}a*b\\[x]?:`;
    await client.set(`${prefix}c`, python('c'));
    await client.set(`${plain}a1b\\xy:c`, python('c'));
    expect(await converted('--remove-source')).toMatchObject({ code: 0, keys: 1, converted: 1, removed: 1 });
    expect(await client.exists([`${plain}ab:c`, `${plain}aXb:c`, `${plain}a1b\\xy:c`])).toBe(3);
  });

  it('leaves what it cannot read, and what is not a conversation, and names both', async () => {
    const provider = await store();
    unwrap(await provider.storeMessages('ours', [user('x')]));
    await client.set(`${prefix}good`, python('good'));
    await client.set(`${prefix}cut`, python('cut').slice(0, -5));
    await client.set(
      `${prefix}role`,
      JSON.stringify({ conversationId: 'role', messages: [{ role: 'robot', content: 'secret' }], metadata: {} }),
    );
    await client.set(`${prefix}${'i'.repeat(256)}`, python('i'.repeat(256)));
    await client.set(`${prefix}sub:c`, python('c'));
    await client.set(`${prefix}lock`, '1');
    await client.hSet(`${prefix}hash`, 'a', '1');
    await client.rPush(`${prefix}list`, 'a');
    await client.sendCommand(['SET', Buffer.concat([Buffer.from(prefix), Buffer.from([0xff, 0xfe])]), '{}']);
    const before = await contents();
    const found = await converted('--remove-source');
    expect(found).toMatchObject({ code: 1, keys: 9, conversations: 3, converted: 1, removed: 1 });
    expect(found.unreadable.keys.map(({ key }) => key.slice(prefix.length, prefix.length + 4)).sort()).toStrictEqual([
      'cut',
      'iiii',
      'role',
    ]);
    expect(found.foreign.keys.map(({ key }) => key.slice(prefix.length)).sort()).toStrictEqual([
      'hash',
      'list',
      'lock',
      'sub:c',
      '\u00ff\u00fe',
    ]);
    expect(found.foreign.keys.find(({ key }) => key.endsWith('hash'))?.reason).toContain('type is hash');
    expect(JSON.stringify(found)).not.toContain('secret');
    const { [`${prefix}good`]: good, ...others } = before;
    expect(good).toBeDefined();
    expect(await contents()).toMatchObject(Object.fromEntries(Object.entries(others).filter(([key]) => key.startsWith(prefix))));
    expect((await provider.getConversation('ours'))?.messages).toStrictEqual([user('x')]);
    const { stdout, code } = await migrate();
    expect(code).toBe(1);
    expect(stdout).toMatch(/5 keys .* are something else, and left alone:\n/);
    expect(stdout).toContain(`${prefix}cut: not JSON`);
  });

  it('says what it would do, and writes nothing', async () => {
    await client.set(`${prefix}a`, python('a'));
    await client.set(`${prefix}b`, python('b'));
    const before = await contents();
    expect(await converted('--dry-run', '--remove-source')).toMatchObject({ code: 0, converted: 2, found: 0, removed: 0 });
    expect(await contents()).toStrictEqual(before);
    await client.unlink(`${prefix}b`);
    await converted();
    await client.set(`${prefix}b`, python('b'));
    const later = await contents();
    expect(await converted('--dry-run')).toMatchObject({ code: 0, converted: 1, found: 1 });
    expect((await migrate(['--dry-run'])).stdout).toContain('1 would be converted, 1 were there already. Nothing was changed.');
    expect(await contents()).toStrictEqual(later);
  });

  it('does not touch another conversation of the same id; one that went on since counts as converted', async () => {
    for (const id of ['other', 'trimmed', 'owner', 'on', 'metadata']) await client.set(`${prefix}${id}`, python(id));
    const provider = await store();
    unwrap(await provider.storeMessages('other', [user('mine')]));
    expect(await converted()).toMatchObject({ code: 1, converted: 4, different: { count: 1, keys: [{ key: `${prefix}other` }] } });
    unwrap(await provider.appendMessages('on', [user('later')]));
    unwrap(await provider.appendMessages('metadata', [], { topic: 'else' }));
    unwrap(await provider.appendMessages('trimmed', [user('later')], undefined, { maxMessages: 2 }));
    unwrap(await provider.appendMessages('owner', [user('later')], undefined, { userId: 'ada' }));
    const found = await converted('--remove-source');
    expect(found).toMatchObject({ code: 1, converted: 0, continued: 2, removed: 2 });
    expect((await older()).map((key) => key.slice(prefix.length))).toStrictEqual(['other', 'owner', 'trimmed']);
    expect((await provider.getConversation('other'))?.messages).toStrictEqual([user('mine')]);
    expect((await provider.getConversation('on'))?.messageCount).toBe(3);
  });

  it('keeps a source that changed after it was read', async () => {
    for (const id of ['quiet', 'busy', 'replaced']) await client.set(`${prefix}${id}`, python(id));
    // of the same sources as convertOlder, which looks inside
    const provider = await createFromSources({ url: server.url, keyPrefix: prefix });
    onTestFinished(() => provider.close());
    // an old program writes while its conversation is being converted
    const restore = provider.restoreConversation.bind(provider);
    provider.restoreConversation = async (...args) => {
      const result = await restore(...args);
      if (args[0].conversationId === 'busy') await client.set(`${prefix}busy`, python('busy', 4));
      if (args[0].conversationId === 'replaced') {
        await client.unlink(`${prefix}replaced`);
        await client.sAdd(`${prefix}replaced`, '1');
      }
      return result;
    };
    const found = await convertOlder(
      { url: server.url, keyPrefix: prefix },
      {
        provider,
        dryRun: false,
        removeSource: true,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      },
    );
    expect(found).toMatchObject({ converted: 3, removed: 1, changed: { count: 2 } });
    expect((await older()).map((key) => key.slice(prefix.length))).toStrictEqual(['busy', 'replaced']);
    expect(await client.get(`${prefix}busy`)).toBe(python('busy', 4));
    // what it wrote is not in the store, and that is said
    expect(await converted('--remove-source')).toMatchObject({ code: 1, removed: 0, different: { keys: [{ key: `${prefix}busy` }] } });
  });

  it('goes on after SIGKILL, and after an interrupt', async () => {
    const COUNT = 3000;
    for (let n = 0; n < COUNT; n += 500) {
      await client.mSet(
        Array.from({ length: 500 }, (_, i) => [`${prefix}c${n + i}`, python(`c${n + i}`, 1 + (i % 7))] as [string, string]),
      );
    }
    const stop = (signal: NodeJS.Signals): RunOptions => ({ live: (child) => child.stderr?.once('data', () => child.kill(signal)) });
    expect(await migrate(['--remove-source'], stop('SIGKILL'))).toMatchObject({ signal: 'SIGKILL' });
    const left = (await older()).length;
    expect(left).toSatisfy((n: number) => n > 0 && n < COUNT);
    const interrupted = await migrate([], stop('SIGINT'));
    expect(interrupted).toMatchObject({ code: 130, stderr: expect.stringContaining('run it again') });
    const last = await converted('--remove-source');
    expect(last).toMatchObject({ code: 0, conversations: left, removed: left });
    expect(last.converted).toBeLessThan(left);
    expect(last.converted + last.found).toBe(left);
    expect(await older()).toStrictEqual([]);
    const provider = await store();
    const messages = Array.from({ length: COUNT }, (_, i) => 1 + ((i % 500) % 7)).reduce((sum, n) => sum + n, 0);
    expect(await provider.getStats()).toMatchObject({ totalConversations: COUNT, totalMessages: messages });
  });

  it('refuses options that mean nothing', async () => {
    for (const [args, expected] of [
      [['--to', 'rows'], 'cannot have the layout rows'],
      [['--to', 'lists', '--table', 'x'], '--table has no meaning'],
      [['--to', 'document'], 'must be "rows" or "lists"'],
      [['--drop-old'], '--drop-old has no meaning'],
    ] as const) {
      expect(await cli(['migrate', ...args], { env: env() })).toMatchObject({ code: 2, stderr: expect.stringContaining(expected) });
    }
    expect(await keys()).toStrictEqual([]);
  });
});

describe('jaf-memory doctor', { timeout: 120_000 }, () => {
  interface Findings {
    readonly findings: { readonly check: string; readonly level: string; readonly detail: string; readonly advice?: string }[];
  }
  const olderData = async (): Promise<Findings['findings']> =>
    (JSON.parse((await cli(['doctor', '--json'], { env: env() })).stdout) as Findings).findings.filter(
      ({ check }) => check === 'older data',
    );

  it('counts what is left of older data, whether there is a store or not', async () => {
    expect(await olderData()).toStrictEqual([]);
    await client.set(`${prefix}a`, python('a'));
    await client.set(`${prefix}b`, python('b'));
    await client.set(`${prefix}lock`, '1');
    await client.hSet(`${prefix}hash`, 'a', '1');
    expect(await olderData()).toMatchObject([
      { level: 'problem', detail: expect.stringMatching(/^2 conversations/), advice: expect.stringContaining('--to lists') },
    ]);
    await converted();
    expect(await olderData()).toMatchObject([{ detail: expect.stringMatching(/^2 conversations/) }]);
    await converted('--remove-source');
    expect(await olderData()).toStrictEqual([]);
  });

  it('does not need rights the store does not need', async () => {
    const own = await startRedis();
    onTestFinished(() => own.destroy());
    const admin = await connect(own.url);
    await admin.set(`${prefix}a`, python('a'));
    await createRedisProvider({ url: own.url, keyPrefix: prefix }).then((provider) => provider.close());
    const check = async (...rights: readonly string[]): Promise<unknown> => {
      await admin.sendCommand([
        'ACL',
        'SETUSER',
        'app',
        'reset',
        'on',
        '>pw',
        `~{${prefix}#*`,
        '+@all',
        '-@dangerous',
        '+info',
        '-scan',
        ...rights,
      ]);
      const url = own.url.replace('//', '//app:pw@');
      const { stdout } = await cli(['doctor', '--json'], {
        env: { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: url, JAF_REDIS_KEY_PREFIX: prefix },
      });
      return (JSON.parse(stdout) as Findings).findings.filter((finding) => finding.check === 'older data' || finding.check === 'open');
    };
    expect(await check()).toMatchObject([{ level: 'note', detail: expect.stringContaining('Not looked for') }]);
    expect(await check('+scan')).toMatchObject([{ level: 'note', detail: expect.stringContaining('Not looked for') }]);
    expect(await check('+scan', `~${prefix}*`)).toMatchObject([{ level: 'problem', detail: expect.stringMatching(/^1 conversation /) }]);
    admin.destroy();
  });

  it('stops counting', async () => {
    for (let n = 0; n < 15_000; n += 5000)
      await client.mSet(Array.from({ length: 5000 }, (_, i) => [`${prefix}${n + i}`, '{'] as [string, string]));
    expect(await olderData()).toMatchObject([{ level: 'problem', detail: expect.stringMatching(/^At least 1\d{4} conversations/) }]);
  });
});
