import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { assistant, createMemoryProviderFromEnv, createSqliteProvider, type Message, unwrap, user } from 'jaf/memory';
import { describe, expect, it } from 'vitest';
import { loadSqlite } from '../../src/memory/providers/sqlite/client.js';
import { useStores } from '../support/stores.js';
import { cli, modelServer, testFolder } from './cli-run.js';

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/;

/** A store with a few conversations, written two minutes apart. */
async function store(): Promise<string> {
  const path = join(testFolder(), 'x.db');
  let now = Date.UTC(2026, 0, 10, 12);
  const provider = await createSqliteProvider({ path, clock: () => now, sweep: false });
  for (const [id, userId, count] of [
    ['first', 'ada', 2],
    ['second', 'bob', 5],
    ['third', 'ada', 1],
  ] as const) {
    const messages = Array.from(
      { length: count },
      (_, i): Message => (i % 2 === 0 ? user(`secret question ${i}`) : assistant(`secret answer ${i}`)),
    );
    unwrap(
      await provider.storeMessages(id, messages, { topic: `secret topic of ${id}`, level: count }, { userId, traceId: `trace-${id}` }),
    );
    now += 86_400_000;
  }
  await provider.close();
  return path;
}
const ids = (stdout: string): string[] =>
  (JSON.parse(stdout) as { conversations: { conversationId: string }[] }).conversations.map((c) => c.conversationId);

describe('usage', () => {
  it('answers 2 and says what to do', async () => {
    for (const [args, expected] of [
      [[], 'Usage:'],
      [['lst'], 'Did you mean list?'],
      [['list', '--limt', '5'], '--limit'],
      [['show'], "missing required argument 'id'"],
      [['list', '-n', 'many'], '--limit must be a whole number'],
      [['list', '--order', 'up'], '--order must be newest or oldest'],
      [['list', '--since', '2026-02-31'], '--since must be a time'],
      [['list', '--since', '2026-02-02', '--until', '2026-02-01'], '--since must not be later'],
      [['list', '-m', 'x'], '--metadata must be key=value'],
      [['info', '-p', 'x.db'], 'Did you mean "sqlite:x.db"?'],
      [['info', '-p', 'sqlite://x.db'], 'without "//"'],
      [['chat', '-c', ''], '--conversation must be 1 to 255'],
    ] as const) {
      const { code, stdout, stderr } = await cli(args);
      expect([args, code, stdout]).toStrictEqual([args, 2, '']);
      expect(stderr).toContain(expected);
    }
  });

  it('answers 0 to a cry for help', async () => {
    const { code, stdout } = await cli(['--help']);
    expect(code).toBe(0);
    for (const name of ['info', 'doctor', 'list', 'show', 'stats', 'replay', 'chat', 'Exit codes']) expect(stdout).toContain(name);
  });

  it('prints errors as JSON when asked to', async () => {
    for (const [args, code] of [
      [['lst', '--json'], 'usage'],
      [['list', '--json', '-p', 'mysql://h'], 'config'],
      [['list', '--json', '-p', 'sqlite:./no-such-file.db'], 'refused'],
    ] as const) {
      const { stderr, stdout } = await cli(args);
      expect(stdout).toBe('');
      expect(JSON.parse(stderr)).toMatchObject({ error: { code, message: expect.any(String) } });
    }
  });

  it('never shows a secret', async () => {
    const refused = 'postgres://u:hunter2@127.0.0.1:1/d';
    for (const [env, info, others] of [
      [{ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'redis://:hunter2@h/x' }, 2, 2],
      [{ JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'redis://:hunter2@127.0.0.1:1' }, 0, 3],
      [{ JAF_MEMORY_TYPE: 'postgres', JAF_POSTGRES_CONNECTION_STRING: refused, JAF_POSTGRES_PASSWORD: 'hunter2' }, 0, 3],
    ] as const) {
      for (const command of ['info', 'doctor', 'list', 'stats', 'chat']) {
        const { code, stdout, stderr } = await cli([command], { env });
        expect(stdout + stderr).not.toContain('hunter2');
        expect([command, code]).toStrictEqual([command, command === 'info' ? info : others]);
      }
    }
  }, 120_000);
});

