import { type Agent, run, RunError, type RunEvent, stream, tool } from 'jaf';
import { assistant, MemoryConfigError, type Message, textOf, user } from 'jaf/memory';
import { createScriptedModel, ScriptEndedError } from 'jaf/testing';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { calls, failure, output, scripted, state, types } from './engine.kit.js';

const weather = tool({
  name: 'get_weather',
  description: 'Weather of a city',
  parameters: z.object({ city: z.string(), days: z.number().default(1) }),
  execute: ({ city, days }, context: { unit?: string }) => ({ city, days, unit: context.unit ?? 'C' }),
});

function agent(more: Partial<Agent<never>> = {}): Agent<never> {
  return { name: 'A', instructions: () => 'Be brief.', ...more };
}

describe('run', () => {
  it('answers with the text of the reply and the whole exchange', async () => {
    const config = scripted([assistant('Hi!')], { agentRegistry: { A: agent() } });
    const result = await run(state([user('Hello')], {}), config);
    expect(output(result)).toBe('Hi!');
    expect(result.finalState).toMatchObject({ messages: [user('Hello'), assistant('Hi!')], currentAgentName: 'A', turnCount: 1 });
    expect(config.model.requests[0]?.messages).toEqual([{ role: 'system', content: 'Be brief.' }, user('Hello')]);
    expect(types(config.events)).toEqual(['run_start', 'model_start', 'assistant_message', 'run_end']);
    config.model.done();
  });

  it('serves tool calls with validated arguments and the context', async () => {
    const config = scripted([calls({ id: '1', name: 'get_weather', args: { city: 'Oslo' } }), assistant('Cold.')], {
      agentRegistry: { A: agent({ tools: [weather] }) },
    });
    const result = await run(state([user('Weather?')], { unit: 'F' }), config);
    expect(output(result)).toBe('Cold.');
    expect(result.finalState.messages[2]).toEqual({
      role: 'tool',
      tool_call_id: '1',
      name: 'get_weather',
      content: '{"city":"Oslo","days":1,"unit":"F"}',
    });
    const [offered] = config.model.requests[0]?.tools ?? [];
    expect(offered).toMatchObject({
      name: 'get_weather',
      description: 'Weather of a city',
      jsonSchema: { type: 'object', required: ['city'] },
    });
    expect(offered?.jsonSchema).not.toHaveProperty('$schema');
    expect(config.events.find((e) => e.type === 'tool_end')).toMatchObject({ callId: '1', tool: 'get_weather', ok: true });
  });

  it.each<[string, Message, string, RegExp]>([
    ['an unknown tool', calls({ id: '1', name: 'nope' }), 'unknown_tool', /no tool \\"nope\\".*get_weather/],
    ['arguments that are no JSON', calls({ id: '1', name: 'get_weather', args: '{"city":' }), 'invalid_arguments', /not valid JSON/],
    ['arguments that do not fit', calls({ id: '1', name: 'get_weather', args: { city: 4 } }), 'invalid_arguments', /city: .*string/],
  ])('tells the model about %s', async (_, message, code, text) => {
    const config = scripted([message, assistant('Sorry.')], { agentRegistry: { A: agent({ tools: [weather] }) } });
    const result = await run(state([user('Weather?')], {}), config);
    expect(output(result)).toBe('Sorry.');
    expect(textOf(result.finalState.messages[2] as Message)).toMatch(text);
    expect(JSON.parse(textOf(result.finalState.messages[2] as Message))).toMatchObject({ error: code });
    expect(config.events.find((e) => e.type === 'tool_end')).toMatchObject({ ok: false, error: code });
  });

  it('tells the model what a tool threw, and keeps strings and undefined as they are', async () => {
    const parameters = { type: 'object', properties: {} };
    const tools = [
      tool({
        name: 'bad',
        description: '',
        parameters,
        execute: () => {
          throw new RangeError('boom');
        },
      }),
      tool({
        name: 'cyclic',
        description: '',
        parameters,
        execute: () => {
          const a: { self?: unknown } = {};
          a.self = a;
          return a;
        },
      }),
      tool({ name: 'text', description: '', parameters, execute: () => 'as "is"' }),
      tool({ name: 'nothing', description: '', parameters, execute: async () => undefined }),
    ];
    const config = scripted([calls(...tools.map((t, i) => ({ id: String(i), name: t.name, args: '' }))), assistant('ok')], {
      agentRegistry: { A: agent({ tools }) },
    });
    const result = await run(state([user('go')], {}), config);
    const byName = new Map(result.finalState.messages.filter((m) => m.role === 'tool').map((m) => [m.name, textOf(m)]));
    expect(byName.get('bad')).toBe('{"error":"tool_failed","message":"RangeError: boom"}');
    expect(byName.get('cyclic')).toMatch(/tool_failed.*circular/);
    expect(byName.get('text')).toBe('as "is"');
    expect(byName.get('nothing')).toBe('');
  });

  it('runs the calls of one reply side by side and keeps results in the order they finish', async () => {
    let finishSlow = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      finishSlow = resolve;
    });
    const parameters = { type: 'object' };
    const tools = [
      tool({
        name: 'slow',
        description: '',
        parameters,
        execute: async () => {
          await slow;
          return 's';
        },
      }),
      tool({
        name: 'fast',
        description: '',
        parameters,
        execute: () => {
          setImmediate(finishSlow);
          return 'f';
        },
      }),
    ];
    const config = scripted([calls({ id: '1', name: 'slow' }, { id: '2', name: 'fast' }), assistant('ok')], {
      agentRegistry: { A: agent({ tools }) },
    });
    const result = await run(state([user('go')], {}), config);
    expect(result.finalState.messages.map((m) => m.tool_call_id)).toEqual([undefined, undefined, '2', '1', undefined]);
  });

  it('hands over to another agent', async () => {
    const config = scripted(
      [calls({ id: '1', name: 'transfer_to_Billing_Desk' }, { id: '2', name: 'transfer_to_A' }), assistant('Billing here.')],
      {
        agentRegistry: new Map([
          ['A', agent({ handoffs: ['Billing Desk', 'A'] })],
          [
            'Billing Desk',
            { name: 'Billing Desk', instructions: () => 'You do billing.', modelConfig: { name: 'big', temperature: 0, maxTokens: 9 } },
          ],
        ]) as never,
      },
    );
    const result = await run(state([user('invoice')], {}), config);
    expect(output(result)).toBe('Billing here.');
    expect(result.finalState.currentAgentName).toBe('Billing Desk');
    expect(config.events.filter((e) => e.type === 'handoff')).toMatchObject([{ from: 'A', to: 'Billing Desk' }]);
    expect(config.model.requests[0]?.tools.map((t) => t.name)).toEqual(['transfer_to_Billing_Desk', 'transfer_to_A']);
    expect(config.model.requests[1]).toMatchObject({ tools: [], model: 'big', temperature: 0, maxTokens: 9 });
    expect(config.model.requests[1]?.messages[0]).toEqual({ role: 'system', content: 'You do billing.' });
    expect(textOf(result.finalState.messages[3] as Message)).toMatch(/Nothing was done/);
  });

  it('ends after maxTurns model calls, with every tool served', async () => {
    const step = calls({ id: '1', name: 'get_weather', args: { city: 'x' } });
    const config = scripted([step, step, step], { maxTurns: 2, agentRegistry: { A: agent({ tools: [weather] }) } });
    const result = await run(state([user('go')], {}), config);
    expect(failure(result)).toMatchObject({ name: 'RunError', code: 'max_turns' });
    expect(result.finalState.messages.at(-1)?.role).toBe('tool');
    expect(config.model.remaining).toBe(1);
  });

  it('parses and validates the reply by outputSchema', async () => {
    const outputSchema = z.object({ n: z.string().transform(Number) });
    const registry = { A: agent({ outputSchema }) };
    const good = scripted([assistant('```json\n{"n":"4"}\n```')], { agentRegistry: registry });
    expect(output(await run(state([user('go')], {}), good))).toEqual({ n: 4 });
    expect(good.model.requests[0]?.outputSchema).toMatchObject({ type: 'object', properties: { n: { type: 'string' } } });
    for (const text of ['no json', '{"n":4}']) {
      const result = await run(state([user('go')], {}), scripted([assistant(text)], { agentRegistry: registry }));
      expect(failure(result)).toMatchObject({ code: 'output_invalid' });
      expect(failure(result).message).not.toContain(text);
      expect(result.finalState.messages).toHaveLength(2);
    }
  });

  it('passes a failing model on as the outcome', async () => {
    const error = new Error('no model today');
    const result = await run(state([user('go')], {}), { ...scripted([]), modelProvider: { getCompletion: () => Promise.reject(error) } });
    expect(failure(result)).toBe(error);
    expect(failure(await run(state([user('go')], {}), scripted([])))).toBeInstanceOf(ScriptEndedError);
    const odd = await run(state([user('go')], {}), {
      ...scripted([]),
      modelProvider: { getCompletion: async () => ({ message: user('I am not the user') }) },
    });
    expect(failure(odd)).toMatchObject({ code: 'model_reply' });
  });

  it('does not let a listener break it', async () => {
    const warnings: string[] = [];
    const listen = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', listen);
    const result = await run(state([user('go')], {}), {
      ...scripted([assistant('ok')]),
      onEvent: () => {
        throw new Error('listener');
      },
    });
    const rejecting = (): unknown => Promise.reject(new Error('listener'));
    await run(state([user('go')], {}), { ...scripted([assistant('ok')]), onEvent: rejecting });
    await new Promise(setImmediate);
    process.off('warning', listen);
    expect(output(result)).toBe('ok');
    expect(warnings.filter((w) => w.includes('onEvent'))).toHaveLength(2);
  });

  it('makes a call without a result valid before it is sent, and says so', async () => {
    const config = scripted([assistant('ok')]);
    await run(state([user('a'), calls({ id: '1', name: 'x' }), user('b')], {}), config);
    expect(config.model.requests[0]?.messages.map((m) => m.role)).toEqual(['user', 'assistant', 'tool', 'user']);
  });

  it.each<[string, object, object, RegExp]>([
    ['messages', { messages: 'x' }, {}, /messages: expected an array/],
    ['messages', { messages: [{}] }, {}, /messages\[0\]/],
    ['agentRegistry', { currentAgentName: 'constructor' }, {}, /no agent "constructor".*Known: A/],
    ['runId', { runId: '' }, {}, /runId/],
    ['maxTurns', {}, { maxTurns: 0 }, /maxTurns: expected a whole number of at least 1, got 0/],
    ['modelProvider', {}, { modelProvider: {} }, /modelProvider/],
    ['handoffs', {}, { agentRegistry: { A: agent({ handoffs: ['B'] }) } }, /handoffs: no agent "B"/],
    ['tools', {}, { agentRegistry: { A: agent({ tools: [weather, weather] }) } }, /two tools are called "get_weather"/],
  ])('answers a wrong %s with an error outcome', async (_, wrongState, wrongConfig, text) => {
    const result = await run({ ...state([user('go')], {}), ...wrongState }, { ...scripted([assistant('never')]), ...wrongConfig });
    expect(failure(result)).toBeInstanceOf(MemoryConfigError);
    expect(failure(result).message).toMatch(text);
  });
});

