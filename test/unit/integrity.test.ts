import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  assistant,
  createInMemoryProvider,
  type Message,
  repairMessages,
  toChatMessages,
  undoRepairs,
  unwrap,
  user,
  verifyConversation,
  verifyMessages,
} from 'jaf/memory';

const call = (...ids: string[]): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: ids.map((id) => ({ id, type: 'function', function: { name: `tool_${id}`, arguments: '{}' } })),
});
const result = (id: string, content = 'done'): Message => ({ role: 'tool', content, tool_call_id: id, name: `tool_${id}` });
const kinds = (messages: readonly unknown[]): string[] => verifyMessages(messages as Message[]).issues.map((i) => `${i.index}:${i.kind}`);

describe('verifyMessages', () => {
  it('finds nothing wrong with ordinary conversations', () => {
    expect(kinds([])).toEqual([]);
    expect(kinds([{ role: 'system', content: 'x' }, user('a'), call('1', '2'), result('2'), result('1', ''), assistant('')])).toEqual([]);
    expect(kinds([user('a'), call('1'), result('1'), call('1'), result('1'), assistant('b')])).toEqual([]);
    expect(kinds([{ role: 'user', content: [{ type: 'text', text: 'hi' }] }])).toEqual([]);
    expect(
      kinds([
        { role: 'assistant', content: null, function_call: { name: 'f', arguments: '' } },
        { role: 'function', name: 'f', content: 'x' },
      ]),
    ).toEqual([]);
  });

  it.each<[string, unknown[], string[]]>([
    ['an empty user message', [user('')], ['0:empty']],
    ['an assistant message with nothing in it', [user('a'), { role: 'assistant', content: null }], ['1:empty']],
    ['a result without content', [call('1'), { role: 'tool', tool_call_id: '1', content: null }], ['1:empty']],
    ['an unknown role', [{ role: 'bot', content: 'x' }], ['0:unknown-role']],
    ['an orphan result', [user('a'), result('1')], ['1:orphan-tool-result']],
    ['a result without an id', [call('1'), { role: 'tool', content: 'x' }], ['0:missing-tool-result', '1:orphan-tool-result']],
    ['a call without a result', [user('a'), call('1', '2'), result('2')], ['1:missing-tool-result']],
    ['a result behind another message', [call('1'), user('a'), result('1')], ['2:orphan-tool-result']],
    ['an id used twice in one message', [call('1', '1'), result('1'), result('1')], ['0:duplicate-call-id']],
    ['something that is no message', [null, 'x', user('a')], ['0:damaged', '1:damaged']],
    ['content of a wrong type', [{ role: 'user', content: 7 }], ['0:damaged']],
    ['tool calls of a wrong type', [{ role: 'assistant', content: 'x', tool_calls: 'y' }], ['0:damaged']],
    ['a call without a function', [{ role: 'assistant', content: null, tool_calls: [{ id: '1', type: 'function' }] }], ['0:damaged']],
    ['a legacy function result without a call', [user('a'), { role: 'function', name: 'f', content: 'x' }], ['1:orphan-tool-result']],
  ])('reports %s', (_, messages, expected) => {
    expect(kinds(messages)).toEqual(expected);
    expect(verifyMessages(messages as Message[]).valid).toBe(false);
  });
});

