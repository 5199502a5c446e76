import { type Agent, run, type RunConfig, stream, tool } from 'jaf';
import {
  assistant,
  createInMemoryProvider,
  createSqliteProvider,
  MemoryAccessError,
  MemoryConfigError,
  MemoryConflictError,
  type MemoryConfig,
  type MemoryProvider,
  type Message,
  openConversation,
  textOf,
  toolResult,
  unwrap,
  user,
  verifyConversation,
} from 'jaf/memory';
import { createOfflineModel } from 'jaf/models';
import { describe, expect, it } from 'vitest';
import { calls, failure, interceptAppends, output, scripted, state, types } from './engine.kit.js';

const lookUp = tool({ name: 'look_up', description: 'Looks it up', parameters: { type: 'object' }, execute: () => ({ code: 'QX7F2K' }) });
const AGENT: Agent = { name: 'A', instructions: () => 'Never stored.', tools: [lookUp] };

function remembering(
  provider: MemoryProvider,
  script: readonly Message[],
  more: Partial<Omit<RunConfig, 'memory'>> & { memory?: Partial<MemoryConfig> } = {},
): ReturnType<typeof scripted> {
  const { memory, ...rest } = more;
  return scripted(script, { agentRegistry: { A: AGENT }, conversationId: 'c', ...rest, memory: { provider, ...memory } });
}

async function stored(provider: MemoryProvider, id = 'c'): Promise<readonly Message[]> {
  return (await provider.getConversation(id))?.messages ?? [];
}

const text = (messages: readonly Message[]): string[] => messages.map((m) => `${m.role}:${textOf(m)}`);
const said = (...script: string[]): Message[] => script.map((s) => assistant(s));