describe('tool', () => {
  it('refuses what is no tool', () => {
    const good = { name: 'x', description: '', parameters: { type: 'object' }, execute: () => 1 };
    expect(() => tool({ ...good, name: '' })).toThrow(/name/);
    expect(() => tool({ ...good, parameters: {} })).toThrow(/tool "x": parameters: expected a Standard Schema/);
    expect(() => tool({ ...good, parameters: undefined })).toThrow(MemoryConfigError);
    expect(() => tool({ ...good, execute: 1 as never })).toThrow(/execute: expected a function/);
  });

  it('says when a schema cannot be shown to a model', async () => {
    const parameters = { '~standard': { version: 1, vendor: 'mine', validate: (value: unknown) => ({ value }) } };
    const config = scripted([assistant('never')], {
      agentRegistry: { A: agent({ tools: [tool({ name: 'x', description: '', parameters, execute: () => 1 })] as never }) },
    });
    expect(failure(await run(state([user('go')], {}), config)).message).toMatch(
      /tool "x": parameters: this schema of "mine" cannot describe itself/,
    );
  });

  it('checks required keys of a plain JSON schema', async () => {
    const t = tool({ name: 'x', description: '', parameters: { type: 'object', required: ['a'] }, execute: () => 'ok' });
    const config = scripted(
      [calls({ id: '1', name: 'x' }, { id: '2', name: 'x', args: [] }, { id: '3', name: 'x', args: { a: 1 } }), assistant('.')],
      { agentRegistry: { A: agent({ tools: [t] as never }) } },
    );
    const { finalState } = await run(state([user('go')], {}), config);
    expect(finalState.messages.slice(2, 5).map((m) => [m.tool_call_id, textOf(m)])).toEqual([
      ['1', '{"error":"invalid_arguments","message":"The arguments do not fit: a: required"}'],
      ['2', '{"error":"invalid_arguments","message":"The arguments do not fit: expected an object"}'],
      ['3', 'ok'],
    ]);
  });
});

