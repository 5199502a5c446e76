import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ModelReply, type ModelRequest, run, stream, tool } from 'jaf';
import { assistant, createInMemoryProvider, MemoryConfigError, type Message, toolResult, user } from 'jaf/memory';
import { createOpenAIModel } from 'jaf/models';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { failure, output, state } from './engine.kit.js';

type Body = {
  model: string;
  messages: { role: string; content?: unknown; tool_calls?: unknown; tool_call_id?: string }[];
  stream?: boolean;
  [k: string]: unknown;
};
type Handler = (body: Body, response: ServerResponse, request: IncomingMessage) => void;

/** A chat-completions server of our own: real HTTP, answers by the test. */
let server: Server;
let baseURL: string;
let handle: Handler;
const bodies: Body[] = [];
const closed: string[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    request.on('end', () => {
      const body = JSON.parse(text) as Body;
      bodies.push(body);
      response.on('close', () => closed.push(response.writableFinished ? 'finished' : 'cut'));
      handle(body, response, request);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  bodies.length = 0;
  closed.length = 0;
});

const json = (response: ServerResponse, status: number, value: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};
const reply = (message: object, usage?: object): object => ({
  id: 'x',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason: 'stop' }],
  usage,
});
const delta = (part: object, finish: string | null = null): object => ({
  id: 'x',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: part, finish_reason: finish }],
});
const events = (response: ServerResponse, chunks: readonly object[], done = true): void => {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const chunk of chunks) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  if (done) response.end('data: [DONE]\n\n');
};

/** Without the retries of the client, which would wait. */
const model = (options: object = {}): ReturnType<typeof createOpenAIModel> =>
  createOpenAIModel({ model: 'test-model', client: new OpenAI({ apiKey: 'key', baseURL, maxRetries: 0 }), ...options });
const ask = (request: Partial<ModelRequest> = {}): ModelRequest => ({ messages: [user('Hello')], tools: [], ...request });

async function streamed(request: ModelRequest, from = model()): Promise<{ deltas: string[]; reply: ModelReply | undefined }> {
  const deltas: string[] = [];
  let last: ModelReply | undefined;
  for await (const chunk of from.streamCompletion?.(request) ?? []) {
    if (chunk.textDelta) deltas.push(chunk.textDelta);
    last = chunk.reply ?? last;
  }
  return { deltas, reply: last };
}