describe('info', () => {
  it('takes --provider before the environment', async () => {
    const env = { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_URL: 'redis://h' };
    expect(JSON.parse((await cli(['info', '--json'], { env })).stdout)).toMatchObject({
      type: 'redis',
      location: 'h:6379/0',
    });
    expect(JSON.parse((await cli(['info', '--json', '--provider', 'sqlite:/x/y.db'], { env })).stdout)).toMatchObject({
      type: 'sqlite',
      location: '/x/y.db',
    });
    expect(JSON.parse((await cli(['--json', '-p', 'memory:', 'info'], { env })).stdout)).toMatchObject({
      type: 'memory',
      persistence: false,
    });
  });
});

describe('list', () => {
  it('shows ids, counts and times, and nothing anybody wrote', async () => {
    const path = await store();
    const { code, stdout, stderr } = await cli(['list', '-p', `sqlite:${path}`]);
    expect(code).toBe(0);
    expect(stdout.split('\n').map((line) => line.split(/\s{2,}/).slice(0, 4))).toStrictEqual([
      ['conversation', 'user', 'messages', 'last written'],
      ['third', 'ada', '1', '2026-01-12 12:00Z'],
      ['second', 'bob', '5', '2026-01-11 12:00Z'],
      ['first', 'ada', '2', '2026-01-10 12:00Z'],
      [''],
    ]);
    expect(stdout + (await cli(['list', '--json', '-p', `sqlite:${path}`])).stdout).not.toContain('secret');
    expect(stderr).toContain('3 conversations');
    expect((await cli(['list', '-q', '-p', `sqlite:${path}`])).stderr).toBe('');
  });

  it('takes the filters of a query', async () => {
    const path = await store();
    for (const [args, expected, more] of [
      [['--user', 'ada'], ['third', 'first'], false],
      [['--order', 'oldest'], ['first', 'second', 'third'], false],
      [['--limit', '2'], ['third', 'second'], true],
      [['--limit', '3'], ['third', 'second', 'first'], false],
      [['--limit', '0'], [], true],
      [['--limit', 'all', '--offset', '1'], ['second', 'first'], false],
      [['--since', '2026-01-11'], ['third', 'second'], false],
      [['--until', '2026-01-11'], ['second', 'first'], false],
      [['--until', '2026-01-11T11:59:59Z'], ['first'], false],
      [['--since', '1h'], [], false],
      [['--trace', 'trace-second'], ['second'], false],
      [['-m', 'level=5'], ['second'], false],
      [['-m', 'topic=secret topic of first', '-m', 'level=2'], ['first'], false],
    ] as const) {
      const { stdout } = await cli(['list', '--json', '-p', `sqlite:${path}`, ...args]);
      expect([args, ids(stdout), JSON.parse(stdout).more]).toStrictEqual([args, expected, more]);
    }
  }, 120_000);

  it('says that an in-memory store is always empty', async () => {
    const { code, stdout, stderr } = await cli(['list']);
    expect([code, stdout]).toStrictEqual([0, '']);
    expect(stderr).toContain('always empty in a new process');
  });
});

describe('commands that read', () => {
  it('create no file', async () => {
    const cwd = testFolder();
    for (const args of [['list'], ['show', 'x'], ['stats']]) {
      const { code, stderr } = await cli([...args, '-p', 'sqlite:./no.db'], { cwd });
      expect([args, code]).toStrictEqual([args, 3]);
      expect(stderr).toContain('there is no such file');
    }
    for (const args of [['doctor'], ['info']]) expect((await cli([...args, '-p', 'sqlite:./no.db'], { cwd })).code).toBe(0);
    expect(readdirSync(cwd)).toStrictEqual([]);
  });

  it("leave another program's database alone", async () => {
    const path = join(testFolder(), 'other.db');
    const { DatabaseSync } = await loadSqlite();
    const db = new DatabaseSync(path);
    // in this mode a plain opening, also for reading, leaves two files beside it
    db.exec('PRAGMA journal_mode = WAL; CREATE TABLE invoices (id INTEGER)');
    db.close();
    const hash = (): string => createHash('sha256').update(readFileSync(path)).digest('hex');
    const before = hash();
    for (const args of [['list'], ['stats'], ['show', 'x']]) expect((await cli([...args, '-p', `sqlite:${path}`])).code).toBe(3);
    expect((await cli(['doctor', '-p', `sqlite:${path}`])).code).toBe(0);
    expect(hash()).toBe(before);
    expect(readdirSync(dirname(path))).toStrictEqual(['other.db']);
  });
});

