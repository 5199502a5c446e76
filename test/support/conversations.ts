/** Conversations to move between stores: the real ones where they are, and made ones with everything that is hard to carry. */
import { existsSync, readFileSync } from 'node:fs';
import type { ConversationSnapshot, Message, Metadata } from 'jaf/memory';

/** A file of recorded conversations. */
const REAL = process.env['JAF_TEST_DATA'] ?? '/work/shared/data/agent-conversations.ndjson';
/** Whether there are recorded conversations. */
export const hasReal: boolean = existsSync(REAL);

const START = Date.parse('2026-01-15T10:00:00Z');

/** The recorded conversations, with times of their own. */
export function realConversations(): ConversationSnapshot[] {
  const lines = readFileSync(REAL, 'utf8').trim().split('\n');
  return lines.map((line, i) => {
    const record = JSON.parse(line) as { conversation_id: string; user_id: string; messages: Message[]; metadata: Metadata };
    const { conversation_id: conversationId, user_id: userId, messages, metadata } = record;
    return { ...fields(i), conversationId, userId, messages, metadata, messageCount: messages.length };
  });
}

function fields(i: number): Pick<ConversationSnapshot, 'createdAt' | 'updatedAt' | 'version' | 'firstSeq'> {
  return { createdAt: new Date(START + i * 1000), updatedAt: new Date(START + i * 1000 + 7), version: 0, firstSeq: 1 + (i % 3) };
}

/** Ids whose order as UTF-8 bytes is not their order in UTF-16, and others that might be taken for patterns. */
const IDS = ['\u{ff5e}', '\u{1f600}', '*?[a]', 'a:b:{c}', "o'hara", 'é', 'e\u0301', ' ', 'Z', 'a'];

/** Made conversations: strange ids and values, owners, traces, expiry, holds, none and many messages. */
export function madeConversations(): ConversationSnapshot[] {
  return IDS.map((conversationId, i): ConversationSnapshot => {
    const messages = Array.from(
      { length: i * 40 },
      (_, k): Message => ({
        role: k % 2 === 0 ? 'user' : 'assistant',
        content: k === 3 ? 'NUL \0, lone \ud800, line\u2028 "quoted" \\ 😀' : `message ${k}`,
        ...(k === 5 ? { nested: { b: [1, [2.5e-7, -0, 1e21]], a: null, __proto__x: '' } } : {}),
      }),
    );
    return {
      ...fields(i),
      conversationId,
      ...(i % 2 === 0 ? { userId: `user ${i % 3}` } : {}),
      ...(i % 4 === 0 ? { traceId: `trace ${i}` } : {}),
      ...(i % 3 === 0 && i !== 9 ? { expiresAt: new Date('2099-01-01T00:00:00.123Z') } : {}),
      messages,
      messageCount: messages.length,
      metadata: i === 9 ? { legalHold: true, traceId: 'told' } : { i, deep: { list: ['\0', { '\ud800': true }] } },
    };
  });
}
