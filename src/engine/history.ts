/**
 * The conversation a run remembers: loading the part the model gets to see, and appending what is new, step by step.
 *
 * @module
 */
import { MemoryAccessError, MemoryConflictError, MemoryError, MemoryNotFoundError, MemoryStorageError } from '../memory/errors.js';
import { interruptedResult } from '../memory/repair.js';
import type { ConversationMemory, MemoryConfig, MemoryProvider, MemoryProviderCore, Message, WriteOptions } from '../memory/types.js';
import { dropLeadingResults, isResult, pairCalls } from '../memory/window.js';
import { abortable } from './abort.js';
import { configError } from './errors.js';
import { type Emit, errorFields } from './events.js';
import { isInstruction, leadOf } from './lead.js';
import { markStored, storeOf } from '../memory/origin.js';

/** What a run tells its history about itself. */
export interface HistoryOptions {
  readonly memory: MemoryConfig;
  readonly conversationId: string;
  readonly runId: string;
  readonly traceId?: string | undefined;
  /** Owner named by the run's context. */
  readonly userId?: string | undefined;
  /** Steps count from here, so that runs that continue one state under one `runId` never share an operation id. */
  readonly firstStep: number;
  readonly emit: Emit;
}

/** What a provider's receipt says; nothing is certain with a provider of one's own. */
interface LooseReceipt {
  readonly messageCount?: unknown;
  readonly version?: unknown;
  readonly duplicate?: unknown;
}

/** An append that is not acknowledged yet. */
interface Batch {
  readonly messages: readonly Message[];
  readonly operationId: string;
  /** Its number, unless it is a repair. */
  readonly step?: number;
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

function isFullProvider(provider: MemoryProviderCore): provider is MemoryProvider {
  const { getMessages, forUser, restoreConversation } = provider as Partial<MemoryProvider>;
  return [getMessages, forUser, restoreConversation].every((method) => typeof method === 'function');
}

/** One conversation in the hands of one run. */
export class History {
  /** The newest messages as they are stored, behind a leading system message that the window would have cut off. */
  messages: readonly Message[] = [];
  /** Version the next write expects; undefined with a provider that has none. */
  version: number | undefined = 0;
  /** Position of `messages[0]` in the conversation, when it is not a system message from further up. */
  #offset = 0;
  #exists = false;
  #step: number;
  #reported = false;
  #waiting: Batch[] = [];
  #unacknowledged = 0;
  #writes: Promise<unknown> = Promise.resolve();
  readonly #options: HistoryOptions;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#step = options.firstStep;
  }

