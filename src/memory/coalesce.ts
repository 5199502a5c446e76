/**
 * Natural batching. A provider has at most one write per conversation under way; while writes are under way, others queue
 * and leave together. A lone write leaves at once (in a microtask, no timers), so batching costs nothing when idle and
 * grows with the load.
 *
 * @module
 */
import type { Deadline, Deadlines } from './deadline.js';
import type { Classified, Remove, RemoveOutcome, Trip, Write, WriteOutcome } from './driver.js';
import { MemoryAbortError, MemoryConnectionError, MemoryError } from './errors.js';
import { backoff, type CallContext, describeCall, errorOf, mayHaveApplied, waitKind } from './retry.js';

/** Writes in one batch at most. */
const BATCH_WRITES = 64;
/** Bytes of bodies in one batch at most (a larger write goes alone). */
const BATCH_BYTES = 1_048_576;
/**
 * When nothing is under way, what is ready is split over two batches from this size on: while the store works on one, this
 * process makes the other (64 in flight on PostgreSQL: 1.2 to 1.7 times the rate of one batch of 64 at a time).
 */
const SPLIT_WRITES = 16;
/** Batches under way at once. */
const BATCHES = 4;
/** Writes that go alone under way at once: more than batches, because one may wait for a row lock. */
const SOLOS = 16;
/** Milliseconds a repetition needs at least. */
const RETRY_MS = 10;
/** Flushes in microtasks before one waits for a turn of the event loop: a few milliseconds of in-memory writes. */
const FLUSHES_PER_TURN = 256;
/** Bytes of bodies that may wait or be under way. */
export const QUEUE_BYTES = 67_108_864;

/** A write of which `retry` is set here, when an attempt may have been applied, and the owner's hash when the store is open. */
export type QueuedWrite = Write & { retry: boolean; ownerHash?: string | undefined };
/** A removal, likewise. */
export type QueuedRemove = Remove & { retry: boolean };
type Request = { readonly write: QueuedWrite; readonly remove?: undefined } | { readonly write?: undefined; readonly remove: QueuedRemove };

/** What the queue needs of the layer around it. */
export interface Transport {
  write(batch: readonly QueuedWrite[], trip: Trip): Promise<readonly WriteOutcome[]>;
  remove(remove: Remove, trip: Trip): Promise<RemoveOutcome>;
  classify(error: unknown): Classified;
  onRetry(failure: Classified, attempt: number, ids: readonly string[]): void;
}

/** Settings of the queue. */
export interface CoalescerOptions {
  readonly maxInFlight: number;
  readonly batchCreations: boolean;
  /** A caller's own connection: one at a time, nothing sent twice. */
  readonly borrowed: boolean;
}

interface Task {
  readonly request: Request;
  readonly id: string;
  readonly bytes: number;
  readonly call: CallContext;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: (() => void) | undefined;
  deadline: Deadline;
  resolve(outcome: WriteOutcome | RemoveOutcome): void;
  reject(error: MemoryError): void;
  batch: Batch | undefined;
  solo: boolean;
  /** The caller has its answer. */
  done: boolean;
  /** The next call of the conversation may go. */
  released: boolean;
  onTheWire: boolean;
  maybeApplied: boolean;
  attempts: number;
  failure: Classified | undefined;
}

interface Batch {
  tasks: readonly Task[];
  readonly solo: boolean;
  freed: boolean;
}

/** The write queue of one provider. */
export class Coalescer {
  readonly #transport: Transport;
  readonly #options: CoalescerOptions;
  readonly #deadlines: Deadlines;
  /** Per conversation with a write under way or ready: the calls behind it, in call order. */
  readonly #lanes = new Map<string, Task[] | undefined>();
  #ready: Task[] = [];
  #alone: Task[] = [];
  #batches = 0;
  #solos = 0;
  #count = 0;
  #bytes = 0;
  #scheduled = false;
  #flushes = 0;
  #idle: (() => void)[] = [];

  constructor(transport: Transport, deadlines: Deadlines, options: CoalescerOptions) {
    this.#transport = transport;
    this.#deadlines = deadlines;
    this.#options = options;
  }

  /** Queues a write, which is the queue's from now on. Rejects with a MemoryError whose outcome says whether it may have been applied. */
  write(write: QueuedWrite, bytes: number, call: CallContext, signal?: AbortSignal): Promise<WriteOutcome> {
    const creates = write.kind !== 'append';
    const solo = this.#options.borrowed || bytes > BATCH_BYTES || (creates && !this.#options.batchCreations);
    return this.#submit({ write }, write.id, bytes, solo, call, signal) as Promise<WriteOutcome>;
  }

  /** Queues a removal behind the writes of its conversation. */
  remove(remove: QueuedRemove, call: CallContext, signal?: AbortSignal): Promise<RemoveOutcome> {
    return this.#submit({ remove }, remove.id, 0, true, call, signal) as Promise<RemoveOutcome>;
  }

  /** Whether anything of the conversation is waiting or under way. */
  holds(id: string): boolean {
    return this.#lanes.has(id);
  }