describe('show', () => {
  it('prints a transcript', async () => {
    const path = await store();
    const { code, stdout } = await cli(['show', 'second', '-p', `sqlite:${path}`]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^second\nuser bob, 5 messages, created 2026-01-11 12:00Z/);
    expect(stdout).toContain('#1 user\n  secret question 0\n\n#2 assistant\n  secret answer 1\n');
    const last = await cli(['show', 'second', '--last', '2', '-p', `sqlite:${path}`]);
    expect(last.stdout).not.toContain('#3 ');
    expect(last.stdout).toContain('#4 assistant\n  secret answer 3\n\n#5 user\n  secret question 4\n');
    expect((await cli(['show', 'second', '--last', '0', '-p', `sqlite:${path}`])).stdout).not.toContain('#');
  });

  it('prints a long conversation whole, also as JSON', async () => {
    const path = join(testFolder(), 'long.db');
    const messages = Array.from({ length: 501 }, (_, i) => user(`message ${i + 1}`));
    await using provider = await createSqliteProvider({ path });
    unwrap(await provider.storeMessages('long', messages, { a: [1, null] }));
    const texts = (await cli(['show', 'long', '-p', `sqlite:${path}`])).stdout.match(/^ {2}message \d+$/gm);
    expect(texts).toStrictEqual(messages.map((_, i) => `  message ${i + 1}`));
    const whole = JSON.parse((await cli(['show', 'long', '--json', '-p', `sqlite:${path}`])).stdout) as object;
    expect(whole).toMatchObject({ conversationId: 'long', messageCount: 501, firstSeq: 1, metadata: { a: [1, null] }, messages });
    const tail = JSON.parse((await cli(['show', 'long', '--last', '300', '--json', '-p', `sqlite:${path}`])).stdout) as object;
    expect(tail).toMatchObject({ firstSeq: 202, messages: messages.slice(-300) });
  });

  it('answers 1 when there is no such conversation', async () => {
    const path = await store();
    expect(await cli(['show', 'fourth', '-p', `sqlite:${path}`])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('no such conversation'),
    });
  });

  it('lets nothing that was stored steer the terminal', async () => {
    const path = join(testFolder(), 'evil.db');
    const evil = '\u001b]0;owned\u0007\u001b[31mred\u001b[0m\u0000\u009b2J\u202eback\rfront\u007f\ud800';
    const messages: Message[] = [
      { role: 'user', content: evil, name: evil },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: evil, type: 'function', function: { name: evil, arguments: `{"a":"${evil}"}` } }],
      },
      { role: 'tool', content: [{ type: 'text', text: evil }], tool_call_id: evil, name: evil },
      { role: 'user', content: 'see', attachments: [{ kind: 'file', name: evil }] },
    ];
    await using provider = await createSqliteProvider({ path });
    const id = `evil\u001b[2J\n${'x'.repeat(10)}`;
    unwrap(await provider.storeMessages(id, messages, { note: evil.replace('\ud800', '') }, { userId: 'eve\u001b[1m' }));
    for (const args of [['list'], ['show', id], ['stats', '--user', 'eve\u001b[1m'], ['doctor']]) {
      const { stdout, stderr } = await cli([...args, '-p', `sqlite:${path}`]);
      expect(stdout + stderr).not.toMatch(CONTROLS);
    }
    const { stdout } = await cli(['show', id, '-p', `sqlite:${path}`]);
    expect(stdout).toContain('\\x1b[31mred');
    expect(stdout).toContain('\\u202eback\\x0dfront');
    expect((await cli(['chat', '-c', id, '-p', `sqlite:${path}`], { input: '/history\n' })).stdout).not.toMatch(CONTROLS);
  }, 120_000);
});

describe('stats', () => {
  it('counts everything, or what one user has', async () => {
    const path = await store();
    expect(JSON.parse((await cli(['stats', '--json', '-p', `sqlite:${path}`])).stdout)).toMatchObject({
      totalConversations: 3,
      totalMessages: 8,
    });
    expect(JSON.parse((await cli(['stats', '--json', '--user', 'ada', '-p', `sqlite:${path}`])).stdout)).toMatchObject({
      userId: 'ada',
      userConversations: 2,
      userMessages: 3,
    });
    expect((await cli(['stats', '-p', `sqlite:${path}`])).stdout).toMatch(/conversations\s+3\nmessages\s+8\n/);
  });
});

