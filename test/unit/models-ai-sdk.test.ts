import { convertArrayToReadableStream, MockLanguageModelV3 } from 'ai/test';
import { type ModelRequest, run, stream, tool } from 'jaf';
import { assistant, type Message, toolResult, user } from 'jaf/memory';
import { createAiSdkModel } from 'jaf/models';
import { describe, expect, it } from 'vitest';
import { calls, failure, output, state } from './engine.kit.js';

type Generated = Awaited<ReturnType<MockLanguageModelV3['doGenerate']>>;
const usage: Generated['usage'] = {
  inputTokens: { total: 3, noCache: 3, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 4, text: 4, reasoning: 0 },
};
const generated = (content: Generated['content']): Generated => ({
  content,
  usage,
  finishReason: { unified: 'stop', raw: 'stop' },
  warnings: [],
});
const ask = (request: Partial<ModelRequest> = {}): ModelRequest => ({ messages: [user('Hello')], tools: [], ...request });
const weather = tool({
  name: 'weather',
  description: 'Weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
  execute: ({ city }: { city: string }) => ({ city, celsius: 3 }),
});
const registry = { A: { name: 'A', instructions: () => 'Be brief.', tools: [weather] } };

describe('createAiSdkModel', () => {
  it('converts messages, tools and settings', async () => {
    const mock = new MockLanguageModelV3({
      doGenerate: generated([
        { type: 'text', text: 'Hi' },
        { type: 'text', text: '!' },
      ]),
    });
    const png: Message = {
      role: 'user',
      content: [
        { type: 'text', text: 'look' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
      ],
      attachments: [
        { kind: 'document', data: 'BBBB', mimeType: 'application/pdf', name: 'a.pdf' },
        { kind: 'image', url: 'https://example.com/a.png' },
      ],
    };
    const messages = [
      { role: 'system' as const, content: 's' },
      png,
      { ...calls({ id: '1', name: 'weather', args: { city: 'Oslo' } }, { id: '2', name: 'other', args: 'not json' }), content: 'Looking' },
      toolResult('2', 'x', 'b'),
      toolResult('1', 'x', { a: 1 }),
      assistant('done'),
      user('more'),
    ];
    const signal = new AbortController().signal;
    const { message, usage: used } = await createAiSdkModel(mock).getCompletion(
      ask({
        messages,
        tools: [{ name: 't', description: 'd', jsonSchema: { type: 'object' } }],
        temperature: 0,
        maxTokens: 5,
        outputSchema: { type: 'object' },
        signal,
      }),
    );
    expect(message).toEqual(assistant('Hi!'));
    expect(used).toEqual({ inputTokens: 3, outputTokens: 4 });
    expect(mock.doGenerateCalls[0]).toEqual({
      prompt: [
        { role: 'system', content: 's' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'look' },
            { type: 'file', mediaType: 'image/png', data: 'AAAA' },
            { type: 'file', mediaType: 'application/pdf', data: 'BBBB', filename: 'a.pdf' },
            { type: 'file', mediaType: 'image/*', data: new URL('https://example.com/a.png') },
          ],
        },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'Looking' },
            { type: 'tool-call', toolCallId: '1', toolName: 'weather', input: { city: 'Oslo' } },
            { type: 'tool-call', toolCallId: '2', toolName: 'other', input: 'not json' },
          ],
        },
        {
          role: 'tool',
          content: [
            { type: 'tool-result', toolCallId: '2', toolName: 'other', output: { type: 'text', value: 'b' } },
            { type: 'tool-result', toolCallId: '1', toolName: 'weather', output: { type: 'text', value: '{"a":1}' } },
          ],
        },
        { role: 'assistant', content: [{ type: 'text', text: 'done' }] },
        { role: 'user', content: [{ type: 'text', text: 'more' }] },
      ],
      tools: [{ type: 'function', name: 't', description: 'd', inputSchema: { type: 'object' } }],
      temperature: 0,
      maxOutputTokens: 5,
      responseFormat: { type: 'json', schema: { type: 'object' } },
      abortSignal: signal,
    });
  });

  it('carries a run with a tool call', async () => {
    const mock = new MockLanguageModelV3({
      doGenerate: [
        generated([
          { type: 'reasoning', text: 'hm' },
          { type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: '{"city":"Oslo"}' },
        ]),
        generated([{ type: 'text', text: '3 degrees' }]),
      ],
    });
    const result = await run(state([user('Oslo?')], {}), { agentRegistry: registry, modelProvider: createAiSdkModel(mock) });
    expect(output(result)).toBe('3 degrees');
    expect(result.finalState.messages).toEqual([
      user('Oslo?'),
      calls({ id: 'c1', name: 'weather', args: { city: 'Oslo' } }),
      toolResult('c1', 'weather', { city: 'Oslo', celsius: 3 }),
      assistant('3 degrees'),
    ]);
  });

  it('streams', async () => {
    const mock = new MockLanguageModelV3({
      doStream: async () => ({
        stream: convertArrayToReadableStream([
          { type: 'stream-start', warnings: [] },
          { type: 'text-start', id: '1' },
          { type: 'text-delta', id: '1', delta: 'Hel' },
          { type: 'text-delta', id: '1', delta: 'lo' },
          { type: 'text-end', id: '1' },
          { type: 'finish', usage, finishReason: { unified: 'stop', raw: undefined } },
        ]),
      }),
    });
    const running = stream(state([user('Hi')], {}), { agentRegistry: registry, modelProvider: createAiSdkModel(mock) });
    const deltas: unknown[] = [];
    for await (const event of running) if (event.type === 'text_delta') deltas.push(event['textDelta']);
    expect(deltas).toEqual(['Hel', 'lo']);
    expect(output(await running.result)).toBe('Hello');
  });

  it.each([
    [
      'an error among the parts',
      [
        { type: 'text-delta', id: '1', delta: 'x' },
        { type: 'error', error: new Error('overloaded') },
      ],
      /overloaded/,
    ],
    ['a stream without an end', [{ type: 'text-delta', id: '1', delta: 'x' }], /ended before/],
  ] as const)('fails on %s', async (_, parts, message) => {
    const mock = new MockLanguageModelV3({ doStream: async () => ({ stream: convertArrayToReadableStream([...parts]) }) });
    expect(
      failure(await stream(state([user('Hi')], {}), { agentRegistry: registry, modelProvider: createAiSdkModel(mock) }).result).message,
    ).toMatch(message);
  });

  it('reads models of specification v2', async () => {
    const v2 = {
      specificationVersion: 'v2',
      provider: 'x',
      modelId: 'y',
      doGenerate: async () => ({ content: [{ type: 'text', text: 'v2' }], usage: { inputTokens: 1, outputTokens: undefined } }),
      doStream: () => Promise.reject(new Error('unused')),
    };
    expect(await createAiSdkModel(v2).getCompletion(ask())).toEqual({ message: assistant('v2'), usage: { inputTokens: 1 } });
  });

  it('passes errors and aborts on', async () => {
    const controller = new AbortController();
    const mock = new MockLanguageModelV3({
      doGenerate: ({ abortSignal }) =>
        new Promise((_, reject) => {
          abortSignal?.addEventListener('abort', () => reject(new Error('client aborted')));
          controller.abort();
        }),
    });
    const events: string[] = [];
    const result = await run(state([user('Hi')], {}), {
      agentRegistry: registry,
      modelProvider: createAiSdkModel(mock),
      signal: controller.signal,
      onEvent: (e) => void events.push(e.type),
    });
    expect(failure(result).name).toBe('AbortError');
    expect(events.at(-1)).toBe('run_end');
  });

  it('refuses what is no language model', () => {
    for (const wrong of [{}, { doGenerate: () => 1 }, { specificationVersion: 'v1', doGenerate: () => 1, doStream: () => 1 }, null]) {
      expect(() => createAiSdkModel(wrong as object)).toThrow(/expected a language model object/);
    }
  });
});
