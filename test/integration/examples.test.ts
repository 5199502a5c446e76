// Every example runs: the HTTP server here, the others in the files named below.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSqliteProvider } from 'jaf/memory';
import { describe, expect, it, onTestFinished } from 'vitest';
import { modelServer, ROOT, testFolder, type WireReply } from './cli-run.js';

const ANN = { authorization: 'Bearer token-of-ann-123456' };
const BOB = { authorization: 'Bearer token-of-bob-123456' };
const JSON_TYPE = { 'content-type': 'application/json' };

interface Running {
  readonly url: string;
  readonly child: ChildProcess;
  /** Exit code and everything that was printed. */
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

/** Starts the example on a free port; it is gone after the test. */
async function start(env: Record<string, string> = {}): Promise<Running> {
  const child = spawn(process.execPath, [join(ROOT, 'examples/http-server/server.mjs')], {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'],
      PORT: '0',
      JAF_HTTP_TOKENS: 'token-of-ann-123456=ann,token-of-bob-123456=bob',
      JAF_MEMORY_TYPE: 'memory',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Awaited<Running['ended']>>((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      const found = /listening on (\S+)/.exec(stdout)?.[1];
      if (found) resolve(found);
    });
    child.once('close', () => reject(new Error(`the server did not start: ${stderr}`)));
  });
  return { url, child, ended };
}

interface Told {
  readonly event: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}
const eventsOf = (text: string): readonly Told[] =>
  text
    .split('\n\n')
    .filter(Boolean)
    .map((block) => {
      const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? '';
      return { event: field('event'), id: field('id'), data: JSON.parse(field('data')) as Record<string, unknown> };
    });

const post = (url: string, id: string, message: unknown, headers: Record<string, string> = {}, init: RequestInit = {}) =>
  fetch(`${url}/conversations/${encodeURIComponent(id)}/messages`, {
    method: 'POST',
    headers: { ...ANN, ...JSON_TYPE, ...headers },
    body: typeof message === 'string' ? JSON.stringify({ message }) : JSON.stringify(message),
    ...init,
  });
const say = async (...args: Parameters<typeof post>): Promise<readonly Told[]> => eventsOf(await (await post(...args)).text());
const get = (url: string, path: string, headers: Record<string, string> = ANN) => fetch(`${url}${path}`, { headers });
const body = async (response: Response): Promise<Record<string, unknown>> => (await response.json()) as Record<string, unknown>;
const failure = async (response: Response): Promise<unknown> => [
  response.status,
  ((await body(response))['error'] as { code: string }).code,
];

describe('examples/http-server', () => {
  it('talks, remembers, lists, shows and deletes', async () => {
    const { url } = await start();
    const id = 'ann:chat/1 ü';
    const told = await say(url, id, 'My name is Ada.');
    expect(told.map((one) => one.event).filter((event) => event !== 'delta')).toEqual(['stored', 'stored', 'done']);
    const done = told.at(-1);
    expect(
      told
        .filter((one) => one.event === 'delta')
        .map((one) => one.data['text'])
        .join(''),
    ).toBe(done?.data['output']);
    expect(new Set(told.map((one) => one.id)).size).toBe(1);
    expect((await say(url, id, 'What is my name?')).at(-1)?.data['output']).toContain('Ada');
    const [listed] = (await body(await get(url, '/conversations')))['conversations'] as Record<string, unknown>[];
    expect(listed).toMatchObject({ conversationId: id, messageCount: 4 });
    const path = `/conversations/${encodeURIComponent(id)}`;
    const shown = await body(await get(url, `${path}?limit=1`));
    expect([shown['messageCount'], (shown['messages'] as unknown[]).length]).toEqual([4, 1]);
    expect((await fetch(`${url}${path}`, { method: 'DELETE', headers: ANN })).status).toBe(204);
    expect(await failure(await get(url, path))).toEqual([404, 'not_found']);
    expect(await failure(await fetch(`${url}${path}`, { method: 'DELETE', headers: ANN }))).toEqual([404, 'not_found']);
  });

  it('lets nobody in without a token, and nobody see what is of another', async () => {
    const { url } = await start();
    await say(url, 'c', 'Hello!');
    for (const authorization of ['', 'Bearer', 'Bearer token-of-ann-12345', 'Bearer token-of-ann-1234567', 'Basic token-of-ann-123456']) {
      const answer = await get(url, '/conversations', { authorization });
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    }
    expect(await failure(await get(url, '/conversations/c', BOB))).toEqual([404, 'not_found']);
    expect((await body(await get(url, '/conversations', BOB)))['conversations']).toEqual([]);
    expect(await failure(await fetch(`${url}/conversations/c`, { method: 'DELETE', headers: BOB }))).toEqual([404, 'not_found']);
    expect(await failure(await post(url, 'c', 'Mine!', BOB))).toEqual([403, 'owner']);
    expect(await body(await get(url, '/conversations/c'))).toMatchObject({ messageCount: 2 });
  });

  it('refuses what is not a request, with JSON', async () => {
    const { url } = await start({ JAF_HTTP_MAX_BODY: '100' });
    expect(await failure(await post(url, 'c', 'x'.repeat(200)))).toEqual([413, 'too_large']);
    // without a length, in pieces
    const pieces = ReadableStream.from(Array.from({ length: 5 }, () => new TextEncoder().encode('x'.repeat(60))));
    const chunked = { body: pieces, duplex: 'half' } as RequestInit;
    expect(await failure(await post(url, 'c', '', {}, chunked))).toEqual([413, 'too_large']);
    expect(await failure(await post(url, 'c', 'Hi', { 'content-type': 'text/plain' }))).toEqual([415, 'unsupported_media_type']);
    expect(await failure(await post(url, 'c', '', {}, { body: '{"message":' }))).toEqual([400, 'invalid']);
    for (const message of [{ message: '' }, { message: 7 }, null, []])
      expect(await failure(await post(url, 'c', message))).toEqual([400, 'invalid']);
    expect(await failure(await post(url, 'c', 'Hi', { 'idempotency-key': 'two words' }))).toEqual([400, 'invalid']);
    expect(await failure(await post(url, 'x'.repeat(256), 'Hi'))).toEqual([400, 'invalid']);
    expect(await failure(await get(url, '/conversations/%ff'))).toEqual([400, 'invalid']);
    expect(await failure(await get(url, '/conversations?limit=-1'))).toEqual([400, 'invalid']);
    expect(await failure(await get(url, '/elsewhere'))).toEqual([404, 'no_route']);
    expect(await failure(await fetch(`${url}/conversations/c`, { method: 'PUT', headers: ANN }))).toEqual([405, 'method']);
    expect((await body(await get(url, '/conversations')))['conversations']).toEqual([]);
  });

  it('stores a repeated request once and answers it again; another message under its key is refused', async () => {
    const { url } = await start();
    const first = await say(url, 'c', 'My name is Ada.', { 'idempotency-key': 'key-1' });
    const again = await say(url, 'c', 'My name is Ada.', { 'last-event-id': first.at(-1)?.id ?? '' });
    expect(first.at(-1)).toEqual({ event: 'done', id: 'key-1', data: expect.anything() as unknown });
    expect(again.at(-1)).toEqual(first.at(-1));
    expect(await failure(await post(url, 'c', 'My name is Bob.', { 'idempotency-key': 'key-1' }))).toEqual([422, 'operation_reused']);
    expect(await body(await get(url, '/conversations/c'))).toMatchObject({ messageCount: 2 });
  });

  it('stops the model when the client leaves, and goes on with the same key', async () => {
    let asked = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const replies: WireReply[] = [];
    const model = await modelServer(() => {
      asked();
      return replies[0];
    });
    const { url } = await start(model);
    const leave = new AbortController();
    const answer = await post(url, 'c', 'Hello?', { 'idempotency-key': 'k' }, { signal: leave.signal });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    await waiting;
    leave.abort();
    await expect(answer.text()).rejects.toThrow('abort');
    replies.push({ content: 'Here I am.' });
    // the first run ends before the second begins: runs on one conversation queue
    const told = await say(url, 'c', 'Hello?', { 'idempotency-key': 'k' });
    expect(told.at(-1)?.data).toEqual({ conversationId: 'c', output: 'Here I am.' });
    const { messages } = await body(await get(url, '/conversations/c'));
    expect(messages).toMatchObject([
      { role: 'user', content: 'Hello?' },
      { role: 'assistant', content: 'Here I am.' },
    ]);
  });

  it('tells that the model failed, with nothing of its text', async () => {
    const { url, child, ended } = await start({ OPENAI_API_KEY: 'sk-hunter2', OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' });
    const told = await say(url, 'c', 'Hello?');
    expect(told.at(-1)).toMatchObject({ event: 'error', data: { code: 'model_failed', message: 'The model failed.', retryable: true } });
    child.kill('SIGTERM');
    expect(JSON.stringify([told, await ended])).not.toContain('hunter2');
  });

  it('/health and /metrics say how it is', async () => {
    const { url } = await start({ JAF_MEMORY_MAX_MESSAGES: '1' });
    await say(url, 'c', 'Hello!');
    await get(url, '/conversations/c');
    const health = await get(url, '/health', {});
    expect([health.status, await body(health)]).toEqual([
      200,
      { healthy: true, draining: false, provider: 'memory', latencyMs: expect.any(Number) as unknown },
    ]);
    const metrics = await get(url, '/metrics', {});
    expect(metrics.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await metrics.text();
    for (const line of text.trimEnd().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) jaf_memory_\w+ .+|jaf_memory_\w+(\{(\w+="[^"]*",?)*\})? [\d.e+-]+)$/);
    // a family is one block, announced once
    const families = [...text.matchAll(/^# TYPE (\w+) /gm)].map((match) => match[1]);
    expect(new Set(families).size).toBe(families.length);
    const samples = (name: string, labels: string): number[] =>
      [...text.matchAll(new RegExp(`^${name}\\{${labels}\\} (\\S+)$`, 'gm'))].map((match) => Number(match[1]));
    const of = 'provider="memory",operation="appendMessages"';
    const duration = 'jaf_memory_operation_duration_seconds';
    const buckets = samples(`${duration}_bucket`, `${of},le="[^"]+"`);
    expect(buckets).toHaveLength(11);
    expect(buckets).toEqual([...buckets].sort((a, b) => a - b));
    expect([buckets.at(-1), ...samples(`${duration}_count`, of)]).toEqual([2, 2]);
    expect(samples(`${duration}_sum`, of)[0]).toBeGreaterThan(0);
    expect(text).toContain(`${duration}_bucket{${of},le="+Inf"} 2`);
    expect(text).toContain(`${duration}_bucket{${of},le="0.005"}`);
    expect(samples('jaf_memory_up', 'provider="memory"')).toEqual([1]);
    expect(samples('jaf_memory_events_total', 'provider="memory",type="trimmed"')).toEqual([1]);
    expect(samples('jaf_memory_operation_failures_total', of)).toEqual([0]);
  });

  it('at SIGTERM finishes what is under way, closes the store, and has lost nothing', async () => {
    const path = join(testFolder(), 'chat.db');
    let answerNow = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      answerNow = resolve;
    });
    const model = await modelServer(() => {
      answerNow();
      return { content: 'Done in time.' };
    });
    const { url, child, ended } = await start({ ...model, JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: path });
    const talking = say(url, 'c', 'Hello?');
    await asked;
    child.kill('SIGTERM');
    expect((await talking).at(-1)?.data).toEqual({ conversationId: 'c', output: 'Done in time.' });
    expect(await ended).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/stopped\n$/) as unknown });
    await using provider = await createSqliteProvider({ path });
    expect((await provider.getConversation('c'))?.messageCount).toBe(2);
  });

  it('aborts what does not finish in time, and the message stays', async () => {
    const path = join(testFolder(), 'chat.db');
    const model = await modelServer(() => undefined);
    const env = { ...model, JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: path, JAF_HTTP_DRAIN: '50' };
    const { url, child, ended } = await start(env);
    const answer = await post(url, 'c', 'Hello?');
    child.kill('SIGTERM');
    await answer.text().catch(() => undefined);
    expect((await ended).code).toBe(0);
    await using provider = await createSqliteProvider({ path });
    expect((await provider.getConversation('c'))?.messages.map((message) => message.role)).toEqual(['user']);
  });

  it.each([
    ['without tokens', { JAF_HTTP_TOKENS: '' }, 'JAF_HTTP_TOKENS is missing'],
    ['with a short token', { JAF_HTTP_TOKENS: 'short=ann' }, '16 characters'],
    ['with a port that is none', { PORT: 'http' }, 'PORT must be a whole number'],
  ])('does not start %s', async (_what, env, message) => {
    await expect(start(env)).rejects.toThrow(message);
  });
});

describe('docs/http-api.md', () => {
  const page = readFileSync(join(ROOT, 'docs/http-api.md'), 'utf8');
  const source = readFileSync(join(ROOT, 'examples/http-server/errors.mjs'), 'utf8');
  const statuses = [...source.matchAll(/^ {2}([a-z_]+): (\d{3}),$/gm)].map((match) => [match[1] ?? '', match[2] ?? ''] as const);

  it('has the status of every error code, and there is one for each', () => {
    const errors = readFileSync(join(ROOT, 'src/memory/errors.ts'), 'utf8');
    const lists = [...errors.matchAll(/Codes?: ((?:`[a-z_]+`(?: \([^)]*\))?(?:, )?)+)/g)];
    const codes = lists.flatMap((list) => [...(list[1] ?? '').matchAll(/`([a-z_]+)`/g)].map((match) => match[1] ?? ''));
    expect(codes.length).toBeGreaterThan(15);
    expect(codes.filter((code) => !statuses.some(([known]) => known === code))).toEqual([]);
    const missing = statuses.filter(([code, status]) => !new RegExp(`^\\| ${status} \\|[^|]*\`${code}\``, 'm').test(page));
    expect(missing).toEqual([]);
  });
});

it('every example is run by a test', () => {
  const tests: Readonly<Record<string, string>> = {
    'file-driver': 'test/conformance/file-driver.test.ts',
    'http-server': 'test/integration/examples.test.ts',
    quickstart: 'test/integration/quickstart.test.ts',
  };
  const folders = readdirSync(join(ROOT, 'examples')).sort();
  expect(folders).toEqual(Object.keys(tests).sort());
  for (const [folder, file] of Object.entries(tests)) expect(readFileSync(join(ROOT, file), 'utf8')).toContain(folder);
});
