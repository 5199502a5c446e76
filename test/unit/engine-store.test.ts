import { run, type RunConfig, tool } from 'jaf';
import {
  type AppendOptions,
  assistant,
  type ConversationMemory,
  createConversation,
  createInMemoryProvider,
  Failure,
  MemoryConnectionError,
  MemoryNotFoundError,
  type MemoryConfig,
  type MemoryProviderCore,
  type Message,
  type Metadata,
  type Result,
  Success,
  textOf,
  toolResult,
  unwrap,
  user,
  type WriteOptions,
} from 'jaf/memory';
import { describe, expect, it } from 'vitest';
import { calls, failure, interceptAppends, output, scripted, state, types } from './engine.kit.js';

const lost = (applied: boolean): MemoryConnectionError =>
  new MemoryConnectionError('append: the reply was lost', { provider: 'test', outcome: applied ? 'unknown' : 'not_applied' });
const text = (messages: readonly Message[]): string[] => messages.map((m) => `${m.role}:${textOf(m)}`);
const lookUp = tool({ name: 'look_up', description: '', parameters: { type: 'object' }, execute: () => 'found' });

function configured(
  provider: MemoryProviderCore,
  script: readonly Message[],
  memory: Partial<MemoryConfig> = {},
): ReturnType<typeof scripted> & RunConfig {
  return scripted(script, {
    agentRegistry: { A: { name: 'A', instructions: () => '', tools: [lookUp] } },
    conversationId: 'c',
    memory: { provider, ...memory },
  });
}

/** A real provider where the appends `fails` picks (by number, from 1) fail, after being applied or before. */
function failing(fails: (n: number) => boolean, applied: boolean): ReturnType<typeof createInMemoryProvider> {
  let n = 0;
  return interceptAppends(createInMemoryProvider(), async (_id, _messages, _options, apply) => {
    n += 1;
    if (!fails(n)) return apply();
    if (applied) await apply();
    return new Failure(lost(applied));
  });
}

