/**
 * What all methods of a provider share: the open store, the write queue, trips with deadline and retries, events, metrics.
 * Handles of `forUser` share one core.
 *
 * @module
 */
import { createHmac, randomBytes } from 'node:crypto';
import { Coalescer, type QueuedRemove, type QueuedWrite } from './coalesce.js';
import { Deadlines } from './deadline.js';
import type { Classified, RemoveOutcome, StorageDriver, StoreInfo, Trip, WriteOutcome, WriterMark } from './driver.js';
import { MemoryAbortError, MemoryConnectionError, MemoryError } from './errors.js';
import { Metrics } from './metrics.js';
import { backoff, type CallContext, describeCall, errorOf, mayHaveApplied, waitKind } from './retry.js';
import { emitEvent } from './telemetry.js';
import type { MemoryEvent, ProviderOptions } from './types.js';

/** Default deadline of a call, also of one that opens a connection, in ms. */
export const DEADLINE = 5000;
const MAX_IN_FLIGHT = 10_000;
/** Calls in microtasks before one waits for a turn of the event loop. */
const TRIPS_PER_TURN = 256;
/** UTF-16 units of an id that an error shows: any valid id in full. */
const ID_SHOWN = 510;
/** Owners whose keyed hash is kept. */
const HASHES_KEPT = 10_000;

/** How a trip may be repeated. */
export interface TripOptions {
  readonly signal?: AbortSignal | undefined;
  /** False for removals that are counted: a repetition after a lost answer would count too little. Default true. */
  readonly repeatable?: boolean;
}

/** The shared part of a provider and its handles. */
export class Core {
  readonly driver: StorageDriver;
  readonly options: ProviderOptions;
  readonly metrics: Metrics = new Metrics();
  readonly now: () => number;
  readonly #deadlines: Deadlines;
  readonly #queue: Coalescer;
  readonly #writer: string = randomBytes(9).toString('base64url');
  #counter = 0;
  #trips = 0;
  #store: StoreInfo | undefined;
  #opening: Promise<StoreInfo> | undefined;
  #closing: Promise<void> | undefined;
  #serial: Promise<unknown> = Promise.resolve();
  readonly #hashes = new Map<string, string>();
  /** Work beside the calls that closing waits for (packing). */
  readonly #background = new Set<Promise<void>>();
  /** Run when the provider closes, before the driver does. */
  readonly #onClose: (() => void)[] = [];

  constructor(driver: StorageDriver, options: ProviderOptions) {
    this.driver = driver;
    this.options = options;
    const { clock } = options;
    // a clock with fractions (performance.timeOrigin + performance.now()) is welcome; stored times are whole
    this.now = clock ? () => Math.floor(clock()) : Date.now;
    this.#deadlines = new Deadlines(options.deadline ?? DEADLINE);
    this.#queue = new Coalescer(
      {
        write: (batch, trip) => this.#write(batch, trip),
        remove: (remove, trip) => this.#exclusive(() => this.driver.remove(remove, trip)),
        classify: (error) => this.classify(error),
        onRetry: (failure, attempt, ids) =>
          this.emit({ type: 'retried', operation: 'write', attempt, reason: failure.reason, conversations: ids.length }),
      },
      this.#deadlines,
      {
        maxInFlight: options.maxInFlight ?? MAX_IN_FLIGHT,
        batchCreations: driver.capabilities.batchCreations,
        borrowed: driver.capabilities.borrowed ?? false,
      },
    );
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** @throws MemoryConnectionError (`closed`), MemoryAbortError */
  checkUsable(call: CallContext, signal: AbortSignal | undefined, handleClosed = false): void {
    const outcome = call.begun ? 'unknown' : 'not_applied';
    if (this.closed || handleClosed) {
      throw new MemoryConnectionError(`${describeCall(call)}: the provider is closed. Create a new one.`, {
        provider: this.driver.name,
        code: 'closed',
        retryable: false,
        outcome,
      });
    }
    if (signal?.aborted) {
      throw new MemoryAbortError(`${describeCall(call)}: aborted${call.begun ? '' : ' before it began'}.`, {
        provider: this.driver.name,
        outcome,
      });
    }
  }

  /** A context for errors. What should have been an id may be anything at all: only text is shown, and not all of a long one. */
  call(operation: string, id?: unknown): CallContext {
    const shown = typeof id !== 'string' ? undefined : id.length > ID_SHOWN ? `${id.slice(0, ID_SHOWN)}…` : id;
    return { provider: this.driver.name, operation, id: shown, store: this.driver };
  }

