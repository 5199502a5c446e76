/**
 * Whole conversations with their first sequence, from any provider.
 *
 * @module
 */
import { MemoryConflictError, MemoryValidationError } from './errors.js';
import { internalsOf, type Reading } from './internals.js';
import type { ConversationMemory, ConversationSnapshot, MemoryProvider, MemoryQuery } from './types.js';
import { isCorrupt } from './verify.js';

/** How often a conversation of a provider that is known by its methods alone is read while others write to it. */
const TRIES = 20;

/**
 * Walks the matches of a query; each conversation is as it was at one moment. One whose stored data is damaged comes as the
 * failure to read it.
 *
 * @param provider - where from
 * @param query - which; no window
 * @param operation - for errors
 * @throws MemoryValidationError for a query with `messageLimit`
 */
export async function* readings(provider: MemoryProvider, query: MemoryQuery, operation: string): AsyncGenerator<Reading> {
  if (query.messageLimit !== undefined) {
    throw new MemoryValidationError(`${operation}: query.messageLimit: it is about whole conversations. Leave it out.`, {
      provider: 'none',
      issues: [{ path: 'query.messageLimit', reason: 'it is about whole conversations' }],
    });
  }
  const internals = internalsOf(provider);
  if (internals) {
    yield* internals.readings(query);
    return;
  }
  for await (const { conversationId: id } of provider.iterateConversations({ ...query, messageLimit: 0 })) {
    try {
      const snapshot = await wholeOf(provider, id, query.signal);
      if (snapshot) yield { id, snapshot };
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      yield { id, error };
    }
  }
}

/**
 * One conversation as it was at one moment.
 *
 * @param provider - where from
 * @param id - which
 * @throws MemoryStorageError (`corrupt`)
 */
export async function snapshotOf(provider: MemoryProvider, id: string, signal?: AbortSignal): Promise<ConversationSnapshot | undefined> {
  const internals = internalsOf(provider);
  if (!internals) return await wholeOf(provider, id, signal);
  for await (const reading of internals.readings({ conversationId: id, signal })) {
    if (reading.error) throw reading.error;
    return reading.snapshot;
  }
  return undefined;
}

/** By public methods: two reads say the same version around the one that tells the first sequence. */
async function wholeOf(provider: MemoryProvider, id: string, signal?: AbortSignal): Promise<ConversationSnapshot | undefined> {
  let before: ConversationMemory | undefined;
  for (let tries = 0; tries < TRIES; tries++) {
    const conversation = await provider.getConversation(id, { signal });
    if (!conversation) return undefined;
    const { firstSeq } = await provider.getMessages(id, { limit: 0, signal });
    before = await provider.getConversation(id, { messageLimit: 0, signal });
    if (before?.version === conversation.version) return { ...conversation, firstSeq };
  }
  throw new MemoryConflictError(`read ${JSON.stringify(id)}: it was written to each of ${TRIES} times it was read. Try again later.`, {
    provider: 'custom',
    actualVersion: before?.version ?? 0,
  });
}