describe('doctor', () => {
  it('answers 0 for a store that works', async () => {
    const { code, stdout } = await cli(['doctor', '-p', `sqlite:${await store()}`]);
    expect(code).toBe(0);
    expect(stdout).toContain('3 conversations, 8 messages');
    expect(stdout).toMatch(/answers in .* ms/);
  });

  it('answers 1 with findings, each with what to do', async () => {
    const { code, stdout } = await cli(['doctor', '--json']);
    expect(code).toBe(1);
    const { findings } = JSON.parse(stdout) as { findings: { level: string; check: string; advice?: string }[] };
    const problems = findings.filter((f) => f.level === 'problem');
    expect(problems.map((f) => f.check)).toStrictEqual(['durability']);
    for (const problem of problems) expect(problem.advice).toBeTruthy();
    const path = await store();
    const ignored = await cli(['doctor'], { env: { JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: path, JAF_MEMORY_MAX_MESSAGES: '5' } });
    expect([ignored.code, ignored.stdout.includes('JAF_MEMORY_MAX_MESSAGES')]).toStrictEqual([1, true]);
  });

  it('answers 2 for a wrong setting and 3 for a store that cannot be used', async () => {
    const folder = testFolder();
    writeFileSync(join(folder, 'text.db'), 'some text, no database');
    for (const [args, env, expected] of [
      [[], { JAF_MEMORY_TYPE: 'sqlit' }, 2],
      [[], { JAF_SQLITE_PATH: 'x.db' }, 2],
      [[], { JAF_MEMORY_TYPE: 'redis', JAF_REDIS_HOST: '127.0.0.1', JAF_REDIS_PORT: '1' }, 3],
      [['-p', 'sqlite:./no/such/x.db'], {}, 3],
      [['-p', 'sqlite:./text.db'], {}, 3],
      [['-p', 'sqlite:.'], {}, 3],
    ] as const) {
      const { code, stdout } = await cli(['doctor', ...args], { cwd: folder, env });
      expect([args, env, code]).toStrictEqual([args, env, expected]);
      expect(stdout).toContain('->');
    }
  });
});

