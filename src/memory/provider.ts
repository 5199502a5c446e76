/**
 * The provider layer: every public behaviour, once, over any {@link StorageDriver}.
 *
 * @module
 */
import type { QueuedRemove } from './coalesce.js';
import { Core } from './core.js';
import type { Cursor, StorageDriver, Stored, Window } from './driver.js';
import { MemoryAccessError, MemoryError, MemoryStorageError } from './errors.js';
import { INTERNALS, type Internals, type Reading } from './internals.js';
import { compareIds, resolveWindow } from './local.js';
import { Packer } from './packing.js';
import { purgeOver, purgeUser } from './purging.js';
import { decodeMessages, toConversation, toReading, windowOf } from './reads.js';
import { Failure, type Result, Success } from './result.js';
import { type CallContext, describeCall } from './retry.js';
import { checkQuery, checkRange, checkReadOptions } from './queries.js';
import { type Reader, readOne, search } from './search.js';
import { beginWalk, endNote, isTraced, type MemoryOperation, noteOf, traced } from './telemetry.js';
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
  ProviderOptions,
  ReadOptions,
  RestoreOptions,
  UserMemoryStats,
  WriteOptions,
  WriteReceipt,
} from './types.js';
import { Problems } from './problems.js';
import { checkId, checkInteger, checkOptionNames, checkSignal } from './validate.js';
import { dropLeadingResults } from './window.js';
import { type PreparedWrite, prepareRestore, prepareWrite, receiptOf, refusal } from './writes.js';

/** Default of `getRecentMessages` and `getMessages`. */
const RECENT = 50;
/** Headers folded per trip. */
const STATS_BATCH = 5000;

/**
 * Builds a provider on a driver: validation, ownership, windows, retries, batching, packing, errors and events are the
 * same for all of them.
 *
 * @param driver - the storage primitives; opened at the first call, closed by `close()`
 * @param options - see {@link ProviderOptions}; values are taken as they are (the factories check them)
 */
export function createProvider(driver: StorageDriver, options: ProviderOptions = {}): MemoryProvider {
  const core = new Core(driver, options);
  return new Provider(core, new Packer(core), undefined);
}

class Provider implements MemoryProvider {
  readonly #core: Core;
  readonly #packer: Packer;
  /** The user of a `forUser` handle. */
  readonly #scope: string | undefined;
  readonly #reader: Reader;
  #closed = false;

  constructor(core: Core, packer: Packer, scope: string | undefined) {
    this.#core = core;
    this.#packer = packer;
    this.#scope = scope;
    this.#reader = { core, scope };
  }

