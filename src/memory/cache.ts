/**
 * Reading bodies from a near store, after asking the far one whether they are still right.
 *
 * @module
 */
import { Around, eraseFrom, nameOf } from './around.js';
import { MemoryConfigError, MemoryError } from './errors.js';
import type { CopyErasure } from './internals.js';
import { beginningOf, markStored, markWindow, storeOf } from './origin.js';
import { Problems } from './problems.js';
import { emitEvent } from './telemetry.js';
import type {
  ConversationMemory,
  ConversationSnapshot,
  HealthStatus,
  JsonValue,
  MemoryEvent,
  MemoryProvider,
  Message,
  ReadOptions,
} from './types.js';
import { checkTtl } from './validate.js';

/** Options of {@link withCache}. */
export interface CacheOptions {
  /** Seconds a copy is kept; default 3600. A copy that is wrong is never served, however long it is kept. */
  readonly ttl?: number | undefined;
  /** The current time in milliseconds since 1970; default `Date.now`. Give the one the providers have. */
  readonly clock?: (() => number) | undefined;
  /** Told `cache_failed` (`operation`, `code`) when the fast store fails; the read is then answered by the durable one. */
  readonly onEvent?: ((event: MemoryEvent) => void) | undefined;
}

/** Default of `ttl` in seconds. */
const TTL = 3600;
/** Default of `getRecentMessages`. */
const RECENT = 50;
/** Where a copy keeps what it is a copy of: beside it, a copy has no metadata. */
const KEY = 'jafCache';

/**
 * A provider that keeps copies of what is read in a fast store. Every read asks the durable store for the header of the
 * conversation (one round trip without messages) and serves the copy only if it is of that very version, so a deleted, erased
 * or expired conversation, another user's, or an old state of one is never served.
 *
 * Because of that question a cache helps where messages are what costs: long conversations read again and again (`getConversation`,
 * `getRecentMessages`, runs), a durable store that is far or busy. It does not help short conversations or those that are written
 * as often as read. All other reads, and all writes, go to the durable store. A fast store that fails or lies about a version costs
 * a second trip, never an answer.
 *
 * The fast store must be the cache's own: a copy replaces what stands there under the same id. `deleteConversation`,
 * `clearUserConversations` and `eraseUser` on this provider remove the copies too; other copies leave after `ttl` (the fast store's
 * sweep, or its limit of conversations). `healthCheck` is the durable store's, with the metrics `cacheHits`, `cacheMisses` and
 * `cacheFailures`. `close` waits for copies being made and closes both.
 *
 * @param durable - holds the conversations
 * @param fast - holds the copies: an in-memory provider, or a Redis near by
 * @param options - see {@link CacheOptions}
 * @throws MemoryConfigError when the time to live is none
 * @example
 * const provider = withCache(await createPostgresProvider({ … }), createInMemoryProvider({ maxConversations: 5000 }));
 */
export function withCache(durable: MemoryProvider, fast: MemoryProvider, options: CacheOptions = {}): MemoryProvider {
  const problems = new Problems();
  if (options.ttl !== undefined) checkTtl('options.ttl', options.ttl, problems, false);
  const [wrong] = problems.found;
  if (wrong) throw new MemoryConfigError(`withCache "ttl": ${wrong.reason}.`, { provider: 'none', setting: 'ttl' });
  return new Cached(durable, new Copies(fast, options), true);
}

/** A copy as it was read. */
interface Copy {
  /** Of the header it was made under. */
  readonly token: string;
  /** The window it holds; `null`: the whole conversation. */
  readonly covers: number | null;
  readonly messages: readonly Message[];
}

/** The fast store. Nothing here fails: what goes wrong is an event. */
class Copies {
  readonly fast: MemoryProvider;
  readonly #options: CacheOptions;
  /** By conversation: one copy is made at a time. */
  readonly #making = new Map<string, Promise<void>>();
  hits = 0;
  misses = 0;
  failures = 0;

  constructor(fast: MemoryProvider, options: CacheOptions) {
    this.fast = fast;
    this.#options = options;
  }

  async read(id: string, limit: number | undefined): Promise<Copy | undefined> {
    const found = await this.try('getConversation', () => this.fast.getConversation(id, { messageLimit: limit }));
    const note = found?.metadata[KEY] as { readonly [key: string]: JsonValue } | undefined;
    // a fast store with a limit of messages may have cut the copy
    if (!found || note?.['count'] !== found.messageCount || typeof note['token'] !== 'string') return undefined;
    const covers = note['covers'];
    return { token: note['token'], covers: typeof covers === 'number' ? covers : null, messages: found.messages };
  }

