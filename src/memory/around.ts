/**
 * A provider that stands around another one and hands everything on; what it adds is in its subclasses.
 *
 * @module
 */
import { type CopyErasure, INTERNALS, type Internals, internalsOf } from './internals.js';
import { forgetRemains, purgeUser } from './purging.js';
import type { Result } from './result.js';
import type {
  AppendOptions,
  ConversationMemory,
  ConversationSnapshot,
  HealthStatus,
  MemoryProvider,
  MemoryQuery,
  MemoryStats,
  Message,
  MessageInput,
  MessagePage,
  ReadOptions,
  UserMemoryStats,
  WriteOptions,
  WriteReceipt,
} from './types.js';

/** Hands every call to `inner`. */
export abstract class Around implements MemoryProvider {
  protected readonly inner: MemoryProvider;

  constructor(inner: MemoryProvider) {
    this.inner = inner;
    // isolatedDeclarations knows no getter under a symbol in an exported class
    Object.defineProperty(this, INTERNALS, { get: () => this.#internals() });
  }

  /** Those of the inner provider, so that exports, erasures and runs see the one store there is; with the copies. */
  #internals(): Internals | undefined {
    const internals = internalsOf(this.inner);
    if (!internals) return undefined;
    return {
      ...internals,
      eraseCopies: async (userId, erasure) => {
        await internals.eraseCopies?.(userId, erasure);
        await this.eraseCopies(userId, erasure);
      },
    };
  }

  /** Erases what this provider keeps elsewhere of a user. */
  protected abstract eraseCopies(userId: string, erasure: CopyErasure): Promise<void>;
  abstract forUser(userId: string): MemoryProvider;
  abstract close(): Promise<void>;

  storeMessages(
    conversationId: string,
    messages: readonly MessageInput[],
    metadata?: object,
    options?: WriteOptions,
  ): Promise<Result<WriteReceipt>> {
    return this.inner.storeMessages(conversationId, messages, metadata as never, options);
  }

  appendMessages(
    conversationId: string,
    messages: readonly MessageInput[],
    metadata?: object,
    options?: AppendOptions,
  ): Promise<Result<WriteReceipt>> {
    return this.inner.appendMessages(conversationId, messages, metadata as never, options);
  }

  restoreConversation(snapshot: ConversationSnapshot, options: { onConflict: 'skip' | 'replace' | 'fail' }): Promise<Result<WriteReceipt>> {
    return this.inner.restoreConversation(snapshot, options);
  }

  getConversation(conversationId: string, options?: ReadOptions): Promise<ConversationMemory | undefined> {
    return this.inner.getConversation(conversationId, options);
  }

  getRecentMessages(conversationId: string, limit?: number, options?: { signal?: AbortSignal | undefined }): Promise<readonly Message[]> {
    return this.inner.getRecentMessages(conversationId, limit, options);
  }

  getMessages(conversationId: string, range: Parameters<MemoryProvider['getMessages']>[1]): Promise<MessagePage> {
    return this.inner.getMessages(conversationId, range);
  }

  findConversations(query?: MemoryQuery): Promise<readonly ConversationMemory[]> {
    return this.inner.findConversations(query);
  }

  iterateConversations(query?: MemoryQuery): AsyncIterable<ConversationMemory> {
    return this.inner.iterateConversations(query);
  }

  deleteConversation(conversationId: string, options?: Parameters<MemoryProvider['deleteConversation']>[1]): Promise<boolean> {
    return this.inner.deleteConversation(conversationId, options);
  }

  clearUserConversations(userId: string): Promise<number> {
    return this.inner.clearUserConversations(userId);
  }

  getStats(): Promise<MemoryStats>;
  getStats(userId: string): Promise<UserMemoryStats>;
  getStats(userId?: string): Promise<MemoryStats | UserMemoryStats> {
    return userId === undefined ? this.inner.getStats() : this.inner.getStats(userId);
  }

  purgeExpired(options?: { signal?: AbortSignal | undefined }): Promise<number> {
    return this.inner.purgeExpired(options);
  }

  healthCheck(): Promise<HealthStatus> {
    return this.inner.healthCheck();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Erases a user from a provider that holds copies: with a bar against late writes where the provider is ours.
 *
 * @throws MemoryError; what was removed by then stays removed, and it can be called again
 */
export async function eraseFrom(provider: MemoryProvider, userId: string, erasure: CopyErasure): Promise<void> {
  const internals = internalsOf(provider);
  if (!internals) {
    await provider.clearUserConversations(userId);
    return;
  }
  const { core } = internals;
  const call = core.call('eraseUser', userId);
  const hash = await core.ownerHash(userId);
  await core.trip(call, (trip) => core.driver.bar(hash, erasure.until, trip));
  await purgeUser(core, call, userId, { allowHold: erasure.allowHold, forget: true });
  await forgetRemains(core, call);
  await internals.eraseCopies?.(userId, erasure);
}

/** Name of the backend of a provider, `custom` for one that somebody else wrote. */
export function nameOf(provider: MemoryProvider): string {
  return internalsOf(provider)?.core.driver.name ?? 'custom';
}