describe('a run with memory', () => {
  it('stores a completed run without being asked to (earlier fault 6)', async () => {
    const provider = createInMemoryProvider();
    const config = remembering(provider, said('Hi!'));
    const { finalState } = await run(state([user('Hello')], { userId: 'u1' }), config);
    const conversation = await provider.getConversation('c');
    expect(conversation).toMatchObject({ userId: 'u1', messages: [user('Hello'), assistant('Hi!')] });
    expect(finalState.stored).toEqual({ conversationId: 'c', count: 2, version: conversation?.version });
    expect(types(config.events)).toEqual([
      'run_start',
      'memory_loaded',
      'message_stored',
      'model_start',
      'assistant_message',
      'message_stored',
      'run_end',
    ]);
    expect(config.events.filter((e) => e.type === 'message_stored')).toMatchObject([
      { conversationId: 'c', role: 'user', sequence: 1, duplicate: false },
      { conversationId: 'c', role: 'assistant', sequence: 2, duplicate: false },
    ]);
  });

  it('stores each step before the next begins', async () => {
    const provider = createInMemoryProvider();
    const seen: string[][] = [];
    const watch = tool({
      name: 'look_up',
      description: '',
      parameters: { type: 'object' },
      execute: async () => {
        seen.push(text(await stored(provider)));
        return 'found';
      },
    });
    const script = [calls({ id: '1', name: 'look_up' }), assistant('ok')];
    const config = remembering(provider, script, { agentRegistry: { A: { ...AGENT, tools: [watch] } } });
    const model = config.modelProvider;
    await run(state([user('a'), user('b')], {}), {
      ...config,
      modelProvider: {
        getCompletion: async (r) => {
          seen.push(text(await stored(provider)));
          return model.getCompletion(r);
        },
      },
    });
    expect(seen).toEqual([
      ['user:a', 'user:b'],
      ['user:a', 'user:b', 'assistant:'],
      ['user:a', 'user:b', 'assistant:', 'tool:found'],
    ]);
    expect(text(await stored(provider))).toHaveLength(5);
  });

  it('keeps every message: the second equal "yes" too (earlier fault 5)', async () => {
    const provider = createInMemoryProvider();
    const yes = user('yes');
    await run(state([yes], {}), remembering(provider, said('Sure?')));
    await run(state([yes], {}), remembering(provider, said('Sure?')));
    await run(state([yes, yes], {}), remembering(provider, said('Done.')));
    expect(text(await stored(provider))).toEqual([
      'user:yes',
      'assistant:Sure?',
      'user:yes',
      'assistant:Sure?',
      'user:yes',
      'user:yes',
      'assistant:Done.',
    ]);
  });

  it('loads contextMessages and deletes nothing by it (earlier fault 3)', async () => {
    const provider = createInMemoryProvider();
    const old = Array.from({ length: 30 }, (_, i) => user(`old ${i}`));
    unwrap(await provider.storeMessages('c', old));
    const other = assistant('written meanwhile by nobody');
    const config = remembering(provider, [other], { memory: { contextMessages: 4 } });
    await run(state([user('new')], {}), config);
    expect(text(config.model.requests[0]?.messages ?? [])).toEqual([
      'system:Never stored.',
      'user:old 26',
      'user:old 27',
      'user:old 28',
      'user:old 29',
      'user:new',
    ]);
    expect(await stored(provider)).toEqual([...old, user('new'), other]);
  });

  it('passes compressionThreshold on, and loses nothing by it (earlier fault 4)', async () => {
    const provider = createInMemoryProvider();
    for (let i = 0; i < 40; i++)
      await run(
        state([user(`q${i}`)], {}),
        remembering(provider, [calls({ id: '1', name: 'look_up' }), assistant(`a${i}`)], { memory: { compressionThreshold: 5 } }),
      );
    const messages = await stored(provider);
    expect(messages).toHaveLength(160);
    expect(messages.filter((m) => m.role === 'user').map(textOf)).toEqual(Array.from({ length: 40 }, (_, i) => `q${i}`));
    expect(await verifyConversation(provider, 'c')).toEqual({ valid: true, issues: [] });
  });

  it('keeps only maxMessages when told so, and sends whole tool turns', async () => {
    const provider = createInMemoryProvider();
    for (const word of ['one', 'two', 'three']) {
      const config = remembering(provider, [calls({ id: '1', name: 'look_up' }), assistant(word)], { memory: { maxMessages: 5 } });
      output(await run(state([user(word)], {}), config));
      for (const { messages } of config.model.requests) expect(messages[1]?.role).not.toBe('tool');
    }
    expect(text(await stored(provider))).toEqual([
      'assistant:two',
      'user:three',
      'assistant:',
      'tool:{"code":"QX7F2K"}',
      'assistant:three',
    ]);
  });

  it('keeps a leading system message in a window that would cut it off', async () => {
    const provider = createInMemoryProvider();
    const rules: Message = { role: 'system', content: 'rules' };
    unwrap(await provider.storeMessages('c', [rules, ...Array.from({ length: 20 }, (_, i) => user(`${i}`))]));
    const config = remembering(provider, said('ok'), { memory: { contextMessages: 2 } });
    const { finalState } = await run(state([user('new')], {}), config);
    expect(text(config.model.requests[0]?.messages ?? [])).toEqual([
      'system:Never stored.',
      'system:rules',
      'user:18',
      'user:19',
      'user:new',
    ]);
    expect(config.events.find((e) => e.type === 'memory_loaded')).toMatchObject({ messages: 3, messageCount: 21 });
    expect(finalState.stored?.count).toBe(finalState.messages.length);
  });

  it('asks once whether a long conversation begins with a system message, and again when it begins anew', async () => {
    const real = createInMemoryProvider();
    let asked = 0;
    const provider = new Proxy(real, {
      get(target, key) {
        if (key === 'getMessages') asked++;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const many = Array.from({ length: 20 }, (_, i) => user(`${i}`));
    const seen = async (): Promise<string[]> => {
      asked = 0;
      const config = remembering(provider, said('ok'), { memory: { contextMessages: 2 } });
      output(await run(state([user('new')], {}), config));
      return text(config.model.requests[0]?.messages ?? []).slice(1, -1);
    };
    unwrap(await real.storeMessages('c', many));
    expect([await seen(), asked > 0]).toEqual([['user:18', 'user:19'], true]);
    const [, before] = [await seen(), asked];
    // the guard that looks which methods the provider has reads the property too
    unwrap(await real.storeMessages('c', [{ role: 'system', content: 'rules' }, ...many]));
    expect([await seen(), asked]).toEqual([['system:rules', 'user:18', 'user:19'], before + 1]);
    await real.deleteConversation('c');
    unwrap(await real.storeMessages('c', many));
    expect([await seen(), asked]).toEqual([['user:18', 'user:19'], before + 1]);
    unwrap(await real.storeMessages('c', [...many, ...many]));
    expect([await seen(), asked]).toEqual([['user:18', 'user:19'], before + 1]);
    expect([(await seen()).length, asked]).toEqual([2, before]);
  });

  it('stores a system message of the state', async () => {
    const provider = createInMemoryProvider();
    await run(state([{ role: 'system', content: 'rules' }, user('a')], {}), remembering(provider, said('b')));
    expect(text(await stored(provider))).toEqual(['system:rules', 'user:a', 'assistant:b']);
  });

  it('does not double anything when a final state goes on', async () => {
    const provider = createInMemoryProvider();
    const first = await run(state([user('a')], {}), remembering(provider, said('b')));
    const second = await run(
      { ...first.finalState, messages: [...first.finalState.messages, user('a')] },
      remembering(provider, said('b')),
    );
    output(second);
    // through JSON, as a server would keep it
    const kept = JSON.parse(JSON.stringify(second.finalState)) as typeof second.finalState;
    output(await run({ ...kept, messages: [...kept.messages, user('c')] }, remembering(provider, said('d'))));
    // with the mark of the final state but only the new message
    output(await run({ ...second.finalState, messages: [user('e')] }, remembering(provider, said('f'))));
    output(await run({ ...second.finalState, messages: [...'ghijk'].map(user) }, remembering(provider, said('l'))));
    output(await run({ ...kept, messages: [user('m')] }, remembering(provider, said('n'))));
    // with the messages but without the mark: recognised by identity
    output(await run(state([...second.finalState.messages, user('o')], {}), remembering(provider, said('p'))));
    expect(text(await stored(provider)).map((t) => t.split(':')[1])).toEqual([...'ababcdefghijklmnop']);
  });

  it('goes on under one runId, and repeats such a run exactly', async () => {
    const provider = createInMemoryProvider();
    const first = await run(state([user('a')], {}, { runId: 'r1' }), remembering(provider, said('b'), { memory: { contextMessages: 1 } }));
    expect(first.finalState.runId).toBe('r1');
    let next = { ...first.finalState, messages: [...first.finalState.messages, user('c')] };
    for (const _ of [1, 2]) output(await run(next, remembering(provider, said('d'), { memory: { contextMessages: 1 } })));
    const { finalState } = await run(
      JSON.parse(JSON.stringify(next)) as typeof next,
      remembering(provider, [], { memory: { contextMessages: 2 } }),
    );
    next = { ...finalState, messages: [...finalState.messages, user('e')] };
    output(await run(next, remembering(provider, said('f'), { memory: { contextMessages: 1 } })));
    expect(text(await stored(provider)).map((t) => t.split(':')[1])).toEqual([...'abcdef']);
  });

  it('recognises messages it has loaded by identity, and never messages of another conversation', async () => {
    const provider = createInMemoryProvider();
    const first = await run(state([user('a')], {}), remembering(provider, said('b')));
    await run(
      { ...first.finalState, messages: [...first.finalState.messages, user('c')] },
      remembering(provider, said('d'), { conversationId: 'fork' }),
    );
    expect(text(await stored(provider, 'fork'))).toEqual(['user:a', 'assistant:b', 'user:c', 'assistant:d']);
    expect(text(await stored(provider))).toEqual(['user:a', 'assistant:b']);
  });

  it.each([
    ['in-memory', async (): Promise<MemoryProvider> => createInMemoryProvider()],
    ['sqlite', () => createSqliteProvider({ path: ':memory:', sweep: false })],
  ] as const)('does not double a history that the caller has read and passes in with a new message (%s)', async (_name, create) => {
    await using provider = await create();
    unwrap(await provider.storeMessages('c', [user('a'), assistant('b')]));
    unwrap(await provider.storeMessages('other', [user('a')]));
    const read = await provider.getRecentMessages('c');
    const [elsewhere] = await provider.getRecentMessages('other');
    const { outcome } = await run(state([...read, elsewhere as Message, user('x')], {}), remembering(provider, said('y')));
    expect(outcome.status).toBe('completed');
    // a message of another conversation is new here, however equal its words are
    expect(text(await stored(provider))).toEqual(['user:a', 'assistant:b', 'user:a', 'user:x', 'assistant:y']);
  });

  it('makes the user of the context the owner, and refuses the conversation of another', async () => {
    const provider = createInMemoryProvider();
    await run(state([user('a')], { user_id: 'u1' }), remembering(provider, said('b')));
    expect((await provider.getConversation('c'))?.userId).toBe('u1');
    const config = remembering(provider, said('never'));
    const other = await run(state([user('x')], { userId: 'u2' }), config);
    expect(failure(other)).toBeInstanceOf(MemoryAccessError);
    expect(failure(other).message).not.toMatch(/u1|u2/);
    expect(config.model.requests).toEqual([]);
    expect(await stored(provider)).toHaveLength(2);
    const reading = remembering(provider, said('never'), { memory: { autoStore: false } });
    expect(failure(await run(state([user('x')], { userId: 'u2' }), reading))).toBeInstanceOf(MemoryAccessError);
    expect(failure(await run(state([user('x')], { userId: 'u1', user_id: 'u2' }), remembering(provider, [])))).toBeInstanceOf(
      MemoryConfigError,
    );
    expect(failure(await run(state([user('x')], { userId: 7 }), remembering(provider, []))).message).toMatch(
      /context.userId: expected a non-empty string, got number/,
    );
  });

  it('needs a conversationId', async () => {
    const result = await run(state([user('a')], {}), { ...remembering(createInMemoryProvider(), []), conversationId: '' });
    expect(failure(result)).toBeInstanceOf(MemoryConfigError);
    expect(failure(result)).toMatchObject({ code: 'config', setting: 'conversationId' });
  });

  it('loads and never writes with autoStore: false', async () => {
    const provider = createInMemoryProvider();
    unwrap(await provider.storeMessages('c', [user('old'), calls({ id: '1', name: 'look_up' })]));
    const before = await provider.getConversation('c');
    const config = remembering(provider, said('b'), { memory: { autoStore: false } });
    const { finalState } = await run(state([user('a')], {}), config);
    expect(config.model.requests[0]?.messages.map((m) => m.role)).toEqual(['system', 'user', 'assistant', 'tool', 'user']);
    expect(await provider.getConversation('c')).toEqual(before);
    expect(finalState.stored).toMatchObject({ count: 2 });
    // what was not stored then is stored by a run that stores
    await run({ ...finalState, messages: [...finalState.messages, user('c')] }, remembering(provider, said('d')));
    expect(text(await stored(provider)).filter((t) => !t.startsWith('tool'))).toEqual([
      'user:old',
      'assistant:',
      'user:a',
      'assistant:b',
      'user:c',
      'assistant:d',
    ]);
  });

  it('passes ttl and traceId to the store', async () => {
    let now = 1_000_000;
    const provider = createInMemoryProvider({ clock: () => now });
    await run(state([user('a')], {}, { traceId: 't' }), remembering(provider, said('b'), { memory: { ttl: 60 } }));
    expect(await provider.findConversations({ traceId: 't' })).toHaveLength(1);
    now += 60_000;
    expect(await provider.getConversation('c')).toBeUndefined();
  });
});

describe('after a crash', () => {
  it('appends synthetic results for calls at the end, visibly, and goes on', async () => {
    const provider = createInMemoryProvider();
    unwrap(
      await provider.storeMessages('c', [
        user('a'),
        calls({ id: '1', name: 'look_up' }, { id: '2', name: 'look_up' }),
        toolResult('2', 'look_up', 'real'),
      ]),
    );
    const config = remembering(provider, said('ok'));
    output(await run(state([user('b')], {}), config));
    const messages = await stored(provider);
    expect(messages.map((m) => m.tool_call_id ?? m.role)).toEqual(['user', 'assistant', '2', '1', 'user', 'assistant']);
    expect(messages[3]).toMatchObject({ jaf_repair: 'missing-tool-result', name: 'look_up' });
    expect(config.events.filter((e) => e.type === 'repaired')).toMatchObject([{ kind: 'missing-tool-result', stored: true }]);
    expect(await verifyConversation(provider, 'c')).toEqual({ valid: true, issues: [] });
    // nothing is left to repair
    const next = remembering(provider, said('ok'));
    await run(state([user('c')], {}), next);
    expect(types(next.events)).not.toContain('repaired');
  });

  it('repairs calls in the middle in memory only', async () => {
    const provider = createInMemoryProvider();
    const raw = [user('a'), calls({ id: '1', name: 'look_up' }), user('b')];
    unwrap(await provider.storeMessages('c', raw));
    const config = remembering(provider, said('ok'));
    await run(state([user('c')], {}), config);
    expect(config.model.requests[0]?.messages.map((m) => m.role)).toEqual(['system', 'user', 'assistant', 'tool', 'user', 'user']);
    expect(config.events.filter((e) => e.type === 'repaired')).toMatchObject([{ stored: false }]);
    expect(await stored(provider)).toEqual([...raw, user('c'), assistant('ok')]);
  });

  it('leaves calls alone that the new messages answer', async () => {
    const provider = createInMemoryProvider();
    unwrap(await provider.storeMessages('c', [user('a'), calls({ id: '1', name: 'ask_human' })]));
    await run(state([toolResult('1', 'ask_human', 'approved')], {}), remembering(provider, said('ok')));
    expect(text(await stored(provider))).toEqual(['user:a', 'assistant:', 'tool:approved', 'assistant:ok']);
  });

  it('goes on without a new message', async () => {
    const provider = createInMemoryProvider();
    unwrap(await provider.storeMessages('c', [user('a'), calls({ id: '1', name: 'look_up' }), toolResult('1', 'look_up', 'found')]));
    expect(output(await run(state([], {}), remembering(provider, said('It is found.'))))).toBe('It is found.');
    expect(text(await stored(provider)).at(-1)).toBe('assistant:It is found.');
  });

  it('lets the offline model answer from what is stored', async () => {
    const provider = await createSqliteProvider({ path: ':memory:' });
    const config: RunConfig = {
      agentRegistry: { A: AGENT },
      modelProvider: createOfflineModel(),
      memory: { provider },
      conversationId: 'c',
    };
    const running = stream(state([user('Please look it up.')], {}), config);
    for await (const event of running) if (event.type === 'message_stored' && event['role'] === 'tool') break;
    expect(failure(await running.result).name).toBe('AbortError');
    expect((await stored(provider)).map((m) => m.role)).toEqual(['user', 'assistant', 'tool']);
    expect(output(await run(state([user('What was my code?')], {}), config))).toBe('Your code is QX7F2K, according to look_up.');
    await provider.close();
  });
});

describe('the same run again', () => {
  const script = (): Message[] => [calls({ id: '1', name: 'look_up' }), assistant('It is QX7F2K.')];

  it('stores nothing twice and answers what is stored', async () => {
    const provider = createInMemoryProvider();
    const again = state([user('yes'), user('yes')], {}, { runId: 'r1' });
    output(await run(again, remembering(provider, script())));
    await run(state([user('yes'), user('yes')], {}), remembering(provider, said('more')));
    const before = await provider.getConversation('c');
    const config = remembering(provider, said('something else'));
    const result = await run(again, config);
    expect(output(result)).toBe('It is QX7F2K.');
    expect(config.events.filter((e) => e.type === 'resumed')).toHaveLength(1);
    expect(config.model.requests).toEqual([]);
    expect(await provider.getConversation('c')).toEqual(before);
  });

  it.each([1, 2, 3])('goes on where a first attempt stopped after %i of 4 steps', async (steps) => {
    const provider = createInMemoryProvider();
    const again = state([user('go')], {}, { runId: 'r1' });
    const controller = new AbortController();
    let count = 0;
    const first = remembering(provider, script(), { signal: controller.signal });
    await run(again, {
      ...first,
      onEvent: (e) => {
        if (e.type === 'message_stored' && ++count === steps) controller.abort();
      },
    });
    expect(await stored(provider)).toHaveLength(steps);
    const rest = steps === 1 ? script() : said('It is QX7F2K.');
    for (const attempt of [rest, []]) {
      const config = remembering(provider, attempt);
      expect(output(await run(again, config))).toBe('It is QX7F2K.');
      config.model.done();
      for (const { messages } of config.model.requests) expect(messages.filter((m) => m.role === 'user')).toHaveLength(1);
    }
    const roles = (await stored(provider)).map((m) => m.role);
    expect(roles).toEqual(['user', 'assistant', 'tool', 'assistant']);
  });

  it.each([
    ['follows a handoff that is stored', 3, 'B'],
    ['does not follow a handoff that was interrupted', 2, 'A'],
  ])('%s', async (_, steps, speaks) => {
    const provider = createInMemoryProvider();
    const again = state([user('go')], {}, { runId: 'r1' });
    const registry = { A: { ...AGENT, instructions: () => 'I am A.', handoffs: ['B'] }, B: { name: 'B', instructions: () => 'I am B.' } };
    const controller = new AbortController();
    let count = 0;
    const broken = interceptAppends(provider, (_id, _messages, _options, apply) => {
      if (++count <= steps) return apply();
      controller.abort();
      return Promise.reject(new Error('killed'));
    });
    await run(
      again,
      remembering(broken, [calls({ id: '1', name: 'transfer_to_B' }), assistant('lost')], {
        agentRegistry: registry,
        signal: controller.signal,
      }),
    );
    expect(await stored(provider)).toHaveLength(steps);
    const config = remembering(provider, said('here'), { agentRegistry: registry });
    const { finalState } = await run(again, config);
    expect(finalState.currentAgentName).toBe(speaks);
    expect(textOf(config.model.requests[0]?.messages[0] as Message)).toBe(`I am ${speaks}.`);
    expect((await stored(provider)).map((m) => m.role)).toEqual(['user', 'assistant', 'tool', 'assistant']);
  });

  it('refuses other messages under the same runId', async () => {
    const provider = createInMemoryProvider();
    output(await run(state([user('a')], {}, { runId: 'r1' }), remembering(provider, said('b'))));
    const result = await run(state([user('x')], {}, { runId: 'r1' }), remembering(provider, said('y')));
    expect(failure(result)).toBeInstanceOf(MemoryConflictError);
    expect(failure(result)).toMatchObject({ code: 'operation_reused' });
    expect(await stored(provider)).toHaveLength(2);
  });
});

describe('two runs on one conversation', () => {
  it('take turns within a process', async () => {
    const provider = createInMemoryProvider();
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        run(state([user(`q${i}`)], {}), remembering(provider, [calls({ id: '1', name: 'look_up' }), assistant(`a${i}`)])),
      ),
    );
    for (const result of results) output(result);
    const turns = (await stored(provider)).filter((m) => m.role === 'user' || textOf(m).startsWith('a')).map(textOf);
    expect(turns).toEqual(Array.from({ length: 8 }, (_, i) => [`q${i}`, `a${i}`]).flat());
  });

  it.each(['fail', 'continue'] as const)(
    'end in a conflict when another process writes between two steps, and keep what was stored (onStoreError: %s)',
    async (onStoreError) => {
      const provider = createInMemoryProvider();
      const config = remembering(provider, said('too late'), { memory: { onStoreError } });
      const model = config.modelProvider;
      const interfering = {
        getCompletion: async (r: Parameters<typeof model.getCompletion>[0]) => {
          await openConversation(provider, 'c').append(user('somebody else'));
          return model.getCompletion(r);
        },
      };
      const result = await run(state([user('mine')], {}), { ...config, modelProvider: interfering });
      expect(failure(result)).toBeInstanceOf(MemoryConflictError);
      expect(text(await stored(provider))).toEqual(['user:mine', 'user:somebody else']);
      expect(result.finalState.stored?.count).toBe(1);
      expect(result.finalState.messages).toHaveLength(2);
      expect(config.events.find((e) => e.type === 'store_failed')).toMatchObject({
        error: 'MemoryConflictError',
        code: 'version',
        outcome: 'not_applied',
      });
    },
  );

  it('can be aborted while one waits, without ending the others', async () => {
    const provider = createInMemoryProvider();
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const first = remembering(provider, said('1'));
    const running = run(state([user('a')], {}), {
      ...first,
      modelProvider: {
        getCompletion: async (r) => {
          await gate;
          return first.model.getCompletion(r);
        },
      },
    });
    const controller = new AbortController();
    const waiting = run(state([user('b')], {}), remembering(provider, said('2'), { signal: controller.signal }));
    const third = run(state([user('c')], {}), remembering(provider, said('3')));
    controller.abort();
    expect(failure(await waiting).name).toBe('AbortError');
    release();
    output(await running);
    output(await third);
    expect(text(await stored(provider))).toEqual(['user:a', 'assistant:1', 'user:c', 'assistant:3']);
  });

  it('do not wait for themselves: a tool that runs on its own conversation is told so', async () => {
    const provider = createInMemoryProvider();
    let inner: Promise<string> | undefined;
    const nest = tool({
      name: 'look_up',
      description: '',
      parameters: { type: 'object' },
      execute: async () => {
        inner = run(state([user('inner')], {}), remembering(provider, said('x'))).then((r) => failure(r).message);
        return inner;
      },
    });
    const config = remembering(provider, [calls({ id: '1', name: 'look_up' }), assistant('ok')], {
      agentRegistry: { A: { ...AGENT, tools: [nest] } },
    });
    output(await run(state([user('outer')], {}), config));
    expect(await inner).toMatch(/nested_run/);
  });
});
