/**
 * Making conversation objects and ids by hand.
 *
 * @module
 */
import { decodeMetadata, encodeMetadata } from './codec.js';
import type { ConversationMemory, MessageInput, Metadata } from './types.js';
import { Problems } from './problems.js';
import { checkDate, checkId, checkMessages, checkMetadata } from './validate.js';

/** Fields of {@link createConversation}. */
export interface ConversationFields {
  /** 1 to 255 characters. */
  conversationId: string;
  /** Default: `metadata.userId` or `metadata.user_id`. */
  userId?: string | undefined;
  /** In order, copied; default none. */
  messages?: readonly MessageInput[] | undefined;
  /** Copied; default `{}`. */
  metadata?: Metadata | undefined;
  /** Default: now. */
  createdAt?: Date | undefined;
  /** Default: `createdAt`. */
  updatedAt?: Date | undefined;
}

/**
 * Makes a conversation object that is stored nowhere: deeply frozen, its messages copied, version 0.
 *
 * @param fields - see {@link ConversationFields}
 * @throws MemoryValidationError naming each field that is wrong
 * @example
 * const conversation = createConversation({ conversationId: 'user-123-session-1', messages: [user('Hello!')] });
 */
export function createConversation(fields: ConversationFields): ConversationMemory {
  const problems = new Problems();
  checkId('conversationId', fields.conversationId, problems);
  if (fields.userId !== undefined) checkId('userId', fields.userId, problems);
  const messages = checkMessages(fields.messages ?? [], problems);
  const reserved = checkMetadata(fields.metadata, problems, false);
  if (fields.createdAt !== undefined) checkDate('createdAt', fields.createdAt, problems);
  if (fields.updatedAt !== undefined) checkDate('updatedAt', fields.updatedAt, problems);
  const owner = fields.userId ?? reserved.owner;
  if (reserved.owner !== undefined && owner !== reserved.owner) problems.add('userId', 'contradicts metadata.userId');
  problems.throwIfAny({ provider: 'none', operation: 'createConversation' });
  const createdAt = fields.createdAt ?? new Date();
  return Object.freeze({
    conversationId: fields.conversationId,
    ...(owner === undefined ? {} : { userId: owner }),
    messages: Object.freeze(messages),
    messageCount: messages.length,
    metadata: fields.metadata ? decodeMetadata(encodeMetadata(fields.metadata)) : Object.freeze({}),
    createdAt: new Date(createdAt),
    updatedAt: new Date(fields.updatedAt ?? createdAt),
    version: 0,
  });
}

/**
 * A structured conversation id: `user-123:chat:2024-01-15T10:00:00Z`.
 *
 * @param userId - whose conversation
 * @param sessionType - what kind, e.g. `chat`
 * @param timestamp - taken as it is when a string; a `Date` keeps its milliseconds, so that two chats of a second differ. Default: now.
 * @throws MemoryValidationError when a part is empty or the id is longer than 255 characters
 */
export function createConversationId(userId: string, sessionType: string, timestamp: string | Date = new Date()): string {
  const problems = new Problems();
  checkId('userId', userId, problems);
  checkId('sessionType', sessionType, problems);
  if (timestamp instanceof Date) checkDate('timestamp', timestamp, problems);
  else checkId('timestamp', timestamp, problems);
  problems.throwIfAny({ provider: 'none', operation: 'createConversationId' });
  const id = `${userId}:${sessionType}:${timestamp instanceof Date ? timestamp.toISOString() : timestamp}`;
  checkId('the id', id, problems);
  problems.throwIfAny({ provider: 'none', operation: 'createConversationId' });
  return id;
}