  get [INTERNALS](): Internals {
    return {
      core: this.#core,
      scope: this.#scope,
      readings: (query) => this.#walk('exportConversations', query, (stored, call) => toReading(stored, call)),
      sized: (query, by) =>
        this.#walk(
          'retention',
          query,
          async (stored, call) => ({
            conversation: await toConversation(stored, query.messageLimit, call),
            bytes: stored.header.bytes,
          }),
          by,
        ),
    };
  }

  // ------------------------------------------------------------------------------------------------------------ writes

  storeMessages(
    conversationId: string,
    messages: readonly MessageInput[],
    metadata?: object,
    options?: WriteOptions,
  ): Promise<Result<WriteReceipt>> {
    const call = this.#core.call('storeMessages', conversationId);
    return this.#write(call, options?.signal, (scope) => prepareWrite('put', conversationId, messages, metadata, options, scope));
  }

  appendMessages(
    conversationId: string,
    messages: readonly MessageInput[],
    metadata?: object,
    options?: AppendOptions,
  ): Promise<Result<WriteReceipt>> {
    const call = this.#core.call('appendMessages', conversationId);
    return this.#write(call, options?.signal, (scope) => prepareWrite('append', conversationId, messages, metadata, options, scope));
  }

  restoreConversation(snapshot: ConversationSnapshot, options: RestoreOptions): Promise<Result<WriteReceipt>> {
    const call = this.#core.call('restoreConversation', snapshot?.conversationId);
    return this.#write(call, undefined, (scope) => prepareRestore(snapshot, options, scope));
  }

  #write(call: CallContext, signal: AbortSignal | undefined, prepare: Prepare): Promise<Result<WriteReceipt>> {
    if (!isTraced()) return this.#apply(call, signal, prepare);
    const note = noteOf(call, this.#core.driver, this.#scope);
    return traced(note, () => this.#apply(call, signal, prepare, note));
  }

  /** Everything up to the queue happens in the call itself, so that calls apply in call order and inputs are copied. */
  async #apply(
    call: CallContext,
    signal: AbortSignal | undefined,
    prepare: Prepare,
    note?: MemoryOperation,
  ): Promise<Result<WriteReceipt>> {
    const started = performance.now();
    let ok = false;
    try {
      const core = this.#core;
      const { write, bytes, compressionThreshold } = prepare({
        now: core.now(),
        mark: core.nextMark(),
        scope: this.#scope,
        defaults: core.options,
        call,
      });
      if (note) {
        if (write.owner !== undefined) note.userId = write.owner;
        note.messages = write.bodies.length;
      }
      this.#checkUsable(call, signal);
      const done = core.writeNow(write);
      const outcome = done ?? (await core.write(write, bytes, call, signal));
      const turn = done && core.turn();
      if (turn) await turn;
      if (!('receipt' in outcome)) return new Failure(refusal(call, outcome, write));
      ok = true;
      if (outcome.kind === 'ok') {
        const { extent, trimmed, evicted } = outcome;
        if (trimmed > 0) core.emit({ type: 'trimmed', conversationId: write.id, messages: trimmed });
        for (const id of evicted ?? []) core.emit({ type: 'evicted', conversationId: id });
        if (compressionThreshold !== undefined) this.#packer.consider(write.id, extent, compressionThreshold);
      }
      return new Success(receiptOf(write.id, outcome));
    } catch (error) {
      return new Failure(asMemoryError(error, call));
    } finally {
      this.#core.metrics.record(call.operation, performance.now() - started, ok);
    }
  }

  deleteConversation(
    conversationId: string,
    options?: { expectedVersion?: number | undefined; signal?: AbortSignal | undefined },
  ): Promise<boolean> {
    const call = this.#core.call('deleteConversation', conversationId);
    return this.#measured(call, async () => {
      const problems = new Problems();
      checkId('conversationId', conversationId, problems);
      if (checkOptionNames(options, DELETE_NAMES, problems)) {
        if (options.expectedVersion !== undefined) checkInteger('options.expectedVersion', options.expectedVersion, 0, problems);
        checkSignal('options.signal', options.signal, problems);
      }
      problems.throwIfAny(call);
      this.#checkUsable(call, options?.signal);
      const core = this.#core;
      const remove: QueuedRemove = {
        id: conversationId,
        now: core.now(),
        writer: core.nextMark(),
        retry: false,
        scoped: this.#scope !== undefined,
        owner: this.#scope,
        expectedVersion: options?.expectedVersion,
      };
      const outcome = await core.remove(remove, call, options?.signal);
      if (outcome.kind === 'removed') return true;
      // another's conversation looks absent
      if (outcome.kind === 'missing' || outcome.kind === 'forbidden') return false;
      throw refusal(call, outcome, remove);
    });
  }

  clearUserConversations(userId: string): Promise<number> {
    const call = this.#core.call('clearUserConversations', userId);
    return this.#measured(call, async () => {
      this.#checkUser(call, userId);
      if (this.#scope !== undefined && this.#scope !== userId) return 0;
      const { removed } = await purgeUser(this.#core, call, userId, { allowHold: false, forget: false });
      return removed;
    });
  }

  purgeExpired(options?: { signal?: AbortSignal | undefined }): Promise<number> {
    const call = this.#core.call('purgeExpired');
    return this.#measured(call, async () => {
      const problems = new Problems();
      if (checkOptionNames(options, SIGNAL_NAMES, problems)) checkSignal('options.signal', options.signal, problems);
      problems.throwIfAny(call);
      this.#checkUsable(call, options?.signal);
      return await purgeOver(this.#core, call, this.#scope, { signal: options?.signal });
    });
  }

  // ------------------------------------------------------------------------------------------------------------- reads

  getConversation(conversationId: string, options?: ReadOptions): Promise<ConversationMemory | undefined> {
    const call = this.#core.call('getConversation', conversationId);
    return this.#measured(call, async () => {
      checkReadOptions(call, conversationId, options);
      this.#checkUsable(call, options?.signal);
      const stored = await readOne(this.#reader, call, conversationId, windowOf(options?.messageLimit), options?.signal);
      return stored && toConversation(stored, options?.messageLimit, call);
    });
  }

  getRecentMessages(
    conversationId: string,
    limit: number = RECENT,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<readonly Message[]> {
    const call = this.#core.call('getRecentMessages', conversationId);
    return this.#measured(call, async () => {
      checkRange(call, conversationId, { limit }, options);
      this.#checkUsable(call, options?.signal);
      if (limit === 0) return Object.freeze([]);
      const window = windowOf(limit);
      const stored = await readOne(this.#reader, call, conversationId, window, options?.signal);
      if (!stored) return Object.freeze([]);
      return Object.freeze(dropLeadingResults(await decodeMessages(stored, window, call)));
    });
  }

  getMessages(
    conversationId: string,
    range: { after?: number | undefined; before?: number | undefined; limit?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<MessagePage> {
    const call = this.#core.call('getMessages', conversationId);
    return this.#measured(call, async () => {
      checkRange(call, conversationId, range);
      this.#checkUsable(call, range.signal);
      const { after, before, limit = RECENT } = range;
      const backward = after === undefined && before !== undefined;
      const window: Window = backward ? { kind: 'before', seq: before, limit } : { kind: 'after', seq: after ?? 0, before, limit };
      const stored = await readOne(this.#reader, call, conversationId, window, range.signal);
      if (!stored) return Object.freeze({ items: Object.freeze([]), firstSeq: 1, nextSeq: 1, hasMore: false });
      const { first, next } = stored.header;
      const { from, to } = resolveWindow(stored.header, window);
      const messages = await decodeMessages(stored, window, call);
      return Object.freeze({
        items: Object.freeze(messages.map((message, i) => Object.freeze({ seq: from + i, message }))),
        firstSeq: first,
        nextSeq: next,
        hasMore: backward ? from > first : to < Math.min(next, before ?? next),
      });
    });
  }

  findConversations(query: MemoryQuery = {}): Promise<readonly ConversationMemory[]> {
    const call = this.#core.call('findConversations');
    const find = async (): Promise<readonly ConversationMemory[]> => {
      checkQuery(call, query);
      this.#checkUsable(call, query.signal);
      const found: ConversationMemory[] = [];
      if (query.limit === 0) return Object.freeze(found);
      const sign = query.order === 'oldest' ? 1 : -1;
      for await (const stored of search(this.#reader, call, query, 'updated', sign > 0 ? 'asc' : 'desc')) {
        const conversation = toConversation(stored, query.messageLimit, call);
        found.push(conversation instanceof Promise ? await conversation : conversation);
      }
      // where messages are read after the list, one that was written in between has a later time than its place says
      found.sort((a, b) => sign * (a.updatedAt.getTime() - b.updatedAt.getTime() || compareIds(a.conversationId, b.conversationId)));
      return Object.freeze(found);
    };
    return this.#measured(call, find, this.#scope ?? query?.userId);
  }

  iterateConversations(query: MemoryQuery = {}): AsyncIterable<ConversationMemory> {
    return this.#walk('iterateConversations', query, (stored, call) => toConversation(stored, query.messageLimit, call));
  }

  async *#walk<T extends Walked>(
    operation: string,
    query: MemoryQuery,
    decode: (stored: Stored, call: CallContext) => T | Promise<T>,
    by: 'created' | 'updated' = 'created',
  ): AsyncGenerator<T> {
    const core = this.#core;
    const call = core.call(operation);
    const note = isTraced() ? beginWalk(noteOf(call, core.driver, this.#scope ?? query?.userId)) : undefined;
    let worked = 0;
    let since = performance.now();
    let failure: unknown;
    try {
      checkQuery(call, query);
      this.#checkUsable(call, query.signal);
      if (query.limit === 0) return;
      for await (const stored of search(this.#reader, call, query, by, query.order === 'newest' ? 'desc' : 'asc')) {
        const item = await decode(stored, call);
        if (note) {
          note.conversations = (note.conversations ?? 0) + 1;
          note.messages = (note.messages ?? 0) + messagesIn(item);
        }
        // what the reader does between two conversations is not our time
        worked += performance.now() - since;
        since = Number.NaN;
        yield item;
        since = performance.now();
      }
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      if (!Number.isNaN(since)) worked += performance.now() - since;
      core.metrics.record(operation, worked, failure === undefined);
      if (note) endNote(note, worked, failure);
    }
  }

  // --------------------------------------------------------------------------------------------- statistics and health

  getStats(): Promise<MemoryStats>;
  getStats(userId: string): Promise<UserMemoryStats>;
  getStats(userId?: string): Promise<MemoryStats | UserMemoryStats> {
    const call = this.#core.call('getStats', userId);
    return this.#measured(call, async () => {
      if (userId === undefined) this.#checkUsable(call, undefined);
      else this.#checkUser(call, userId);
      const strange = this.#scope !== undefined && userId !== undefined && userId !== this.#scope;
      const stats = strange ? EMPTY_STATS : await this.#fold(call, this.#scope ?? userId);
      return userId === undefined
        ? { ...stats }
        : { ...stats, userConversations: stats.totalConversations, userMessages: stats.totalMessages };
    });
  }

  async #fold(call: CallContext, owner: string | undefined): Promise<MemoryStats> {
    let conversations = 0;
    let messages = 0;
    let bytes = 0;
    let oldest: number | undefined;
    let newest: number | undefined;
    let after: Cursor | undefined;
    do {
      const query = { now: this.#core.now(), owner, after, limit: STATS_BATCH };
      const page = await this.#core.trip(call, (trip) => this.#core.driver.stats(query, trip));
      conversations += page.conversations;
      messages += page.messages;
      bytes += page.bytes;
      if (page.oldest !== undefined) oldest = Math.min(oldest ?? page.oldest, page.oldest);
      if (page.newest !== undefined) newest = Math.max(newest ?? page.newest, page.newest);
      after = page.cursor;
    } while (after);
    return {
      totalConversations: conversations,
      totalMessages: messages,
      avgMessagesPerConversation: conversations === 0 ? 0 : messages / conversations,
      totalStorageSize: bytes,
      ...(oldest === undefined ? {} : { oldestConversation: new Date(oldest) }),
      ...(newest === undefined ? {} : { newestConversation: new Date(newest) }),
    };
  }

  async healthCheck(): Promise<HealthStatus> {
    const core = this.#core;
    const call = core.call('healthCheck');
    const started = performance.now();
    const provider = core.driver.name;
    try {
      const health = await this.#measured(call, async () => {
        this.#checkUsable(call, undefined);
        return await core.trip(call, (trip) => core.driver.ping(trip));
      });
      const latencyMs = performance.now() - started;
      const metrics = { ...health.metrics, ...core.metrics.snapshot() };
      const message = [health.message, ...(health.warnings ?? [])].join(' Warning: ');
      return { healthy: true, message, provider, latencyMs, metrics };
    } catch (error) {
      const { message } = asMemoryError(error, call);
      return { healthy: false, error: message, provider, latencyMs: performance.now() - started, metrics: core.metrics.snapshot() };
    }
  }

  // ---------------------------------------------------------------------------------------------------------- handles

  forUser(userId: string): MemoryProvider {
    const call = this.#core.call('forUser', userId);
    this.#checkUser(call, userId);
    if (this.#scope !== undefined && this.#scope !== userId) {
      throw new MemoryAccessError(`${describeCall(call)}: this handle is limited to another user.`, { provider: call.provider });
    }
    return new Provider(this.#core, this.#packer, userId);
  }

  /** A handle closes itself only; the provider it came from stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#scope === undefined) await this.#core.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ----------------------------------------------------------------------------------------------------------- helpers

  #checkUsable(call: CallContext, signal: AbortSignal | undefined): void {
    this.#core.checkUsable(call, signal, this.#closed);
  }

  #checkUser(call: CallContext, userId: string): void {
    const problems = new Problems();
    checkId('userId', userId, problems);
    problems.throwIfAny(call);
    this.#checkUsable(call, undefined);
  }

  /** Runs a method that throws, counts it, and tells of it. */
  #measured<T>(call: CallContext, method: () => Promise<T>, userId = this.#scope): Promise<T> {
    if (!isTraced()) return this.#counted(call, method);
    return traced(noteOf(call, this.#core.driver, userId), () => this.#counted(call, method));
  }

  async #counted<T>(call: CallContext, method: () => Promise<T>): Promise<T> {
    const started = performance.now();
    let ok = false;
    try {
      const result = await method();
      ok = true;
      return result;
    } finally {
      this.#core.metrics.record(call.operation, performance.now() - started, ok);
    }
  }
}