  /** Resolves when nothing is waiting or under way. */
  drained(): Promise<void> {
    if (this.#count === 0 && this.#batches === 0 && this.#solos === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #submit(
    request: Request,
    id: string,
    bytes: number,
    solo: boolean,
    call: CallContext,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    if (this.#count >= this.#options.maxInFlight || (this.#count > 0 && this.#bytes + bytes > QUEUE_BYTES)) {
      const limit = this.#count >= this.#options.maxInFlight ? `${this.#options.maxInFlight} writes` : `${QUEUE_BYTES} bytes`;
      return Promise.reject(
        new MemoryConnectionError(`${describeCall(call)}: more than ${limit} are waiting. Slow down, or raise maxInFlight.`, {
          provider: call.provider,
          code: 'overloaded',
        }),
      );
    }
    this.#count++;
    this.#bytes += bytes;
    return new Promise((resolve, reject) => {
      const task: Task = {
        request,
        id,
        bytes,
        call,
        signal,
        onAbort: signal ? () => this.#abort(task) : undefined,
        deadline: this.#deadlines.start(() => this.#expire(task)),
        resolve,
        reject,
        batch: undefined,
        solo,
        done: false,
        released: false,
        onTheWire: false,
        maybeApplied: false,
        attempts: 0,
        failure: undefined,
      };
      if (task.onAbort) signal?.addEventListener('abort', task.onAbort, { once: true });
      if (!this.#lanes.has(id)) {
        this.#lanes.set(id, undefined);
        this.#makeReady(task);
        return;
      }
      const lane = this.#lanes.get(id);
      if (lane) lane.push(task);
      else this.#lanes.set(id, [task]);
    });
  }

  #makeReady(task: Task): void {
    (task.solo ? this.#alone : this.#ready).push(task);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    // a driver that answers without I/O would keep a loop of awaited writes in the microtask queue, and timers and signals out
    if (++this.#flushes % FLUSHES_PER_TURN === 0) setImmediate(() => this.#flush());
    else queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    let taken = 0;
    const size = this.#batches > 0 ? BATCH_WRITES : Math.min(BATCH_WRITES, Math.max(SPLIT_WRITES, Math.ceil(this.#ready.length / 2)));
    while (this.#batches < BATCHES && taken < this.#ready.length) {
      const tasks: Task[] = [];
      let bytes = 0;
      for (; taken < this.#ready.length && tasks.length < size; taken++) {
        const task = this.#ready[taken] as Task;
        if (task.done) {
          this.#release(task);
          continue;
        }
        if (tasks.length > 0 && bytes + task.bytes > BATCH_BYTES) break;
        bytes += task.bytes;
        tasks.push(task);
      }
      if (tasks.length > 0) this.#send({ tasks, solo: false, freed: false });
    }
    if (taken > 0) this.#ready.splice(0, taken);
    taken = 0;
    const solos = this.#options.borrowed ? 1 : SOLOS;
    for (; this.#solos < solos && taken < this.#alone.length; taken++) {
      const task = this.#alone[taken] as Task;
      if (task.done) this.#release(task);
      else this.#send({ tasks: [task], solo: true, freed: false });
    }
    if (taken > 0) this.#alone.splice(0, taken);
  }

  #send(batch: Batch): void {
    if (batch.solo) this.#solos++;
    else this.#batches++;
    for (const task of batch.tasks) task.batch = batch;
    void this.#run(batch.tasks).then(() => {
      for (const task of batch.tasks) {
        if (!task.done) continue;
        this.#deadlines.stop(task.deadline);
        this.#release(task);
      }
      this.#free(batch);
    });
  }

  /** Sends until every task has an outcome, an error or no time left. Never rejects. */
  async #run(all: readonly Task[]): Promise<void> {
    for (;;) {
      const tasks = all.some((task) => task.done) ? all.filter((task) => !task.done) : all;
      if (tasks.length === 0) return;
      let outcomes: readonly (WriteOutcome | RemoveOutcome)[];
      for (const task of tasks) task.onTheWire = true;
      try {
        outcomes = await this.#attempt(tasks);
      } catch (error) {
        if (error instanceof MemoryError) {
          for (const task of tasks) this.#fail(task, error);
          return;
        }
        const failure = this.#transport.classify(error);
        for (const task of tasks) this.#failed(task, failure);
        const wait = this.#options.borrowed ? undefined : waitKind(failure);
        if (wait !== undefined) {
          const attempt = tasks[0]?.attempts ?? 1;
          this.#transport.onRetry(
            failure,
            attempt,
            tasks.map((task) => task.id),
          );
          await sleep(backoff(wait, attempt));
          // with less time left nothing would come of it, but that nobody could say any more that nothing was sent
          if (tasks.every((task) => task.deadline.at - performance.now() < RETRY_MS)) await sleep(RETRY_MS + 1);
          continue;
        }
        // halves of a batch that too few replicas confirmed would only wait again, one after the other
        if (tasks.length === 1 || this.#options.borrowed || failure.kind === 'unreplicated') {
          for (const task of tasks) this.#fail(task, errorOf(task.call, failure, task.maybeApplied));
          return;
        }
        // one of them spoils the batch: find it
        const middle = tasks.length >> 1;
        await this.#run(tasks.slice(0, middle));
        await this.#run(tasks.slice(middle));
        return;
      }
      for (let i = 0; i < tasks.length; i++) this.#outcome(tasks[i] as Task, outcomes[i], tasks.length === 1);
      return;
    }
  }

  #attempt(tasks: readonly Task[]): Promise<readonly (WriteOutcome | RemoveOutcome)[]> {
    let until = 0;
    const writes: QueuedWrite[] = [];
    for (const { request, deadline } of tasks) {
      if (deadline.at > until) until = deadline.at;
      if (request.write) writes.push(request.write);
    }
    const trip = { timeout: Math.max(1, until - performance.now()) };
    const remove = tasks[0]?.request.remove;
    if (remove) return this.#transport.remove(remove, trip).then((outcome) => [outcome]);
    return this.#transport.write(writes, trip);
  }

  #failed(task: Task, failure: Classified): void {
    task.onTheWire = false;
    task.attempts++;
    task.failure = failure;
    if (!mayHaveApplied(failure)) return;
    task.maybeApplied = true;
    (task.request.write ?? task.request.remove).retry = true;
  }

  #outcome(task: Task, outcome: WriteOutcome | RemoveOutcome | undefined, wasAlone: boolean): void {
    task.onTheWire = false;
    if (outcome?.kind === 'busy' || outcome?.kind === 'again') {
      if (task.done) return;
      task.solo = true;
      task.attempts++;
      task.failure = { kind: 'retryable', reason: 'another writer holds the conversation' };
      // refused in company it goes alone at once; refused alone it waits its turn
      if (!wasAlone || (outcome.kind === 'again' && task.attempts < 10)) this.#makeReady(task);
      else void sleep(backoff('contention', task.attempts)).then(() => this.#makeReady(task));
      return;
    }
    if (outcome === undefined) {
      const failure = { kind: 'storage', reason: 'the driver answered with too few outcomes' } as const;
      return this.#fail(task, errorOf(task.call, failure, true));
    }
    if (outcome.kind === 'unknown') {
      const failure = { kind: 'lost', reason: 'the answer to an earlier attempt was lost and can no longer be reconstructed' } as const;
      return this.#fail(task, errorOf(task.call, failure, true));
    }
    if (this.#end(task)) task.resolve(outcome);
  }

  #fail(task: Task, error: MemoryError): void {
    if (this.#end(task)) task.reject(error);
  }

  /** The caller gets its answer now; false when it had one. */
  #end(task: Task): boolean {
    if (task.done) return false;
    task.done = true;
    // an aborted task that is still under way keeps its deadline: it ends the wait for a store that never answers
    if (!task.onTheWire) this.#deadlines.stop(task.deadline);
    if (task.onAbort) task.signal?.removeEventListener('abort', task.onAbort);
    this.#count--;
    this.#bytes -= task.bytes;
    return true;
  }

  #abort(task: Task): void {
    const unknown = task.onTheWire || task.maybeApplied;
    const text = unknown ? 'aborted while under way; whether it was applied is unknown' : 'aborted before it was sent; nothing was written';
    this.#fail(
      task,
      new MemoryAbortError(`${describeCall(task.call)}: ${text}.`, {
        provider: task.call.provider,
        outcome: unknown ? 'unknown' : 'not_applied',
      }),
    );
  }

  #expire(task: Task): void {
    const failure: Classified =
      task.failure && !task.onTheWire
        ? { kind: task.failure.kind, reason: `${task.failure.reason} (until the deadline)` }
        : {
            kind: 'timeout',
            reason: task.batch ? 'no answer before the deadline' : 'the deadline passed while it waited for earlier writes',
          };
    this.#fail(task, errorOf(task.call, failure, task.onTheWire || task.maybeApplied));
    if (!task.batch) return;
    // The attempt may hang for good: let the conversation and the slot go. Should the store still apply it one day, the
    // writer's counter makes it a straggler that is refused.
    this.#release(task);
    if (task.batch.tasks.every((t) => t.done)) this.#free(task.batch);
  }

  /** Lets the next call of the conversation go; once per task. */
  #release(task: Task): void {
    if (task.released) return;
    task.released = true;
    const lane = this.#lanes.get(task.id);
    let next = lane?.shift();
    while (next?.done) next = lane?.shift();
    if (next) this.#makeReady(next);
    else this.#lanes.delete(task.id);
  }

  #free(batch: Batch): void {
    if (!batch.freed) {
      batch.freed = true;
      if (batch.solo) this.#solos--;
      else this.#batches--;
      if (this.#ready.length > 0 || this.#alone.length > 0) this.#schedule();
    }
    if (this.#count === 0 && this.#batches === 0 && this.#solos === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