  /** Makes a copy in the background; the reader has its answer already. */
  make(header: ConversationMemory, messages: readonly Message[], limit: number | undefined): void {
    const id = header.conversationId;
    if (messages.length === 0 || this.#making.has(id)) return;
    const snapshot = this.#snapshot(header, messages, limit);
    const made = this.try('restoreConversation', async () => {
      let result = await this.fast.restoreConversation(snapshot, { onConflict: 'replace' });
      if (!result.ok && result.error.code === 'owner') {
        // the copy of an earlier life, which was another user's
        await this.fast.deleteConversation(id);
        result = await this.fast.restoreConversation(snapshot, { onConflict: 'replace' });
      }
      // an erased user is to have no copy
      if (!result.ok && result.error.code !== 'erased') throw result.error;
    }).then(() => void this.#making.delete(id));
    this.#making.set(id, made);
  }

  #snapshot(header: ConversationMemory, messages: readonly Message[], limit: number | undefined): ConversationSnapshot {
    const { conversationId, userId, messageCount, createdAt, updatedAt, expiresAt } = header;
    const { ttl = TTL, clock = Date.now } = this.#options;
    const whole = messages.length === messageCount;
    const over = clock() + ttl * 1000;
    return {
      conversationId,
      ...(userId === undefined ? {} : { userId }),
      messages,
      messageCount: messages.length,
      metadata: { [KEY]: { token: tokenOf(header), covers: whole ? null : (limit ?? null), count: messages.length } },
      createdAt,
      updatedAt,
      expiresAt: new Date(Math.floor(Math.min(over, expiresAt?.getTime() ?? over))),
      version: 0,
      firstSeq: (beginningOf(header)?.first ?? 1) + messageCount - messages.length,
    };
  }

  /** Waits for copies being made. */
  async settled(): Promise<void> {
    await Promise.all(this.#making.values());
  }

  async try<T>(operation: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      const code = error instanceof MemoryError ? error.code : 'internal';
      // a wrong argument, of which the durable store speaks, or a conversation that was over before it was copied
      if (code === 'invalid') return undefined;
      this.failures++;
      emitEvent(this.#options.onEvent, { type: 'cache_failed', provider: nameOf(this.fast), operation, code });
      return undefined;
    }
  }
}

/**
 * What a header must have in common with the one a copy was made under: the version, and what tells two lives of one id
 * apart that may have reached the same version.
 */
function tokenOf(header: ConversationMemory): string {
  const { version, createdAt, updatedAt, messageCount, userId } = header;
  const { epoch, first } = beginningOf(header) ?? {};
  return JSON.stringify([version, epoch ?? null, first ?? null, createdAt.getTime(), updatedAt.getTime(), messageCount, userId ?? null]);
}

class Cached extends Around {
  readonly #copies: Copies;
  readonly #owns: boolean;

  constructor(durable: MemoryProvider, copies: Copies, owns: boolean) {
    super(durable);
    this.#copies = copies;
    this.#owns = owns;
  }

  override async getConversation(conversationId: string, options?: ReadOptions): Promise<ConversationMemory | undefined> {
    const limit = options?.messageLimit;
    const strange = options !== undefined && (typeof options !== 'object' || options === null);
    // without messages there is nothing to cache; what is wrong is for the durable store to say
    if (strange || (limit !== undefined && !(Number.isInteger(limit) && limit > 0)))
      return await this.inner.getConversation(conversationId, options);
    const [header, copy] = await Promise.all([
      this.inner.getConversation(conversationId, { ...options, messageLimit: 0 }),
      this.#copies.read(conversationId, limit),
    ]);
    if (!header) {
      if (copy && this.#owns) await this.#drop(conversationId);
      return undefined;
    }
    if (header.messageCount === 0) return header;
    const fits = copy && (copy.covers === null || (limit !== undefined && limit <= copy.covers));
    if (fits && copy.token === tokenOf(header)) {
      this.#copies.hits++;
      return this.#joined(header, copy.messages);
    }
    this.#copies.misses++;
    const found = await this.inner.getConversation(conversationId, options);
    if (found && isSame(found, header)) this.#copies.make(header, found.messages, limit);
    return found;
  }

  override async getRecentMessages(
    conversationId: string,
    limit: number = RECENT,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<readonly Message[]> {
    if (!(Number.isInteger(limit) && limit > 0)) return await this.inner.getRecentMessages(conversationId, limit, options);
    const found = await this.getConversation(conversationId, { ...options, messageLimit: limit });
    return found?.messages ?? Object.freeze([]);
  }

  override async deleteConversation(
    conversationId: string,
    options?: Parameters<MemoryProvider['deleteConversation']>[1],
  ): Promise<boolean> {
    const deleted = await this.inner.deleteConversation(conversationId, options);
    if (deleted) await this.#drop(conversationId);
    return deleted;
  }

  override async clearUserConversations(userId: string): Promise<number> {
    const cleared = await this.inner.clearUserConversations(userId);
    if (cleared > 0) await this.#copies.try('clearUserConversations', () => this.#copies.fast.clearUserConversations(userId));
    return cleared;
  }

  override async healthCheck(): Promise<HealthStatus> {
    const health = await this.inner.healthCheck();
    const { hits, misses, failures } = this.#copies;
    return { ...health, metrics: { ...health.metrics, cacheHits: hits, cacheMisses: misses, cacheFailures: failures } };
  }

  forUser(userId: string): MemoryProvider {
    return new Cached(this.inner.forUser(userId), this.#copies, false);
  }

  async close(): Promise<void> {
    if (!this.#owns) return await this.inner.close();
    await this.#copies.settled();
    await Promise.all([this.inner.close(), this.#copies.fast.close()]);
  }

  protected async eraseCopies(userId: string, erasure: CopyErasure): Promise<void> {
    await this.#copies.settled();
    await eraseFrom(this.#copies.fast, userId, erasure);
  }

  async #drop(conversationId: string): Promise<void> {
    await this.#copies.try('deleteConversation', () => this.#copies.fast.deleteConversation(conversationId));
  }

  /** What the durable store would have answered: its header with the messages of the copy. */
  #joined(header: ConversationMemory, messages: readonly Message[]): ConversationMemory {
    const conversation = Object.freeze({ ...header, messages });
    const beginning = beginningOf(header);
    if (beginning && messages.length < header.messageCount) markWindow(conversation, beginning);
    markStored(messages, { store: storeOf(this), conversationId: header.conversationId });
    return conversation;
  }
}

/** Whether the header is of what was read after it. */
function isSame(found: ConversationMemory, header: ConversationMemory): boolean {
  return (
    found.version === header.version &&
    found.messageCount === header.messageCount &&
    found.userId === header.userId &&
    found.createdAt.getTime() === header.createdAt.getTime() &&
    found.updatedAt.getTime() === header.updatedAt.getTime()
  );
}