  /**
   * Reads the newest `contextMessages`, without orphan tool results in front and with the leading system message: one trip,
   * two when that message lies further up and was not read before.
   *
   * @throws MemoryAccessError when the conversation belongs to another user; MemoryError when it cannot be read
   */
  async load(signal: AbortSignal | undefined): Promise<void> {
    const { memory, conversationId, emit, userId } = this.#options;
    const { provider } = memory;
    const limit = memory.contextMessages ?? memory.maxMessages ?? 200;
    const operation = 'getConversation';
    try {
      const found = await abortable(
        provider.getConversation(conversationId, { messageLimit: limit, ...(signal ? { signal } : {}) }),
        signal,
      );
      // providers written in plain JavaScript answer null
      const conversation: ConversationMemory | undefined = found ?? undefined;
      if (conversation && !Array.isArray(conversation.messages)) {
        throw new MemoryStorageError(`getConversation "${conversationId}": the provider answered without a list of messages.`, {
          provider: 'custom',
          operation,
        });
      }
      if (conversation?.userId !== undefined && userId !== undefined && conversation.userId !== userId) {
        throw new MemoryAccessError(`run "${conversationId}": the conversation belongs to another user than context.userId names.`, {
          provider: 'none',
        });
      }
      this.#exists = conversation !== undefined;
      this.version = conversation ? (isCount(conversation.version) ? conversation.version : undefined) : 0;
      if (conversation) this.messages = await this.#window(conversation, limit, signal);
    } catch (error) {
      emit('load_failed', { operation, ...errorFields(error) });
      throw error;
    }
    // our own providers have said so of what they returned
    if (storeOf(provider) === provider) markStored(this.messages, { store: provider, conversationId });
    emit('memory_loaded', { messages: this.messages.length, messageCount: this.#offset + this.messages.length, version: this.version });
  }

  async #window(conversation: ConversationMemory, limit: number, signal: AbortSignal | undefined): Promise<readonly Message[]> {
    const { memory } = this.#options;
    const given = conversation.messages;
    // a provider of one's own may ignore messageLimit
    const window = given.length > limit ? dropLeadingResults(given.slice(given.length - limit)) : dropLeadingResults(given);
    const total = Math.max(isCount(conversation.messageCount) ? conversation.messageCount : 0, given.length);
    this.#offset = total - window.length;
    if (this.#offset === 0) return window;
    let first = given.length === total ? given[0] : undefined;
    if (!first && isFullProvider(memory.provider)) first = await leadOf(memory.provider, conversation, signal);
    if (!first || !isInstruction(first)) return window;
    this.#offset -= 1;
    return [first, ...window];
  }

  /**
   * Gives the tool calls at the end of the conversation that a crash left without a result a synthetic one: stored, unless
   * the run does not store. Calls that `next` answers are left to it.
   *
   * @param next - new messages of the run
   */
  async repairTail(next: readonly Message[]): Promise<void> {
    const last = this.messages.findLastIndex((message) => !isResult(message));
    if (!this.messages[last]?.tool_calls?.length) return;
    const all = [...this.messages, ...next];
    const open = pairCalls(all).open.filter(({ index }) => index === last);
    const synthetic = open.flatMap(({ index, call }) => {
      const lost = this.messages[index]?.tool_calls?.[call];
      return lost ? [Object.freeze(interruptedResult(lost))] : [];
    });
    if (synthetic.length === 0) return;
    const { memory, runId, emit } = this.#options;
    const stored = memory.autoStore !== false;
    // by version, not by step: the repetition of a run that repaired finds nothing to repair and must count the same steps
    this.messages = [...this.messages, ...synthetic];
    if (stored) await this.#enqueue({ messages: synthetic, operationId: `${runId}:repair-${this.version ?? 0}` });
    else this.#unacknowledged += synthetic.length;
    for (const _ of synthetic) emit('repaired', { kind: 'missing-tool-result', stored });
  }

  /** Messages handed over that the store has not acknowledged: the newest ones of the run. */
  get unacknowledged(): number {
    return this.#unacknowledged;
  }

  /** For a run that goes on from this one's final state: steps that may have landed unseen are repeated as they were. */
  get next(): { readonly firstStep: number; readonly waiting: readonly number[] } {
    const steps = this.#waiting.filter((batch) => batch.step !== undefined);
    const firstStep = steps[0]?.step === undefined ? (this.version ?? this.#step) : steps[0].step - 1;
    return { firstStep, waiting: steps.map((batch) => batch.messages.length) };
  }

  /**
   * Appends one step. Does nothing with `autoStore: false`.
   *
   * @returns where in {@link messages} the step ends, if the store knew it already
   * @throws the failure of the store, unless `onStoreError` is `continue`; always for conflicts and refused access
   */
  async append(messages: readonly Message[]): Promise<number | undefined> {
    if (messages.length === 0) return undefined;
    if (this.#options.memory.autoStore === false) {
      this.#unacknowledged += messages.length;
      return undefined;
    }
    this.#step += 1;
    return this.#enqueue({ messages, operationId: `${this.#options.runId}:${this.#step}`, step: this.#step });
  }

  /** Takes an appended step for part of what was loaded. */
  join(step: readonly Message[]): void {
    this.messages = [...this.messages, ...step];
  }

  /** Counts steps that an earlier attempt of this run stored. */
  skip(steps: number): void {
    this.#step += steps;
  }

  /** Tools finish in any order; their results are written one after another. */
  async #enqueue(batch: Batch): Promise<number | undefined> {
    this.#unacknowledged += batch.messages.length;
    const write = this.#writes.then(() => this.#drain(batch));
    this.#writes = write.catch(() => undefined);
    return write;
  }

  /** Writes what waits, then the batch: an earlier failure is repeated under its own operation id first, so order holds. */
  async #drain(batch: Batch): Promise<number | undefined> {
    const { memory, emit } = this.#options;
    this.#waiting.push(batch);
    let duplicateAt: number | undefined;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      try {
        const receipt = await this.#write(next);
        this.#waiting.shift();
        duplicateAt = this.#acknowledge(next, receipt);
      } catch (error) {
        emit('store_failed', { operation: 'appendMessages', waiting: this.#waiting.length, ...errorFields(error) });
        const mustStop = error instanceof MemoryConflictError || error instanceof MemoryAccessError;
        if (mustStop || memory.onStoreError !== 'continue') throw error;
        break;
      }
    }
    return duplicateAt;
  }

  async #write({ messages, operationId }: Batch): Promise<LooseReceipt> {
    const { memory, conversationId, userId, traceId } = this.#options;
    const { provider, ttl, maxMessages, compressionThreshold } = memory;
    const options: WriteOptions = {
      operationId,
      ...(userId === undefined ? {} : { userId }),
      ...(traceId === undefined ? {} : { traceId }),
      ...(ttl === undefined ? {} : { ttl }),
      ...(maxMessages === undefined ? {} : { maxMessages }),
      ...(compressionThreshold === undefined ? {} : { compressionThreshold }),
      ...(this.version === undefined ? {} : { expectedVersion: this.version }),
    };
    const create = this.#exists ? {} : { createIfMissing: true };
    try {
      return receiptOf(await provider.appendMessages(conversationId, messages, undefined, { ...options, ...create }), conversationId);
    } catch (error) {
      if (this.#exists || isFullProvider(provider) || !isNotFound(error)) throw error;
      // a provider of one's own that knows no createIfMissing
      return receiptOf(await provider.storeMessages(conversationId, messages, undefined, options), conversationId);
    }
  }

  #acknowledge({ messages, operationId }: Batch, receipt: LooseReceipt): number | undefined {
    const { memory, conversationId, emit } = this.#options;
    const { messageCount, version } = receipt;
    const duplicate = receipt.duplicate === true;
    this.#unacknowledged -= messages.length;
    this.#exists = true;
    // a duplicate answers the first receipt, which may be older than what was loaded
    this.version = isCount(version) ? Math.max(version, this.version ?? 0) : undefined;
    markStored(messages, { store: storeOf(memory.provider), conversationId });
    messages.forEach((message, index) => {
      emit('message_stored', {
        role: message.role,
        ...(isCount(messageCount) ? { sequence: messageCount - messages.length + index + 1 } : {}),
        ...(isCount(version) ? { version } : {}),
        operationId,
        duplicate,
      });
    });
    this.#reportLimits(receipt);
    return duplicate && isCount(messageCount) ? messageCount - this.#offset : undefined;
  }

  /** Once a run: what this provider's receipts say it cannot do. */
  #reportLimits(receipt: LooseReceipt): void {
    if (this.#reported) return;
    this.#reported = true;
    const off = [
      ...(isCount(receipt.version) ? [] : ['conflict detection between processes (receipts have no version)']),
      ...(typeof receipt.duplicate === 'boolean' ? [] : ['recognising a repeated run (receipts have no duplicate)']),
    ];
    if (off.length > 0) this.#options.emit('limited_guarantees', { off });
  }
}

/** The receipt of a write, or its error thrown. */
function receiptOf(result: unknown, conversationId: string): LooseReceipt {
  const { ok, data, error } = (typeof result === 'object' && result !== null ? result : {}) as {
    ok?: unknown;
    data?: unknown;
    error?: unknown;
  };
  if (ok === true) return typeof data === 'object' && data !== null ? data : {};
  if (ok === false)
    throw error instanceof Error
      ? error
      : new MemoryError(`appendMessages "${conversationId}": the provider answered a failure without an Error.`, {
          provider: 'custom',
          outcome: 'unknown',
        });
  throw new MemoryStorageError(`appendMessages "${conversationId}": the provider answered neither a Success nor a Failure.`, {
    provider: 'custom',
    operation: 'appendMessages',
    outcome: 'unknown',
  });
}

function isNotFound(error: unknown): boolean {
  return error instanceof MemoryNotFoundError || (error instanceof Error && (error as { code?: unknown }).code === 'not_found');
}

/**
 * The owner a context names.
 *
 * @returns `context.userId`, or `user_id`; undefined when it names none
 * @throws MemoryConfigError when it is not a non-empty string, or the two differ
 */
export function ownerOf(context: unknown): string | undefined {
  if (typeof context !== 'object' || context === null) return undefined;
  const { userId, user_id } = context as { userId?: unknown; user_id?: unknown };
  if (userId !== undefined && user_id !== undefined && userId !== user_id) {
    throw configError('context.userId', 'run: context.userId and context.user_id name different users. Give one of them.');
  }
  const owner = userId ?? user_id;
  if (owner === undefined || owner === null) return undefined;
  if (typeof owner === 'string' && owner !== '') return owner;
  throw configError(
    'context.userId',
    `run: context.userId: expected a non-empty string, got ${owner === '' ? 'an empty one' : typeof owner}.`,
  );
}
