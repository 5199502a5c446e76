/**
 * Messages and answers in the cases' own words.
 *
 * @module
 */
import { user } from '../message.js';
import type { ConversationMemory, Message } from '../types.js';
import { texts } from './hand.js';

/** Messages of the user with the texts `m1 m2 …`. */
export function say(from: number, to: number, prefix = 'm'): Message[] {
  return texts(from, to, prefix).map(user);
}

/** An assistant message that calls tools with these ids. */
export function calling(...ids: readonly string[]): Message {
  return {
    role: 'assistant',
    content: null,
    tool_calls: ids.map((id) => ({ id, type: 'function', function: { name: 'look', arguments: '{}' } })),
  };
}

/** The result of a call. */
export function answering(id: string, text = `result of ${id}`): Message {
  return { role: 'tool', content: text, tool_call_id: id, name: 'look' };
}

/** The contents, in order. */
export function contents(messages: readonly Message[] | undefined): unknown[] | undefined {
  return messages?.map((message) => message.content);
}

/** The ids, in order. */
export function idsOf(conversations: readonly ConversationMemory[]): string[] {
  return conversations.map((conversation) => conversation.conversationId);
}

/** Everything of an iteration; `between` runs after each item. */
export async function collect<T>(items: AsyncIterable<T>, between?: (item: T, n: number) => Promise<void>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) {
    all.push(item);
    await between?.(item, all.length);
  }
  return all;
}