function messagesIn(item: Walked): number {
  if ('snapshot' in item || 'error' in item) return item.snapshot?.messages.length ?? 0;
  return ('conversation' in item ? item.conversation : item).messages.length;
}

/** What a walk hands out. */
type Walked = ConversationMemory | { readonly conversation: ConversationMemory } | Reading;

/** Checks the arguments of a write. */
type Prepare = (scope: Parameters<typeof prepareRestore>[2]) => PreparedWrite;

const DELETE_NAMES: ReadonlySet<string> = new Set(['expectedVersion', 'signal']);
const SIGNAL_NAMES: ReadonlySet<string> = new Set(['signal']);
const EMPTY_STATS: MemoryStats = { totalConversations: 0, totalMessages: 0, avgMessagesPerConversation: 0, totalStorageSize: 0 };

/** Writes answer every error as a `Failure`, a defect of a driver or of ours included. */
function asMemoryError(error: unknown, call: CallContext): MemoryError {
  if (error instanceof MemoryError) return error;
  const name = error instanceof Error ? error.name : typeof error;
  return new MemoryStorageError(`${describeCall(call)}: an unexpected ${name}. This is a defect: please report it.`, {
    provider: call.provider,
    operation: call.operation,
    code: 'internal',
    outcome: 'unknown',
  });
}
