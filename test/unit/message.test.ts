import { describe, expect, it } from 'vitest';
import { createConversation, createConversationId } from '../../src/memory/conversation.js';
import { assistant, textOf, toChatMessages, toolResult, user } from '../../src/memory/message.js';
import type { Message } from '../../src/memory/types.js';

describe('messages', () => {
  it('are made by helpers', () => {
    expect(user('a')).toEqual({ role: 'user', content: 'a' });
    expect(assistant('b')).toEqual({ role: 'assistant', content: 'b' });
    expect(toolResult('c1', 'f', 'text')).toEqual({ role: 'tool', content: 'text', tool_call_id: 'c1', name: 'f' });
    expect(toolResult('c1', 'f', { a: [1] }).content).toBe('{"a":[1]}');
    expect(toolResult('c1', 'f', undefined).content).toBe('');
  });
  it('have a text', () => {
    expect(textOf(user('a'))).toBe('a');
    expect(textOf({ role: 'assistant', content: null })).toBe('');
    expect(
      textOf({
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'image_url', image_url: { url: 'u' } },
          { type: 'text', text: 'b' },
        ],
      }),
    ).toBe('a\nb');
  });
});

describe('toChatMessages', () => {
  it('keeps what chat completions know and nothing else', () => {
    const messages = [
      { role: 'user', content: 'x', message_id: 'm1', extra: 1 },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":1}' }, index: 0 }],
        refusal: null,
      },
      { role: 'tool', content: 'r', tool_call_id: 'c', name: 'f' },
    ] as unknown as Message[];
    expect(toChatMessages(messages)).toEqual([
      { role: 'user', content: 'x' },
      { role: 'assistant', content: null, tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }] },
      { role: 'tool', content: 'r', tool_call_id: 'c' },
    ]);
  });
  it('turns attachments into parts', () => {
    const message: Message = {
      role: 'user',
      content: 'look',
      attachments: [
        { kind: 'image', url: 'https://example.com/a.png' },
        { kind: 'image', data: 'AAAA', mimeType: 'image/jpeg' },
        { kind: 'document', data: 'BBBB', mimeType: 'application/pdf', name: 'a.pdf' },
        { kind: 'file', url: 'https://example.com/b.bin', name: 'b.bin' },
      ],
    };
    expect(toChatMessages([message])).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'look' },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
          { type: 'image_url', image_url: { url: 'data:image/jpeg;base64,AAAA' } },
          { type: 'file', file: { file_data: 'data:application/pdf;base64,BBBB', filename: 'a.pdf' } },
          { type: 'text', text: '[file b.bin: https://example.com/b.bin]' },
        ],
      },
    ]);
  });
  it('says which message has no place there', () => {
    expect(() => toChatMessages([user('a'), { role: 'function', content: 'x' } as unknown as Message])).toThrow(/messages\[1\]\.role/);
  });
});

describe('conversations made by hand', () => {
  it('are frozen copies', () => {
    const messages = [user('Hello!'), assistant('Hi there!')];
    const conversation = createConversation({
      conversationId: 'user-123-session-1',
      userId: 'user-123',
      messages,
      metadata: { session_start: '2024-01-15' },
    });
    (messages[0] as { content: string }).content = 'changed';
    expect(conversation.messages[0]?.content).toBe('Hello!');
    expect(conversation.messageCount).toBe(2);
    expect(Object.isFrozen(conversation.messages[0])).toBe(true);
    expect(conversation.updatedAt).toEqual(conversation.createdAt);
  });
  it('refuse what storage would refuse, all at once', () => {
    expect(() => createConversation({ conversationId: '', messages: [{ role: 'x' } as never], createdAt: new Date('nonsense') })).toThrow(
      /conversationId: expected 1 to 255 characters.*messages\[0\]\.role.*createdAt: expected a valid Date/,
    );
    expect(() => createConversation({ conversationId: 'a', userId: 'u', metadata: { user_id: 'v' } })).toThrow(/contradicts/);
  });
});

describe('conversation ids', () => {
  it('have three parts', () => {
    expect(createConversationId('user-123', 'chat', '2024-01-15T10:00:00Z')).toBe('user-123:chat:2024-01-15T10:00:00Z');
    expect(createConversationId('u', 'chat', new Date('2024-01-15T10:00:00.123Z'))).toBe('u:chat:2024-01-15T10:00:00.123Z');
    expect(createConversationId('u', 'chat')).toMatch(/^u:chat:\d{4}-.*Z$/);
  });
  it('refuse empty parts and too long results', () => {
    expect(() => createConversationId('', 'chat')).toThrow(/userId/);
    expect(() => createConversationId('u'.repeat(250), 'chat', 'now')).toThrow(/the id: expected 1 to 255/);
  });
});