describe('a store that fails', () => {
  it.each([true, false])('ends the run by default, never silently (write applied: %s)', async (applied) => {
    const provider = failing((n) => n === 2, applied);
    const config = configured(provider, [calls({ id: '1', name: 'look_up' }), assistant('never')]);
    const result = await run(state([user('a')], {}), config);
    expect(failure(result)).toBeInstanceOf(MemoryConnectionError);
    expect(config.events.find((e) => e.type === 'store_failed')).toMatchObject({
      error: 'MemoryConnectionError',
      code: 'lost',
      outcome: applied ? 'unknown' : 'not_applied',
    });
    expect(result.finalState.stored?.count).toBe(1);
    expect(result.finalState.messages).toHaveLength(2);
    expect(types(config.events)).not.toContain('tool_start');
  });

  it.each([true, false])(
    'is tried again at the next step with onStoreError: continue, in order and once each (write applied: %s)',
    async (applied) => {
      const provider = failing((n) => [1, 2, 4].includes(n), applied);
      const config = configured(provider, [calls({ id: '1', name: 'look_up' }), assistant('done')], { onStoreError: 'continue' });
      const result = await run(state([user('a')], {}), config);
      expect(output(result)).toBe('done');
      expect(config.events.filter((e) => e.type === 'store_failed')).toHaveLength(3);
      const conversation = await provider.getConversation('c');
      const missing = result.finalState.messages.length - (result.finalState.stored?.count ?? 0);
      expect(text(conversation?.messages ?? [])).toEqual(
        ['user:a', 'assistant:', 'tool:found', 'assistant:done'].slice(0, applied ? 4 : 4 - missing),
      );
    },
  );

  it.each([
    [true, 'continue'],
    [false, 'continue'],
    [true, 'fail'],
    [false, 'fail'],
  ] as const)('is made whole by the next run of the final state (writes applied: %s, %s)', async (applied, onStoreError) => {
    let broken = true;
    const provider = failing((n) => broken && n > 1, applied);
    const first = await run(
      state([user('a')], {}),
      configured(provider, [calls({ id: '1', name: 'look_up' }), assistant('done')], { onStoreError }),
    );
    expect(first.finalState.stored?.count).toBe(1);
    broken = false;
    const second = await run(
      { ...first.finalState, messages: [...first.finalState.messages, user('b')] },
      configured(provider, [assistant('more')]),
    );
    expect(output(second)).toBe('more');
    // the run that failed stopped before its tool: its call is answered by a repair
    const interrupted: unknown = expect.stringMatching(/^tool:.*interrupted/);
    const between = onStoreError === 'continue' ? ['tool:found', 'assistant:done'] : [interrupted];
    const expected = ['user:a', 'assistant:', ...between, 'user:b', 'assistant:more'];
    expect(text((await provider.getConversation('c'))?.messages ?? [])).toEqual(expected);
    expect(text(second.finalState.messages)).toEqual(expected);
  });

  it('does not double a repair whose acknowledgement was lost', async () => {
    let broken = true;
    const provider = failing(() => broken, true);
    unwrap(await provider.storeMessages('c', [user('a'), calls({ id: '1', name: 'look_up' })]));
    const first = await run(state([user('b')], {}), configured(provider, [assistant('x')], { onStoreError: 'continue' }));
    expect(first.finalState.stored?.count).toBe(2);
    broken = false;
    output(await run({ ...first.finalState, messages: [...first.finalState.messages, user('c')] }, configured(provider, [assistant('y')])));
    expect((await provider.getConversation('c'))?.messages.map((m) => (m.role === 'tool' ? m['jaf_repair'] : textOf(m)))).toEqual([
      'a',
      '',
      'missing-tool-result',
      'b',
      'x',
      'c',
      'y',
    ]);
  });

  it('does not reach the model when the conversation cannot be read', async () => {
    const provider = createInMemoryProvider();
    await provider.close();
    const config = configured(provider, [assistant('never')], { onStoreError: 'continue' });
    expect(failure(await run(state([user('a')], {}), config))).toMatchObject({ code: 'closed' });
    expect(types(config.events)).toEqual(['run_start', 'load_failed', 'run_end']);
    expect(config.model.requests).toEqual([]);
  });

  it('keeps the results of calls that finished before one could not be stored', async () => {
    const provider = failing((n) => n === 3, false);
    const config = configured(provider, [calls({ id: '1', name: 'look_up' }, { id: '2', name: 'look_up' }), assistant('never')]);
    const result = await run(state([user('a')], {}), config);
    expect(failure(result)).toBeInstanceOf(MemoryConnectionError);
    // the second result is written behind the first, which is repeated before it
    expect((await provider.getConversation('c'))?.messages.map((m) => m.tool_call_id)).toEqual([undefined, undefined, '1', '2']);
    expect(result.finalState.stored?.count).toBe(4);
  });

  it('gets the results of calls that finish together one after another', async () => {
    let writing = 0;
    let most = 0;
    const provider = interceptAppends(createInMemoryProvider(), async (_id, _messages, _options, apply) => {
      most = Math.max(most, ++writing);
      await new Promise(setImmediate);
      const result = await apply();
      writing -= 1;
      return result;
    });
    const four = ['1', '2', '3', '4'].map((id) => ({ id, name: 'look_up' }));
    output(await run(state([user('a')], {}), configured(provider, [calls(...four), assistant('done')])));
    expect(most).toBe(1);
    expect((await provider.getConversation('c'))?.messageCount).toBe(7);
  });

  it('leaves no message content in errors and events', async () => {
    const provider = failing((n) => n === 2, true);
    const config = configured(provider, [assistant('a secret reply')]);
    const result = await run(state([user('a secret question')], {}), config);
    expect(JSON.stringify([config.events, failure(result).message])).not.toContain('secret');
  });
});

/** The document's example of a provider of one's own, with a Map: no options, no versions, no receipts. */
class MyCustomProvider implements MemoryProviderCore {
  readonly conversations = new Map<string, readonly Message[]>();
  readonly calls: string[] = [];
  readonly missing: 'create' | 'not_found';
  constructor(missing: 'create' | 'not_found') {
    this.missing = missing;
  }
  async storeMessages(id: string, messages: readonly Message[], _metadata?: Metadata, _options?: WriteOptions): Promise<Result<unknown>> {
    this.calls.push('storeMessages');
    this.conversations.set(id, [...messages]);
    return new Success(undefined);
  }
  async getConversation(id: string): Promise<ConversationMemory | undefined> {
    this.calls.push('getConversation');
    const messages = this.conversations.get(id);
    return messages && createConversation({ conversationId: id, messages });
  }
  async appendMessages(id: string, messages: readonly Message[], _metadata?: Metadata, _options?: AppendOptions): Promise<Result<unknown>> {
    this.calls.push('appendMessages');
    const before = this.conversations.get(id);
    if (!before && this.missing === 'not_found')
      return new Failure(new MemoryNotFoundError('no such conversation', { provider: 'mine', conversationId: id }));
    this.conversations.set(id, [...(before ?? []), ...messages]);
    return new Success(undefined);
  }
  async getRecentMessages(id: string, limit = 50): Promise<readonly Message[]> {
    return (this.conversations.get(id) ?? []).slice(-limit);
  }
  async deleteConversation(id: string): Promise<boolean> {
    return this.conversations.delete(id);
  }
  async healthCheck(): Promise<{ healthy: boolean }> {
    return { healthy: true };
  }
}

