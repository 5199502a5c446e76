/**
 * One conversation in memory: its state, bodies, segments and operations.
 *
 * @module
 */
import { type Body, type Header, OPERATIONS_KEPT, type Receipt, type Segment, type Stored, type Window } from '../../driver.js';
import { type ConversationState, resolveWindow } from '../../local.js';

/** What a write by the caller's operation id answered. */
export interface Operation {
  readonly digest: string;
  readonly receipt: Receipt;
}

/** A header whose bytes are counted when somebody asks. A class with its fields spelled out: a spread costs 3 µs, this 0.1. */
class LazyHeader implements Header {
  readonly id: string;
  readonly owner: string | undefined;
  readonly trace: string | undefined;
  readonly epoch: number;
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly ttl: number | null | undefined;
  readonly expiresAt: number | undefined;
  readonly hold: boolean;
  readonly first: number;
  readonly next: number;
  readonly packedTo: number;
  readonly metadata: string;
  readonly #of: StoredConversation;

  constructor(state: Header, of: StoredConversation) {
    this.id = state.id;
    this.owner = state.owner;
    this.trace = state.trace;
    this.epoch = state.epoch;
    this.version = state.version;
    this.createdAt = state.createdAt;
    this.updatedAt = state.updatedAt;
    this.ttl = state.ttl;
    this.expiresAt = state.expiresAt;
    this.hold = state.hold;
    this.first = state.first;
    this.next = state.next;
    this.packedTo = state.packedTo;
    this.metadata = state.metadata;
    this.#of = of;
  }

  get bytes(): number {
    return this.#of.bytes;
  }
}

/** A conversation of the in-memory driver. */
export class StoredConversation {
  /** Its `bytes` is not kept up to date: see {@link bytes}. */
  state: ConversationState;
  /** Keys under which the indexes know it; the one by last write is brought up to date when somebody lists. */
  indexedUpdatedAt: number;
  readonly operations: Map<string, Operation> = new Map();
  /** Bodies from sequence `#base`; those below `state.packedTo` are undefined until the array is compacted. */
  #bodies: (Body | undefined)[] = [];
  #base: number;
  #segments: Segment[] = [];
  /** Bytes of the bodies before sequence `#countedTo`. */
  #counted = 0;
  #countedTo = 0;

  constructor(state: ConversationState) {
    this.state = state;
    this.indexedUpdatedAt = state.updatedAt;
    this.#base = state.first;
  }

  /**
   * What is visible, in bytes. Counted when somebody asks, and then only what came since: to count a message is to make its
   * text, which would double the time of an append.
   */
  get bytes(): number {
    const { first, next, packedTo, metadata } = this.state;
    for (let seq = Math.max(this.#countedTo, packedTo); seq < next; seq++) this.#counted += this.#bodies[seq - this.#base]?.bytes ?? 0;
    this.#countedTo = next;
    let bytes = this.#counted + Buffer.byteLength(metadata);
    for (const segment of this.#segments) if (segment.to > first) bytes += segment.data.length;
    return bytes;
  }

  /** Takes a new state with all bodies of the write, which begin at `seq`; `fresh` drops everything older first (a new life). */
  apply(state: ConversationState, seq: number, bodies: readonly Body[], fresh: boolean): void {
    if (fresh) {
      this.#bodies = [];
      this.#segments = [];
      this.#base = seq;
      this.#counted = 0;
      this.#countedTo = seq;
      this.operations.clear();
    }
    this.state = state;
    for (const body of bodies) this.#bodies.push(body);
    this.#forget();
  }

  /** Remembers an operation, and forgets the oldest beyond the ones kept. */
  remember(hash: string, operation: Operation): void {
    this.operations.set(hash, operation);
    if (this.operations.size > OPERATIONS_KEPT) this.operations.delete(this.operations.keys().next().value as string);
  }

  /** Swaps the bodies `[from, to)` for a segment. */
  pack(from: number, to: number, data: Uint8Array | string): void {
    this.#segments.push({ from, to, data });
    this.state = { ...this.state, packedTo: to };
    this.#forget();
  }

  read(window: Window): Stored {
    const { state } = this;
    const { from, to } = resolveWindow(state, window);
    const bodies: { seq: number; body: Body }[] = [];
    for (let seq = Math.max(from, state.packedTo); seq < to; seq++) {
      const body = this.#bodies[seq - this.#base];
      if (body) bodies.push({ seq, body });
    }
    const segments = from < to && from < state.packedTo ? this.#segments.filter((s) => s.to > from && s.from < to) : [];
    return { header: new LazyHeader(state, this), bodies, segments };
  }

  /** Lets go of what nobody can see any more; the array is compacted when half of it is dead, so a trim costs O(1). */
  #forget(): void {
    const { first, packedTo } = this.state;
    let dead = Math.min(packedTo - this.#base, this.#bodies.length);
    for (let i = dead - 1; i >= 0; i--) {
      const body = this.#bodies[i];
      if (body === undefined) break;
      if (this.#base + i < this.#countedTo) this.#counted -= body.bytes;
      this.#bodies[i] = undefined;
    }
    if (dead > 32 && dead * 2 > this.#bodies.length) {
      this.#bodies.splice(0, dead);
      this.#base += dead;
      dead = 0;
    }
    if (this.#segments.length > 0 && (this.#segments[0] as Segment).to <= first)
      this.#segments = this.#segments.filter((s) => s.to > first);
  }
}
