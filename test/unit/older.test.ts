import { describe, expect, it } from 'vitest';
import { olderTime, readOlder } from '../../src/memory/older.js';

describe('times of the earlier implementations', () => {
  it.each([
    ['2024-03-01T10:00:00.123Z', Date.UTC(2024, 2, 1, 10, 0, 0, 123)],
    ['2024-03-01T10:00:00+02:00', Date.UTC(2024, 2, 1, 8)],
    ['2024-03-01 10:00:00-0130', Date.UTC(2024, 2, 1, 11, 30)],
    // without an offset: local time; rounded as PostgreSQL rounds it for the other backend
    ['2024-03-01T10:00:00.123456', new Date(2024, 2, 1, 10, 0, 0, 123).getTime()],
    ['2024-03-01T10:00:00.999600', new Date(2024, 2, 1, 10, 0, 1).getTime()],
    ['2024-03-01T10:00:00', new Date(2024, 2, 1, 10).getTime()],
  ])('%s', (text, expected) => expect(olderTime(text)).toBe(expected));

  it.each([['yesterday'], ['2024-13-01T10:00:00'], ['2024-03-01T10:00:00 '], [1_700_000_000], [null], ['2024-03-01']])('not %s', (value) =>
    expect(olderTime(value)).toBeUndefined(),
  );
});

describe('a text of an earlier implementation', () => {
  const read = (value: unknown): ReturnType<typeof readOlder> => readOlder('c', JSON.stringify(value));

  it('may have both spellings of everything: the first creation and the last change count', () => {
    const metadata = {
      created_at: '2024-03-01T10:00:00Z',
      createdAt: '2024-03-02T10:00:00Z',
      updated_at: '2024-03-01T11:00:00Z',
      lastActivity: '2024-03-05T10:00:00.5Z',
      totalMessages: 1,
      trace_id: 't',
      userId: null,
      own: null,
    };
    const messages = [{ role: 'tool', content: 'x', toolCallId: 'k', tool_calls: null, name: null }];
    expect(read({ conversation_id: 'c', conversationId: 'c', user_id: null, userId: 'ada', messages, metadata })).toStrictEqual({
      kind: 'conversation',
      conversation: {
        userId: 'ada',
        messages: [{ role: 'tool', content: 'x', tool_call_id: 'k' }],
        metadata: { own: null, traceId: 't' },
        createdAt: Date.UTC(2024, 2, 1, 10),
        updatedAt: Date.UTC(2024, 2, 5, 10, 0, 0, 500),
      },
    });
  });

  it('keeps __proto__ a key', () => {
    const text = '{"conversationId":"c","messages":[{"role":"user","content":"x","__proto__":{"a":1}}],"metadata":{"__proto__":{"b":1}}}';
    const found = readOlder('c', text);
    expect(JSON.stringify(found)).toContain('"metadata":{"__proto__":{"b":1}}');
    expect(JSON.stringify(found)).toContain('"__proto__":{"a":1}');
  });

  it.each([
    ['damaged', '{"conversation_id": "c", "messages": [', 'not JSON'],
    ['foreign', 'hello', 'not JSON'],
    ['foreign', '17', 'not a JSON object'],
    ['foreign', '[]', 'not a JSON object'],
    ['foreign', '{"lock":1}', 'no id'],
    ['foreign', '{"conversationId":"d","messages":[]}', 'another id'],
    ['foreign', '{"conversation_id":"c","conversationId":"d","messages":[]}', 'another id'],
    ['damaged', '{"conversationId":"c"}', 'not an array'],
    ['damaged', '{"conversationId":"c","messages":["secret"]}', 'messages[0] is not an object'],
    ['damaged', '{"conversationId":"c","messages":[],"metadata":"secret"}', 'metadata is not an object'],
    ['damaged', '{"conversationId":"c","messages":[],"userId":5}', 'user id is not a string'],
  ])('is %s: %s', (kind, text, reason) => {
    const found = readOlder('c', text);
    expect(found).toStrictEqual({ kind, reason: expect.stringContaining(reason) });
    expect(JSON.stringify(found)).not.toContain('secret');
  });
});