describe('output', () => {
  it('is plain when piped, and coloured when that is asked for', async () => {
    const path = await store();
    const colour = '\u001b[';
    const run = async (args: readonly string[], env: Record<string, string>): Promise<boolean> =>
      (await cli(['show', 'first', '-p', `sqlite:${path}`, ...args], { env })).stdout.includes(colour);
    expect(await run([], {})).toBe(false);
    expect(await run([], { FORCE_COLOR: '1' })).toBe(true);
    expect(await run([], { FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false);
    expect(await run(['--no-color'], { FORCE_COLOR: '1' })).toBe(false);
  });
});

describe('chat', () => {
  it('says in its first line that the model is offline, and remembers in another process', async () => {
    const cwd = testFolder();
    const first = await cli(['chat', '-p', 'sqlite:./c.db'], { cwd, input: 'My name is Ada.\n' });
    expect(first.code).toBe(0);
    expect(first.stdout.split('\n')[0]).toMatch(/^Offline model/);
    const second = await cli(['chat', '-p', 'sqlite:./c.db'], { cwd, input: 'What is my name?' });
    expect(second.stdout).toContain('2 messages remembered');
    expect(second.stdout.split('\n').slice(2).join('\n')).toContain('Ada');
    const other = await cli(['chat', '-p', 'sqlite:./c.db', '-c', 'another'], { cwd, input: 'What is my name?' });
    expect(other.stdout).not.toContain('Ada');
  });

  it('keeps to ./jaf-memory.db when no store is named', async () => {
    const cwd = testFolder();
    expect((await cli(['chat'], { cwd, input: 'My name is Ada.\n' })).stdout).toContain(join(cwd, 'jaf-memory.db'));
    expect(existsSync(join(cwd, 'jaf-memory.db'))).toBe(true);
    const elsewhere = testFolder();
    expect((await cli(['chat'], { cwd: elsewhere, input: 'Hi.\n', env: { JAF_MEMORY_TYPE: 'memory' } })).code).toBe(0);
    expect(readdirSync(elsewhere)).toStrictEqual([]);
  });

  it('knows its commands', async () => {
    const cwd = testFolder();
    const input = 'My name is Ada.\n/history\n/history 1\n/stats\n/nonsense\n/forget\n/forget\n/history\n/quit\nMy name is Bob.\n';
    const { code, stdout, stderr } = await cli(['chat', '-p', 'sqlite:./c.db', '-u', 'u1'], { cwd, input });
    expect(code).toBe(0);
    expect(stdout).toContain('#1 user\n  My name is Ada.\n#2 assistant\n');
    expect(stdout).toContain('this conversation  2 messages');
    expect(stdout).toMatch(/Forgotten\.\nThere was nothing to forget\.\nNothing is remembered yet\.\n$/);
    expect(stderr).toContain('/nonsense');
    expect(JSON.parse((await cli(['stats', '--json', '-p', 'sqlite:./c.db'], { cwd })).stdout)).toMatchObject({ totalConversations: 0 });
  });

  it('streams from a real model, which gets the history', async () => {
    const cwd = testFolder();
    const sent: number[] = [];
    const env = await modelServer((messages) => {
      sent.push(messages.length);
      return { content: `Your last words: ${messages.at(-1)?.content}\u001b[2J ünï😀` };
    });
    const { code, stdout } = await cli(['chat', '-p', 'sqlite:./c.db', '--model', 'some-model'], { cwd, env, input: 'one\ntwo\n' });
    expect(code).toBe(0);
    expect(stdout.split('\n')[0]).toMatch(/^Model some-model at 127\.0\.0\.1:\d+\.$/);
    expect(stdout).toContain('Your last words: one\\x1b[2J ünï😀\nYour last words: two\\x1b[2J ünï😀\n');
    expect(sent).toStrictEqual([2, 4]);
    expect(stdout).not.toContain('hunter2');
  });

  it('answers 3 when the model cannot be reached, and keeps what the user said', async () => {
    const cwd = testFolder();
    const env = { OPENAI_API_KEY: 'sk-hunter2', OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' };
    const { code, stderr } = await cli(['chat', '-p', 'sqlite:./c.db'], { cwd, env, input: 'one\n' });
    expect(code).toBe(3);
    expect(stderr).toContain('OPENAI_BASE_URL');
    expect(stderr).not.toContain('hunter2');
    expect((await cli(['show', 'chat', '-p', 'sqlite:./c.db'], { cwd })).stdout).toContain('#1 user\n  one');
  });

  it('answers 130 to an interrupt, at the prompt and during a reply, and leaves the store in order', async () => {
    const cwd = testFolder();
    let asked = (): void => undefined;
    const env = await modelServer(() => {
      asked();
      return undefined;
    });
    const waiting = await cli(['chat', '-p', 'sqlite:./c.db'], {
      cwd,
      live: (child) => child.stdout?.once('data', () => child.kill('SIGINT')),
    });
    expect(waiting).toMatchObject({ code: 130, signal: null });
    const replying = await cli(['chat', '-p', 'sqlite:./c.db'], {
      cwd,
      env,
      live: (child) => {
        asked = () => child.kill('SIGINT');
        child.stdin?.write('one\n');
      },
    });
    expect(replying).toMatchObject({ code: 130, signal: null });
    expect(readdirSync(cwd)).toStrictEqual(['c.db']);
    expect((await cli(['show', 'chat', '-p', 'sqlite:./c.db'], { cwd })).stdout).toContain('#1 user\n  one');
  });
});

describe('a store on a server', () => {
  const stores = useStores(['redis', 'postgres', 'postgres-document']);
  it.each(['redis', 'postgres', 'postgres-document'] as const)('is looked at without being made, then read (%s)', async (kind) => {
    const env = stores.env(kind);
    for (const command of ['list', 'show c', 'stats']) {
      expect(await cli(command.split(' '), { env })).toMatchObject({
        code: 3,
        stderr: expect.stringMatching(/no (tables of this name|conversations under this prefix)/),
      });
    }
    expect(await cli(['doctor'], { env })).toMatchObject({ code: 0, stdout: expect.stringContaining('will be created by the first use') });
    // still not there: opening it in the layout it has not would fail
    const provider = await createMemoryProviderFromEnv(env);
    unwrap(await provider.storeMessages('c', [user('hello')], undefined, { userId: 'ada' }));
    await provider.close();
    const { findings } = JSON.parse((await cli(['doctor', '--json'], { env })).stdout) as { findings: { check: string; detail: string }[] };
    expect(findings).toContainEqual(expect.objectContaining({ check: 'store', detail: expect.stringContaining('conversation') }));
    expect((await cli(['list', '--user', 'ada'], { env })).stdout).toContain('ada');
    expect((await cli(['show', 'c'], { env })).stdout).toContain('hello');
  });
});
