import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/memory/types.js';
import { dropLeadingResults, pairCalls } from '../../src/memory/window.js';

const call = (...ids: string[]): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: ids.map((id) => ({ id, type: 'function' as const, function: { name: 'f', arguments: '{}' } })),
});
const result = (id: string): Message => ({ role: 'tool', content: 'r', tool_call_id: id });
const said: Message = { role: 'user', content: 'x' };

describe('pairing of tool calls and results', () => {
  it('goes by position first: a reused id belongs to the nearest earlier call that is open', () => {
    const { callOf, open } = pairCalls([call('a'), result('a'), said, call('a'), result('a')]);
    expect(callOf).toEqual([undefined, 0, undefined, undefined, 3]);
    expect(open).toEqual([]);
  });
  it('finds the nearest of two open calls with one id', () => {
    const { callOf, open } = pairCalls([call('a'), call('a'), result('a')]);
    expect(callOf[2]).toBe(1);
    expect(open).toEqual([{ index: 0, call: 0 }]);
  });
  it('answers two calls of one message with the same id in their order', () => {
    const { callOf, open } = pairCalls([call('a', 'a'), result('a')]);
    expect(callOf[1]).toBe(0);
    expect(open).toEqual([{ index: 0, call: 1 }]);
  });
  it('takes parallel results in any order, also behind other messages', () => {
    const { callOf, open } = pairCalls([call('a', 'b', 'c'), result('b'), said, result('a')]);
    expect(callOf).toEqual([undefined, 0, undefined, 0]);
    expect(open).toEqual([{ index: 0, call: 2 }]);
  });
  it('knows orphans: a result before its call, a second result, an unknown id', () => {
    expect(pairCalls([result('a'), call('a'), result('a'), result('a'), result('z')]).callOf).toEqual([-1, undefined, 1, -1, -1]);
  });
});

describe('windows', () => {
  it('never begin with a result whose call was cut off', () => {
    const all = [call('a', 'b'), result('a'), result('b'), said];
    expect(dropLeadingResults(all.slice(1))).toEqual([said]);
    expect(dropLeadingResults(all.slice(2))).toEqual([said]);
    expect(dropLeadingResults(all)).toBe(all);
    expect(dropLeadingResults([result('a')])).toEqual([]);
  });
  it('treat a legacy function message as a result', () => {
    expect(dropLeadingResults([{ role: 'function' }, { role: 'user' }])).toEqual([{ role: 'user' }]);
  });
});
