/**
 * Reading from a second store while the first cannot be reached.
 *
 * @module
 */
import { Around, eraseFrom, nameOf } from './around.js';
import { MemoryAbortError, MemoryConnectionError, MemoryError } from './errors.js';
import type { CopyErasure } from './internals.js';
import { markStored, storeOf } from './origin.js';
import { emitEvent } from './telemetry.js';
import type {
  ConversationMemory,
  HealthStatus,
  MemoryEvent,
  MemoryProvider,
  MemoryQuery,
  MemoryStats,
  Message,
  MessagePage,
  ReadOptions,
  UserMemoryStats,
} from './types.js';

/** Options of {@link withFallback}. */
export interface FallbackOptions {
  /**
   * Told `stale` (`operation`, `conversationId`?, `code` of the primary's error, `from`: name of the secondary) for each answer
   * that is the secondary's, and `fallback_failed` (with its `code`) where that failed too.
   */
  readonly onEvent?: ((event: MemoryEvent) => void) | undefined;
}

/**
 * A provider whose reads are answered by a secondary store while the primary cannot be reached: a read replica, or a copy
 * that is kept up to date by `jaf-memory copy`. Such answers may be old; each is told by the event `stale`.
 *
 * Only a `MemoryConnectionError` of the primary (a timeout too, `closed` not) makes a read fall back; "there is none" is an
 * answer. Writes, deletes and purges go to the primary and fail as it says. A walk (`iterateConversations`) falls back
 * before its first conversation and fails after it: two stores in one walk would lose or repeat conversations. Where both fail,
 * the primary's error is thrown. The wait for the primary is its `deadline`: choose a short one.
 *
 * `exportConversations`, `cleanupConversations` and `eraseUser` use the primary; an erasure then erases the secondary too, and
 * fails when that cannot be done: for a replica, which erases by itself and takes no writes, erase on the primary alone.
 * `healthCheck` is the primary's, with the metric `secondaryHealthy` (1 or 0). `close` closes both.
 *
 * @param primary - takes all writes
 * @param secondary - is never written to, but by an erasure
 * @param options - see {@link FallbackOptions}
 * @example
 * const provider = withFallback(primary, replica, { onEvent: (event) => log.warn(event) });
 */
export function withFallback(primary: MemoryProvider, secondary: MemoryProvider, options: FallbackOptions = {}): MemoryProvider {
  return new Fallback(primary, secondary, options);
}

/** Whether another store may answer instead. */
function isUnreachable(error: unknown): error is MemoryConnectionError {
  return error instanceof MemoryConnectionError && error.code !== 'closed';
}

class Fallback extends Around {
  readonly #secondary: MemoryProvider;
  readonly #options: FallbackOptions;

  constructor(primary: MemoryProvider, secondary: MemoryProvider, options: FallbackOptions) {
    super(primary);
    this.#secondary = secondary;
    this.#options = options;
  }

  override async getConversation(conversationId: string, options?: ReadOptions): Promise<ConversationMemory | undefined> {
    return await this.#read('getConversation', conversationId, async (provider) => {
      const found = await provider.getConversation(conversationId, options);
      if (found && provider !== this.inner) this.#mark(conversationId, found.messages);
      return found;
    });
  }

  override async getRecentMessages(
    conversationId: string,
    limit?: number,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<readonly Message[]> {
    return await this.#read('getRecentMessages', conversationId, async (provider) => {
      const messages = await provider.getRecentMessages(conversationId, limit, options);
      if (provider !== this.inner) this.#mark(conversationId, messages);
      return messages;
    });
  }

  override getMessages(conversationId: string, range: Parameters<MemoryProvider['getMessages']>[1]): Promise<MessagePage> {
    return this.#read('getMessages', conversationId, (provider) => provider.getMessages(conversationId, range));
  }

  override findConversations(query?: MemoryQuery): Promise<readonly ConversationMemory[]> {
    return this.#read('findConversations', undefined, (provider) => provider.findConversations(query));
  }

  override getStats(): Promise<MemoryStats>;
  override getStats(userId: string): Promise<UserMemoryStats>;
  override getStats(userId?: string): Promise<MemoryStats | UserMemoryStats> {
    return this.#read('getStats', undefined, (provider) => (userId === undefined ? provider.getStats() : provider.getStats(userId)));
  }

  override async *iterateConversations(query?: MemoryQuery): AsyncGenerator<ConversationMemory, void, undefined> {
    const begun = await this.#read('iterateConversations', undefined, async (provider) => {
      const walk = provider.iterateConversations(query)[Symbol.asyncIterator]();
      return { walk, first: await walk.next() };
    });
    try {
      for (let item = begun.first; item.done !== true; item = await begun.walk.next()) yield item.value;
    } finally {
      await begun.walk.return?.();
    }
  }

  override async healthCheck(): Promise<HealthStatus> {
    const [health, second] = await Promise.all([this.inner.healthCheck(), this.#secondary.healthCheck()]);
    return { ...health, metrics: { ...health.metrics, secondaryHealthy: second.healthy ? 1 : 0 } };
  }

  forUser(userId: string): MemoryProvider {
    return new Fallback(this.inner.forUser(userId), this.#secondary.forUser(userId), this.#options);
  }

  async close(): Promise<void> {
    await Promise.all([this.inner.close(), this.#secondary.close()]);
  }

  protected eraseCopies(userId: string, erasure: CopyErasure): Promise<void> {
    return eraseFrom(this.#secondary, userId, erasure);
  }

  async #read<T>(operation: string, id: string | undefined, read: (provider: MemoryProvider) => Promise<T>): Promise<T> {
    try {
      return await read(this.inner);
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      const about = { provider: error.provider, operation, ...(id === undefined ? {} : { conversationId: id }) };
      try {
        const answer = await read(this.#secondary);
        emitEvent(this.#options.onEvent, { type: 'stale', ...about, code: error.code, from: nameOf(this.#secondary) });
        return answer;
      } catch (second) {
        if (second instanceof MemoryAbortError) throw second;
        const code = second instanceof MemoryError ? second.code : 'internal';
        emitEvent(this.#options.onEvent, { type: 'fallback_failed', ...about, code, from: nameOf(this.#secondary) });
        throw error;
      }
    }
  }

  /** A run must not take what it loaded for new: the copy's messages are messages of the conversation. */
  #mark(conversationId: string, messages: readonly Message[]): void {
    markStored(messages, { store: storeOf(this), conversationId });
  }
}