describe('abort', () => {
  it('ends a run before, during and after model calls', async () => {
    const before = await run(state([user('go')], {}), scripted([assistant('never')], { signal: AbortSignal.abort('why') }));
    expect(failure(before)).toMatchObject({ name: 'AbortError', code: 'aborted', cause: 'why' });
    const controller = new AbortController();
    const hanging = {
      getCompletion: () => {
        controller.abort();
        return new Promise<never>(() => undefined);
      },
    };
    const during = await run(state([user('go')], {}), { ...scripted([]), modelProvider: hanging, signal: controller.signal });
    expect(failure(during)).toMatchObject({ name: 'AbortError' });
    expect(failure(during)).toBeInstanceOf(RunError);
  });

  it('ends a run during a tool, which learns of it', async () => {
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const hang = tool({
      name: 'hang',
      description: '',
      parameters: { type: 'object' },
      execute: (_args, _context, call) => {
        seen = call?.signal;
        controller.abort();
        return new Promise(() => undefined);
      },
    });
    const config = scripted([calls({ id: '1', name: 'hang' }), assistant('never')], {
      signal: controller.signal,
      agentRegistry: { A: agent({ tools: [hang] as never }) },
    });
    const result = await run(state([user('go')], {}), config);
    expect(failure(result).name).toBe('AbortError');
    expect(seen?.aborted).toBe(true);
    expect(result.finalState.messages).toHaveLength(2);
  });
});