  /** The identity of the next write. */
  nextMark(): WriterMark {
    return { id: this.#writer, counter: ++this.#counter };
  }

  /** One write through the queue, in call order; the queue and the trips fill in what they know (see {@link QueuedWrite}). */
  write(write: QueuedWrite, bytes: number, call: CallContext, signal?: AbortSignal): Promise<WriteOutcome> {
    return this.#queue.write(write, bytes, call, signal);
  }

  /**
   * The write at once, where the driver can and nothing of the conversation is waiting.
   *
   * @returns undefined when it has to go through the queue
   */
  writeNow(write: QueuedWrite): WriteOutcome | undefined {
    const { driver } = this;
    if (!driver.writeNow || !this.#store || this.#queue.holds(write.id)) return undefined;
    this.#identify(write, this.#store.key);
    return driver.writeNow(write);
  }

  /**
   * To be awaited by calls that need no I/O: now and then it waits for a turn of the event loop, because a loop of such calls
   * would stay in the microtask queue, and keep timers and signals out.
   */
  turn(): Promise<void> | undefined {
    return ++this.#trips % TRIPS_PER_TURN === 0 ? new Promise((turn) => setImmediate(turn)) : undefined;
  }

  remove(remove: QueuedRemove, call: CallContext, signal?: AbortSignal): Promise<RemoveOutcome> {
    return this.#queue.remove(remove, call, signal);
  }

  /**
   * One trip to the driver, repeated until the deadline when that can help.
   *
   * @param call - for errors
   * @param attempt - calls the driver once
   * @param options - see {@link TripOptions}
   * @throws MemoryError
   */
  trip<T>(call: CallContext, attempt: (trip: Trip) => Promise<T>, options: TripOptions = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { signal } = options;
      this.checkUsable(call, signal);
      let ended = false;
      let attempts = 0;
      let failure: Classified | undefined;
      const end = (): boolean => {
        if (ended) return false;
        ended = true;
        this.#deadlines.stop(deadline);
        signal?.removeEventListener('abort', onAbort);
        return true;
      };
      const unknown = (): boolean => options.repeatable === false && attempts > 0;
      const onAbort = (): void => {
        if (end())
          reject(
            new MemoryAbortError(`${describeCall(call)}: aborted.`, {
              provider: call.provider,
              outcome: unknown() || call.begun ? 'unknown' : 'not_applied',
            }),
          );
      };
      const deadline = this.#deadlines.start(() => {
        const last = failure ?? ({ kind: 'timeout', reason: 'no answer before the deadline' } as const);
        if (end()) reject(errorOf(call, last, unknown()));
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      const go = async (): Promise<void> => {
        const turn = this.turn();
        if (turn) await turn;
        for (;;) {
          if (ended) return;
          attempts++;
          try {
            await (this.#store ?? this.open());
            const result = await this.#exclusive(() => attempt({ timeout: Math.max(1, deadline.at - performance.now()) }));
            if (end()) resolve(result);
            return;
          } catch (error) {
            failure = this.classify(error);
            const wait = this.driver.capabilities.borrowed ? undefined : waitKind(failure);
            const lost = mayHaveApplied(failure);
            if (wait === undefined || (lost && options.repeatable === false)) {
              if (end()) reject(error instanceof MemoryError ? error : errorOf(call, failure, lost && options.repeatable === false));
              return;
            }
            this.emit({ type: 'retried', operation: call.operation, attempt: attempts, reason: failure.reason });
            await new Promise((done) => setTimeout(done, backoff(wait, attempts)));
          }
        }
      };
      void go();
    });
  }

  /** Opens the store once; a failed try is forgotten, so that the next call tries again. */
  open(): Promise<StoreInfo> {
    this.#opening ??= this.driver.open().then(
      (info) => {
        this.#store = info;
        return info;
      },
      (error: unknown) => {
        this.#opening = undefined;
        throw error;
      },
    );
    return this.#opening;
  }

  /** What a failure means; our own errors keep their meaning. */
  classify(error: unknown): Classified {
    if (error instanceof MemoryError) return { kind: 'config', reason: error.message };
    return this.driver.classify(error);
  }

  /** The keyed hash under which an erased user is barred. */
  async ownerHash(owner: string): Promise<string> {
    const { key } = this.#store ?? (await this.open());
    return this.#hash(key, owner);
  }

  #hash(key: string, owner: string): string {
    let hash = this.#hashes.get(owner);
    if (hash === undefined) {
      hash = createHmac('sha256', key).update(owner).digest('base64url').slice(0, 22);
      if (this.#hashes.size >= HASHES_KEPT) this.#hashes.delete(this.#hashes.keys().next().value as string);
      this.#hashes.set(owner, hash);
    }
    return hash;
  }

  #identify(write: QueuedWrite, key: string): void {
    if (write.owner !== undefined) write.ownerHash = this.#hash(key, write.owner);
  }

  async #write(batch: readonly QueuedWrite[], trip: Trip): Promise<readonly WriteOutcome[]> {
    const { key } = this.#store ?? (await this.open());
    for (const write of batch) this.#identify(write, key);
    return this.#exclusive(() => this.driver.write(batch, trip));
  }

  /** On a caller's own connection one trip at a time; else at once. */
  #exclusive<T>(trip: () => Promise<T>): Promise<T> {
    if (!this.driver.capabilities.borrowed) return trip();
    const result = this.#serial.then(trip);
    this.#serial = result.catch(() => undefined);
    return result;
  }

  /** Tells the operator. */
  emit(event: Omit<MemoryEvent, 'provider'> & { readonly type: string }): void {
    emitEvent(this.options.onEvent, { ...event, provider: this.driver.name });
  }

  /** Starts work that closing waits for; it must not reject. */
  inBackground(work: Promise<void>): void {
    this.#background.add(work);
    void work.then(() => this.#background.delete(work));
  }

  /** Runs when the provider closes, before the driver does. */
  onClose(stop: () => void): void {
    this.#onClose.push(stop);
  }

  /** Refuses new calls, waits for writes and background work, closes the driver. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const stop of this.#onClose) stop();
    await this.#queue.drained();
    await Promise.all(this.#background);
    this.#deadlines.clear();
    if (this.#opening) await this.#opening.catch(() => undefined);
    await this.driver.close();
  }
}
