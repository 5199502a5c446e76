/**
 * One conversation in hand.
 *
 * @module
 */
import { unwrap } from './result.js';
import type { AppendOptions, ConversationMemory, MemoryProvider, Message, MessageInput, ReadOptions, WriteReceipt } from './types.js';

/** A conversation in hand: methods throw a `MemoryError` instead of returning a `Failure`. Iterating walks all messages, oldest first. */
export interface ConversationHandle extends AsyncIterable<Message> {
  /** Adds one or several messages; begins the conversation if there is none (unless `createIfMissing: false`). */
  append(messages: MessageInput | readonly MessageInput[], options?: AppendOptions): Promise<WriteReceipt>;
  /** The newest messages (default 50), ready to send to a model. */
  recent(limit?: number): Promise<readonly Message[]>;
  /** The conversation with metadata and times; undefined when there is none. */
  read(options?: ReadOptions): Promise<ConversationMemory | undefined>;
  /** Deletes it. @returns whether there was one */
  delete(): Promise<boolean>;
}

/** Messages fetched at a time while iterating. */
const PAGE = 100;

/**
 * Takes one conversation in hand. Opens no connection and writes nothing by itself.
 *
 * @param provider - where it is kept
 * @param conversationId - 1 to 255 characters
 * @param options - defaults of every append; `createIfMissing` is true unless given
 * @example
 * const chat = openConversation(provider, 'user-123-session-1', { userId: 'user-123' });
 * await chat.append(user('Hello!'));
 * for await (const message of chat) console.log(message.role, textOf(message));
 */
export function openConversation(provider: MemoryProvider, conversationId: string, options: AppendOptions = {}): ConversationHandle {
  return {
    async append(messages, more) {
      const list = Array.isArray(messages) ? (messages as readonly MessageInput[]) : [messages as MessageInput];
      return unwrap(await provider.appendMessages(conversationId, list, undefined, { createIfMissing: true, ...options, ...more }));
    },
    recent: (limit) => provider.getRecentMessages(conversationId, limit),
    read: (readOptions) => provider.getConversation(conversationId, readOptions),
    delete: () => provider.deleteConversation(conversationId),
    async *[Symbol.asyncIterator]() {
      let after = 0;
      for (;;) {
        const page = await provider.getMessages(conversationId, { after, limit: PAGE });
        for (const { seq, message } of page.items) {
          after = seq;
          yield message;
        }
        if (!page.hasMore) return;
      }
    },
  };
}