describe('stream', () => {
  const read = async (running: AsyncIterable<RunEvent>): Promise<RunEvent[]> => {
    const events: RunEvent[] = [];
    for await (const event of running) events.push(event);
    return events;
  };

  it('is the same run, with the text in pieces', async () => {
    const registry = { A: agent({ tools: [weather] }) };
    const script = [calls({ id: '1', name: 'get_weather', args: { city: 'Oslo' } }), assistant('It is very cold in Oslo.')];
    const plain = scripted(script, { agentRegistry: registry });
    const { finalState } = await run(state([user('Weather?')], {}), plain);
    const config = scripted(script, { agentRegistry: registry });
    const running = stream(state([user('Weather?')], {}), config);
    const events = await read(running);
    const result = await running.result;
    expect(output(result)).toBe('It is very cold in Oslo.');
    expect(result.finalState.messages).toEqual(finalState.messages);
    const deltas = events.filter((e) => e.type === 'text_delta');
    expect(deltas.length).toBeGreaterThan(1);
    expect(deltas.map((e) => e['textDelta']).join('')).toBe('It is very cold in Oslo.');
    expect(types(events).filter((t) => t !== 'text_delta')).toEqual(types(plain.events));
    expect(config.events).toEqual(events);
  });

  it('gives the whole text at once when the model does not stream', async () => {
    const { getCompletion } = createScriptedModel([assistant('whole')]);
    const events = await read(stream(state([user('go')], {}), { ...scripted([]), modelProvider: { getCompletion } }));
    expect(events.filter((e) => e.type === 'text_delta').map((e) => e['textDelta'])).toEqual(['whole']);
  });

  it('runs without a reader', async () => {
    expect(output(await stream(state([user('go')], {}), scripted([assistant('ok')])).result)).toBe('ok');
  });

  it('aborts when the reader leaves, or the signal says so, also while the model stalls', async () => {
    const stalling = {
      getCompletion: () => Promise.reject(new Error('unused')),
      async *streamCompletion() {
        yield { textDelta: 'Once' };
        await new Promise(() => undefined);
      },
    };
    const running = stream(state([user('go')], {}), { ...scripted([]), modelProvider: stalling });
    for await (const event of running) if (event.type === 'text_delta') break;
    expect(failure(await running.result).name).toBe('AbortError');
    const controller = new AbortController();
    const second = stream(state([user('go')], {}), { ...scripted([]), modelProvider: stalling, signal: controller.signal });
    for await (const event of second) if (event.type === 'text_delta') controller.abort();
    expect(failure(await second.result).name).toBe('AbortError');
  });

  it('fails when the stream ends without a reply', async () => {
    const empty = {
      getCompletion: () => Promise.reject(new Error('unused')),
      async *streamCompletion() {
        yield { textDelta: 'Once' };
      },
    };
    expect(failure(await stream(state([user('go')], {}), { ...scripted([]), modelProvider: empty }).result)).toMatchObject({
      code: 'model_reply',
    });
  });
});

describe('createScriptedModel', () => {
  it('fails on an unexpected call and on left-over steps', async () => {
    const model = createScriptedModel([assistant('a')]);
    expect(() => model.done()).toThrow(/1 of 1 steps/);
    await model.getCompletion({ messages: [], tools: [] });
    model.done();
    await expect(model.getCompletion({ messages: [], tools: [] })).rejects.toMatchObject({
      name: 'ScriptEndedError',
      code: 'script_ended',
    });
    expect(() => createScriptedModel([user('x')])).toThrow(/steps\[0\]/);
  });
});