describe('a provider with the six methods of the document', () => {
  it.each(['create', 'not_found'] as const)('works when an append to a missing conversation means %s', async (missing) => {
    const provider = new MyCustomProvider(missing);
    const config = configured(provider, [calls({ id: '1', name: 'look_up' }), assistant('b')]);
    const first = await run(state([user('a')], { userId: 'u' }), config);
    expect(output(first)).toBe('b');
    expect(config.events.filter((e) => e.type === 'limited_guarantees')).toMatchObject([
      { off: [expect.stringMatching(/conflict detection/), expect.stringMatching(/repeated run/)] },
    ]);
    const next = configured(provider, [assistant('d')], { contextMessages: 2 });
    output(await run({ ...first.finalState, messages: [...first.finalState.messages, user('c')] }, next));
    expect(text(provider.conversations.get('c') ?? [])).toEqual([
      'user:a',
      'assistant:',
      'tool:found',
      'assistant:b',
      'user:c',
      'assistant:d',
    ]);
    expect(text(next.model.requests[0]?.messages ?? [])).toEqual(['assistant:b', 'user:c']);
    expect(provider.calls.filter((c) => c === 'storeMessages')).toHaveLength(missing === 'create' ? 0 : 1);
  });

  it('takes part in repairs, and keeps a leading system message', async () => {
    const provider = new MyCustomProvider('create');
    provider.conversations.set('c', [{ role: 'system', content: 'rules' }, user('a'), user('b'), calls({ id: '1', name: 'look_up' })]);
    const config = configured(provider, [assistant('ok')], { contextMessages: 2 });
    output(await run(state([user('c')], {}), config));
    expect(config.model.requests[0]?.messages.map((m) => m.role)).toEqual(['system', 'user', 'assistant', 'tool', 'user']);
    expect(provider.conversations.get('c')?.map((m) => m.role)).toEqual([
      'system',
      'user',
      'user',
      'assistant',
      'tool',
      'user',
      'assistant',
    ]);
  });

  it('never sends a tool result whose call the window has cut off', async () => {
    const provider = new MyCustomProvider('create');
    provider.conversations.set('c', [user('a'), calls({ id: '1', name: 'look_up' }), toolResult('1', 'look_up', 'x'), assistant('b')]);
    const config = configured(provider, [assistant('ok')], { contextMessages: 2 });
    output(await run(state([user('c')], {}), config));
    expect(text(config.model.requests[0]?.messages ?? [])).toEqual(['assistant:b', 'user:c']);
    expect(config.events.find((e) => e.type === 'memory_loaded')).toMatchObject({ messages: 1, messageCount: 4 });
  });

  it('may throw instead of answering a Failure, and answer nonsense: neither is taken for success', async () => {
    const throwing = new MyCustomProvider('create');
    throwing.appendMessages = () => Promise.reject(new Error('disk full'));
    expect(failure(await run(state([user('a')], {}), configured(throwing, []))).message).toBe('disk full');
    const silent = new MyCustomProvider('create');
    silent.appendMessages = (() => Promise.resolve(undefined)) as never;
    expect(failure(await run(state([user('a')], {}), configured(silent, []))).message).toMatch(/neither a Success nor a Failure/);
    const refusing = new MyCustomProvider('create');
    refusing.appendMessages = () => Promise.resolve(new Failure('no' as never));
    expect(failure(await run(state([user('a')], {}), configured(refusing, [])))).toBeInstanceOf(Error);
  });

  it('has every guarantee when it hands receipts on', async () => {
    const real = createInMemoryProvider();
    const wrapper: MemoryProviderCore = {
      storeMessages: (...args) => real.storeMessages(...args),
      getConversation: (...args) => real.getConversation(...args),
      appendMessages: (...args) => real.appendMessages(...args),
      getRecentMessages: (...args) => real.getRecentMessages(...args),
      deleteConversation: (id) => real.deleteConversation(id),
      healthCheck: () => real.healthCheck(),
    };
    const config = configured(wrapper, [assistant('b')]);
    output(await run(state([user('a')], {}), config));
    expect(types(config.events)).not.toContain('limited_guarantees');
  });
});