describe('createOpenAIModel over HTTP', () => {
  it('sends the messages and settings, and reads the reply and its usage', async () => {
    handle = (_, response) => json(response, 200, reply({ content: 'Hi!' }, { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 }));
    const made = createOpenAIModel({ model: 'test-model', apiKey: 'key', baseURL });
    const jsonSchema = { type: 'object', properties: {} };
    const answer = await made.getCompletion(
      ask({
        messages: [
          { role: 'system', content: 's' },
          { ...user('Hello'), message_id: 'm1', extra: 1 },
        ],
        tools: [{ name: 't', description: 'd', jsonSchema }],
        temperature: 0.5,
        maxTokens: 9,
        outputSchema: jsonSchema,
      }),
    );
    expect(answer).toEqual({ message: assistant('Hi!'), usage: { inputTokens: 7, outputTokens: 2 } });
    expect(bodies[0]).toEqual({
      model: 'test-model',
      messages: [
        { role: 'system', content: 's' },
        { role: 'user', content: 'Hello' },
      ],
      tools: [{ type: 'function', function: { name: 't', description: 'd', parameters: jsonSchema } }],
      temperature: 0.5,
      max_tokens: 9,
      response_format: { type: 'json_schema', json_schema: { name: 'output', schema: jsonSchema } },
    });
    await made.getCompletion(ask({ model: 'other' }));
    expect(bodies[1]).toEqual({ model: 'other', messages: [{ role: 'user', content: 'Hello' }] });
  });

  it('keeps tool calls verbatim, and gives calls without an id one', async () => {
    handle = (_, response) =>
      json(
        response,
        200,
        reply({
          content: null,
          tool_calls: [
            { id: 'c1', type: 'function', function: { name: 'a', arguments: '{"x": 1 }' } },
            { type: 'function', function: { name: 'b', arguments: { y: 2 } } },
          ],
        }),
      );
    const { message } = await model().getCompletion(ask());
    expect(message.content).toBeNull();
    expect(message.tool_calls?.[0]).toEqual({ id: 'c1', type: 'function', function: { name: 'a', arguments: '{"x": 1 }' } });
    expect(message.tool_calls?.[1]?.function).toEqual({ name: 'b', arguments: '{"y":2}' });
    expect(message.tool_calls?.[1]?.id).toMatch(/^call_/);
  });

  it('puts streamed text, tool calls and usage together', async () => {
    handle = (body, response) => {
      expect(body).toMatchObject({ stream: true, stream_options: { include_usage: true } });
      events(response, [
        delta({ role: 'assistant', content: '' }),
        delta({ content: 'Let me ' }),
        delta({ content: 'look.' }),
        delta({ tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'a', arguments: '' } }] }),
        delta({ tool_calls: [{ index: 0, function: { arguments: '{"x"' } }] }),
        delta({ tool_calls: [{ index: 1, id: 'c2', type: 'function', function: { name: 'b', arguments: '{}' } }] }),
        delta({ tool_calls: [{ index: 0, function: { arguments: ':1}' } }] }),
        delta({}, 'tool_calls'),
        { id: 'x', choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } },
      ]);
    };
    const { deltas, reply: whole } = await streamed(ask());
    expect(deltas).toEqual(['Let me ', 'look.']);
    expect(whole).toEqual({
      message: {
        role: 'assistant',
        content: 'Let me look.',
        tool_calls: [
          { id: 'c1', type: 'function', function: { name: 'a', arguments: '{"x":1}' } },
          { id: 'c2', type: 'function', function: { name: 'b', arguments: '{}' } },
        ],
      },
      usage: { inputTokens: 3, outputTokens: 4 },
    });
  });

  it('shows a refusal', async () => {
    handle = (_, response) => json(response, 200, reply({ content: null, refusal: 'I cannot.' }));
    expect((await model().getCompletion(ask())).message).toEqual({ role: 'assistant', content: 'I cannot.', refusal: 'I cannot.' });
  });

  it.each([500, 401])('passes an error of the server on (%i)', async (status) => {
    handle = (_, response) => json(response, status, { error: { message: 'no', type: 'x' } });
    await expect(model().getCompletion(ask())).rejects.toMatchObject({ status });
    await expect(streamed(ask())).rejects.toMatchObject({ status });
    const result = await run(state([user('x')], {}), {
      agentRegistry: { A: { name: 'A', instructions: () => '' } },
      modelProvider: model(),
    });
    expect(failure(result)).toMatchObject({ status });
    expect(failure(result).message).not.toContain('key');
  });

  it('tries a failing server again, as the client does by default', async () => {
    handle = (_, response) => {
      if (bodies.length > 1) return json(response, 200, reply({ content: 'ok' }));
      response.setHeader('retry-after-ms', '1');
      return json(response, 500, {});
    };
    expect((await createOpenAIModel({ apiKey: 'key', baseURL }).getCompletion(ask())).message.content).toBe('ok');
    expect(bodies).toHaveLength(2);
  });

  it.each(['the connection breaks', 'the events just stop'])('does not take half a reply for a whole one when %s', async (how) => {
    handle = (_, response) => {
      events(response, [delta({ content: 'Half a' })], false);
      if (how === 'the connection breaks') setImmediate(() => response.destroy());
      else response.end();
    };
    await expect(streamed(ask())).rejects.toThrow(/terminated|before the reply was complete|Premature|aborted|hang up/i);
    const provider = createInMemoryProvider();
    const running = stream(state([user('x')], {}), {
      agentRegistry: { A: { name: 'A', instructions: () => '' } },
      modelProvider: model(),
      memory: { provider },
      conversationId: 'c',
    });
    expect(failure(await running.result)).toBeInstanceOf(Error);
    expect((await provider.getConversation('c'))?.messages).toEqual([user('x')]);
  });

  it('fails when the server is no chat-completions server', async () => {
    handle = (_, response) => json(response, 200, { hello: 'world' });
    await expect(model().getCompletion(ask())).rejects.toMatchObject({ code: 'model_reply' });
  });

  it.each(['getCompletion', 'streamCompletion'] as const)('is aborted while the server stalls (%s), and hangs up', async (method) => {
    const controller = new AbortController();
    handle = (_, response) => {
      if (method === 'streamCompletion') events(response, [delta({ content: 'Half a' })], false);
      setImmediate(() => controller.abort());
    };
    const config = { agentRegistry: { A: { name: 'A', instructions: () => '' } }, modelProvider: model(), signal: controller.signal };
    const result = await (method === 'getCompletion' ? run(state([user('x')], {}), config) : stream(state([user('x')], {}), config).result);
    expect(failure(result)).toMatchObject({ name: 'AbortError', code: 'aborted' });
    await expect.poll(() => closed).toEqual(['cut']);
  });

  it('carries a whole run: tool call, result, validated output', async () => {
    handle = (body, response) => {
      const last = body.messages.at(-1);
      const wanted = [
        delta({ tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'add', arguments: '{"a":2,"b":3}' } }] }),
        delta({}, 'tool_calls'),
      ];
      events(response, last?.role === 'tool' ? [delta({ content: `{"sum":${String(last.content)}}` }), delta({}, 'stop')] : wanted);
    };
    const add = tool({
      name: 'add',
      description: 'Adds',
      parameters: z.object({ a: z.number(), b: z.number() }),
      execute: ({ a, b }) => a + b,
    });
    const provider = createInMemoryProvider();
    const running = stream(state([user('2+3?')], {}), {
      agentRegistry: { A: { name: 'A', instructions: () => 'Add.', tools: [add], outputSchema: z.object({ sum: z.number() }) } },
      modelProvider: model(),
      memory: { provider },
      conversationId: 'c',
    });
    expect(output(await running.result)).toEqual({ sum: 5 });
    expect(bodies[1]?.messages.map((m) => m.role)).toEqual(['system', 'user', 'assistant', 'tool']);
    expect((await provider.getConversation('c'))?.messages[2]).toEqual(toolResult('c1', 'add', '5') satisfies Message);
  });
});

describe('createOpenAIModel', () => {
  it('takes its settings from the environment', async () => {
    handle = (_, response, request) => json(response, 200, reply({ content: request.headers.authorization }));
    const before = { ...process.env };
    Object.assign(process.env, { OPENAI_API_KEY: 'from-env', OPENAI_BASE_URL: baseURL, JAF_MODEL: 'env-model' });
    const made = createOpenAIModel();
    process.env = before;
    expect((await made.getCompletion(ask())).message.content).toBe('Bearer from-env');
    expect(bodies[0]?.model).toBe('env-model');
  });

  it('says what is missing', async () => {
    const before = { ...process.env };
    delete process.env['OPENAI_API_KEY'];
    delete process.env['OPENAI_BASE_URL'];
    const made = createOpenAIModel();
    process.env = before;
    await expect(made.getCompletion(ask())).rejects.toThrow(MemoryConfigError);
    await expect(made.getCompletion(ask())).rejects.toThrow(/no API key. Set OPENAI_API_KEY/);
    expect(() => createOpenAIModel({ client: {} })).toThrow(/client: expected a client of the "openai" package/);
  });
});