describe('repairMessages', () => {
  it('answers the same array when nothing has to change', () => {
    const messages = [user('a'), call('1'), result('1'), assistant('b')];
    expect(repairMessages(messages)).toEqual({ messages, repairs: [] });
    expect(repairMessages(messages).messages).toBe(messages);
  });

  it('puts an honest result behind the results of the message whose call has none', () => {
    const { messages, repairs } = repairMessages([user('a'), call('1', '2'), result('2'), user('b')]);
    expect(messages.map((m) => m.tool_call_id ?? m.role)).toEqual(['user', 'assistant', '2', '1', 'user']);
    expect(messages[3]).toMatchObject({ role: 'tool', name: 'tool_1', jaf_repair: 'missing-tool-result' });
    expect(messages[3]?.content).toMatch(/interrupted.*outcome is unknown/);
    expect(repairs.map((r) => [r.index, r.kind])).toEqual([[1, 'missing-tool-result']]);
  });

  it('sets orphans aside, and moves a late result behind its call, both visibly', () => {
    const late = result('1', 'late');
    const { messages, repairs } = repairMessages([result('0', 'say nothing'), call('1'), user('a'), late, assistant('b')]);
    expect(messages).toMatchObject([{ role: 'user', jaf_repair: 'orphan-tool-result' }, call('1'), late, user('a'), assistant('b')]);
    expect(messages[2]).toMatchObject({ jaf_repair: 'orphan-tool-result' });
    // what a tool said must not turn into what a user says, nor reach a model beside its keys
    expect(JSON.stringify(toChatMessages(messages))).not.toMatch(/say nothing|jaf_/);
    expect(repairs.map((r) => [r.index, r.detail.split(': ').at(-1)])).toEqual([
      [0, 'set aside'],
      [3, 'moved behind its call'],
    ]);
  });

  it('leaves a list that verifies, whatever calls and results were mixed up', () => {
    const pieces = [user('u'), call('1'), call('1', '2'), result('1'), result('2'), assistant('a')];
    let state = 1;
    const random = (n: number): number => {
      state = (state * 48271) % 2147483647;
      return state % n;
    };
    for (let round = 0; round < 2000; round++) {
      const mixed = Array.from({ length: 1 + random(9) }, () => pieces[random(pieces.length)] as Message);
      const repaired = repairMessages(mixed).messages;
      expect(kinds(repaired)).toEqual([]);
      expect(repaired.filter((m) => m.role !== 'tool' && !m['jaf_undo'])).toEqual(mixed.filter((m) => m.role !== 'tool'));
      expect(repairMessages(repaired).messages).toBe(repaired);
    }
  });
});

describe('undoRepairs', () => {
  const pieces = [
    user('u'),
    call('1'),
    call('1', '2'),
    result('1'),
    result('2'),
    { role: 'tool', content: 'no id' } as Message,
    assistant('a'),
  ];
  let state = 7;
  const random = (n: number): number => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
  const mix = (): Message[] => Array.from({ length: 1 + random(9) }, () => pieces[random(pieces.length)] as Message);

  it('takes back one repair after the other, exactly, also from a store', () => {
    for (let round = 0; round < 2000; round++) {
      const first = mix();
      const repaired = JSON.parse(JSON.stringify(repairMessages(first).messages)) as Message[];
      expect(undoRepairs(repaired)).toEqual(first);
      // the conversation goes on, and is repaired again
      const more = mix();
      const again = repairMessages([...repaired, ...more]).messages;
      expect(kinds(again)).toEqual([]);
      expect(undoRepairs(again)).toEqual([...first, ...more]);
    }
  });

  it('leaves alone what no repair touched, and results a run stored by itself', () => {
    const own = { ...result('1'), jaf_repair: 'missing-tool-result' };
    const messages = [user('a'), call('1'), own];
    expect(undoRepairs(messages)).toBe(messages);
    const forged = [
      { ...user('a'), jaf_undo: 'x' },
      { ...user('b'), jaf_undo: { repair: 'x' } },
      { ...user('c'), jaf_undo: null },
    ];
    expect(undoRepairs(forged)).toBe(forged);
  });
});

describe('verifyConversation', () => {
  it('reads the whole conversation', async () => {
    const provider = createInMemoryProvider();
    unwrap(await provider.storeMessages('c', [user('a'), call('1'), user('b')]));
    const { valid, issues } = await verifyConversation(provider, 'c');
    expect(valid).toBe(false);
    expect(issues.map((i) => [i.index, i.kind])).toEqual([[1, 'missing-tool-result']]);
  });

  it('says when there is none', async () => {
    const answer = await verifyConversation(createInMemoryProvider(), 'nowhere');
    expect(answer).toEqual({ valid: false, issues: [{ index: -1, kind: 'not-found', detail: expect.any(String) as string }] });
  });
});

const recorded = process.env['JAF_TEST_DATA'];
describe.skipIf(!recorded)('real conversations (JAF_TEST_DATA)', () => {
  it('are all valid', () => {
    const lines = readFileSync(recorded ?? '', 'utf8')
      .trim()
      .split('\n');
    const invalid = lines
      .map((line) => JSON.parse(line) as { conversation_id: string; messages: Message[] })
      .filter((c) => !verifyMessages(c.messages).valid);
    expect(lines.length).toBeGreaterThan(0);
    expect(invalid.map((c) => c.conversation_id)).toEqual([]);
  });
});
