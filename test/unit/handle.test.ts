import { assistant, createInMemoryProvider, MemoryNotFoundError, MemoryValidationError, openConversation, textOf, user } from 'jaf/memory';
import { describe, expect, it } from 'vitest';

describe('a conversation in hand', () => {
  it('begins with its first append, with the defaults it was opened with', async () => {
    const provider = createInMemoryProvider();
    const chat = openConversation(provider, 'c', { userId: 'u1', ttl: 60 });
    expect(await chat.read()).toBeUndefined();
    expect(await chat.recent()).toEqual([]);
    expect(await chat.append(user('a'))).toMatchObject({ conversationId: 'c', messageCount: 1, created: true });
    expect(await chat.append([assistant('b'), user('c')], { ttl: null })).toMatchObject({ messageCount: 3, created: false });
    const read = await chat.read();
    expect(read).toMatchObject({ userId: 'u1', messageCount: 3 });
    expect(read?.expiresAt).toBeUndefined();
    expect((await chat.read({ messageLimit: 1 }))?.messages).toEqual([user('c')]);
    expect(await chat.recent(2)).toEqual([assistant('b'), user('c')]);
    expect(await chat.delete()).toBe(true);
    expect(await chat.delete()).toBe(false);
  });

  it('throws what a write answers as a failure', async () => {
    const chat = openConversation(createInMemoryProvider(), 'c');
    await expect(chat.append(user('a'), { createIfMissing: false })).rejects.toThrow(MemoryNotFoundError);
    await expect(chat.append({ role: 'nobody', content: 'a' } as never)).rejects.toThrow(MemoryValidationError);
  });

  it('walks all messages in order, however many, and those appended meanwhile', async () => {
    const chat = openConversation(createInMemoryProvider(), 'c');
    await chat.append(Array.from({ length: 250 }, (_, i) => user(String(i))));
    const seen: string[] = [];
    for await (const message of chat) {
      if (seen.push(textOf(message)) === 120) await chat.append(user('250'));
    }
    expect(seen).toEqual(Array.from({ length: 251 }, (_, i) => String(i)));
  });
});
