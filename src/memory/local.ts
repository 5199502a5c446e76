/**
 * The decisions of a write and of a removal as pure functions, for drivers that read, decide and store inside one local
 * transaction (in-memory, SQLite, files). Drivers that decide on a server (SQL, Lua) express the same table there; the
 * conformance kit holds them together.
 *
 * @module
 */
import {
  type Cursor,
  type Header,
  type Receipt,
  type Remove,
  type RemoveOutcome,
  type Window,
  type Write,
  type WriteOutcome,
  WRITERS_KEPT,
} from './driver.js';

/** The last write of one writer: `id` and `counter` of its {@link WriterMark}. */
export interface WriterEntry {
  readonly id: string;
  readonly counter: number;
  /** That writer's own time of the call: what makes {@link ConversationState.writersFloor} exact without comparing clocks. */
  readonly time: number;
  /** Absent when the life it belonged to has ended, or when it was a removal. */
  readonly receipt?: Receipt | undefined;
}

/** Everything a local driver keeps about a conversation beside bodies and operations. */
export interface ConversationState extends Header {
  /** Oldest first, at most {@link WRITERS_KEPT}. */
  readonly writers: readonly WriterEntry[];
  /** Latest time among the writers that no longer fit: a write begun after it is still in `writers` if it was applied. */
  readonly writersFloor: number;
  /** Set on a tombstone. */
  readonly removedAt?: number | undefined;
}

/** What a driver answers while a write is decided. */
export interface Lookup {
  /** A caller's operation of this life. */
  operation(hash: string): { readonly digest: string; readonly receipt: Receipt } | undefined;
  /** Whether writes for this owner hash are refused at the time of the write: its `bar` ends after the write's `now`. */
  barred(ownerHash: string): boolean;
  /**
   * Bytes of the unpacked bodies in `[from, to)` and of the segments whose end lies in `(from, to]`. Left out by a driver that
   * counts bytes itself: `bytes` of the new state is then 0.
   */
  bytesOf?(from: number, to: number): number;
  /** Latest removal time among tombstones that were dropped before {@link TOMBSTONE_MS}; 0 when none was. */
  readonly forgottenUpTo: number;
}

/** Nothing is to be stored, or this state. */
export type Decision =
  | { readonly apply: false; readonly outcome: WriteOutcome }
  | {
      readonly apply: true;
      readonly state: ConversationState;
      /** The bodies of the old epoch, and everything below `state.first`, are invisible from now on. */
      readonly newLife: boolean;
      /** Sequence of the write's first body; those below `state.first` need not be stored. */
      readonly seq: number;
      readonly outcome: Extract<WriteOutcome, { kind: 'ok' }>;
    };

/** Whether readers can see it at a time: it is over when `expiresAt` has come. */
export function isVisible(state: ConversationState, now: number): boolean {
  return state.removedAt === undefined && (state.expiresAt === undefined || state.expiresAt > now);
}

type Remembered =
  | { readonly known: 'applied'; readonly entry: WriterEntry }
  | { readonly known: 'not applied' }
  | { readonly known: 'undecidable' };

/** What the writer's ring knows about an earlier attempt of this very write. */
function remember(
  state: ConversationState | undefined,
  write: { readonly writer: { readonly id: string; readonly counter: number }; readonly retry: boolean; readonly now: number },
  forgottenUpTo: number,
): Remembered {
  const entry = state?.writers.find((w) => w.id === write.writer.id);
  if (entry) {
    if (entry.counter === write.writer.counter) return { known: 'applied', entry };
    // one write per conversation is under way per writer, so an older counter is a straggler that was given up
    return entry.counter < write.writer.counter ? { known: 'not applied' } : { known: 'undecidable' };
  }
  if (!write.retry) return { known: 'not applied' };
  const floor = state ? state.writersFloor : forgottenUpTo;
  return floor >= write.now ? { known: 'undecidable' } : { known: 'not applied' };
}

/** The ring after a write or a removal. */
function pushWriter(
  state: ConversationState | undefined,
  entry: WriterEntry,
  newLife: boolean,
): { writers: readonly WriterEntry[]; writersFloor: number } {
  const writers = state?.writers ?? [];
  // the usual one: nobody else writes this conversation
  if (writers.length === 1 && writers[0]?.id === entry.id) return { writers: [entry], writersFloor: state?.writersFloor ?? 0 };
  const others = writers.filter((w) => w.id !== entry.id);
  const kept = newLife ? others.map((w) => ({ id: w.id, counter: w.counter, time: w.time })) : others;
  let writersFloor = state?.writersFloor ?? 0;
  while (kept.length >= WRITERS_KEPT) {
    const gone = kept.shift();
    if (gone && gone.time > writersFloor) writersFloor = gone.time;
  }
  kept.push(entry);
  return { writers: kept, writersFloor };
}

/**
 * Merges JSON object texts per top-level key; `null` stays a value and `__proto__` an ordinary key.
 *
 * @param stored - JSON text of an object
 * @param patch - JSON text of an object whose keys win
 * @returns JSON text of the merged object
 */
export function mergeMetadata(stored: string, patch: string): string {
  if (stored === '{}') return patch;
  const merged = new Map<string, unknown>(Object.entries(JSON.parse(stored) as object));
  for (const [key, value] of Object.entries(JSON.parse(patch) as object)) merged.set(key, value);
  return `{${[...merged].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}

/**
 * Decides one write: tombstone, missing or expired, owner, operation id, hold, expected version, apply (in this order).
 *
 * @param state - what is stored, tombstones and expired conversations included
 * @param write - the write
 * @param look - what the driver knows beside the state
 * @returns the outcome, and what to store when it applies
 */
export function decideWrite(state: ConversationState | undefined, write: Write, look: Lookup): Decision {
  const no = (outcome: WriteOutcome): Decision => ({ apply: false, outcome });
  const earlier = remember(state, write, look.forgottenUpTo);
  if (earlier.known === 'applied') {
    return no(earlier.entry.receipt ? { kind: 'repeated', receipt: earlier.entry.receipt } : { kind: 'missing' });
  }
  if (earlier.known === 'undecidable') return no({ kind: 'unknown' });
  if (write.ownerHash !== undefined && look.barred(write.ownerHash)) return no({ kind: 'erased' });
  if (write.retry && state?.removedAt !== undefined && state.removedAt >= write.now) return no({ kind: 'missing' });

  const current = state && isVisible(state, write.now) ? state : undefined;
  if (!current) {
    if (!write.create) return no({ kind: 'missing' });
    if (write.expectedVersion !== undefined && write.expectedVersion !== 0) return no({ kind: 'conflict', actualVersion: 0 });
  } else {
    const strange = write.scoped
      ? current.owner !== write.owner
      : write.owner !== undefined && current.owner !== undefined && current.owner !== write.owner;
    if (strange) return no({ kind: 'forbidden' });
    const known = write.operation && look.operation(write.operation.hash);
    if (known) {
      return no(known.digest === write.operation?.digest ? { kind: 'duplicate', receipt: known.receipt } : { kind: 'reused' });
    }
    if (write.restore && write.restore.onConflict !== 'replace') {
      if (write.restore.onConflict === 'fail') return no({ kind: 'conflict', actualVersion: current.version });
      const receipt = { version: current.version, messageCount: current.next - current.first, created: false };
      return no({ kind: 'skipped', receipt });
    }
    if (current.hold && write.kind !== 'append') return no({ kind: 'held' });
    if (write.expectedVersion !== undefined && write.expectedVersion !== current.version) {
      return no({ kind: 'conflict', actualVersion: current.version });
    }
  }
  return applyWrite(state, current, write, look);
}

/** The state after a write that was allowed. */
function applyWrite(state: ConversationState | undefined, current: ConversationState | undefined, write: Write, look: Lookup): Decision {
  const { restore, now } = write;
  const newLife = !current || restore !== undefined;
  const version = Math.max((state?.version ?? 0) + 1, now);
  const seq = restore ? restore.firstSeq : newLife ? 1 : current.next;
  const next = seq + write.bodies.length;
  const metadata =
    write.metadata === undefined
      ? current && !restore
        ? current.metadata
        : '{}'
      : current && write.kind === 'append'
        ? mergeMetadata(current.metadata, write.metadata)
        : write.metadata;
  const hold = write.hold ?? (newLife ? false : current.hold);
  const ttl = restore
    ? restore.expiresAt === undefined
      ? undefined
      : Math.max(1, restore.expiresAt - restore.updatedAt)
    : write.ttl !== undefined
      ? write.ttl
      : newLife || current.ttl === undefined
        ? write.defaultTtl
        : current.ttl;
  const expiresAt = hold ? undefined : restore ? restore.expiresAt : typeof ttl === 'number' ? now + ttl : undefined;

  const keptFrom = newLife || write.kind === 'put' ? seq : current.first;
  const first = hold || restore || write.maxMessages === undefined ? keptFrom : Math.max(keptFrom, next - write.maxMessages);
  const packedTo = newLife || write.kind === 'put' ? first : Math.max(current.packedTo, first);
  const receipt: Receipt = { version, messageCount: next - first, created: !current };
  const entry: WriterEntry = { id: write.writer.id, counter: write.writer.counter, time: now, receipt };
  const ring = pushWriter(state, entry, newLife);
  const next_: ConversationState = {
    id: write.id,
    owner: current?.owner ?? write.owner,
    trace: write.trace ?? (newLife ? undefined : current.trace),
    epoch: newLife ? Math.max((state?.epoch ?? 0) + 1, now) : current.epoch,
    version,
    createdAt: restore ? restore.createdAt : (current?.createdAt ?? now),
    updatedAt: restore ? restore.updatedAt : Math.max(current?.updatedAt ?? now, now),
    ttl,
    expiresAt,
    hold,
    first,
    next,
    packedTo,
    bytes: bytesAfter(newLife ? undefined : current, write, { seq, first, metadata }, look),
    metadata,
    writers: ring.writers,
    writersFloor: ring.writersFloor,
  };
  return {
    apply: true,
    state: next_,
    newLife,
    seq,
    outcome: {
      kind: 'ok',
      receipt,
      extent: { epoch: next_.epoch, first, next, packedTo },
      trimmed: first - keptFrom,
    },
  };
}

/** What is visible after a write, in bytes. */
function bytesAfter(
  current: ConversationState | undefined,
  write: Write,
  { seq, first, metadata }: { readonly seq: number; readonly first: number; readonly metadata: string },
  look: Lookup,
): number {
  if (!look.bytesOf) return 0;
  let bytes = Buffer.byteLength(metadata);
  for (let i = Math.max(0, first - seq); i < write.bodies.length; i++) bytes += write.bodies[i]?.bytes ?? 0;
  if (current && write.kind === 'append') {
    bytes += current.bytes - Buffer.byteLength(current.metadata);
    if (first > current.first) bytes -= look.bytesOf(current.first, Math.min(first, current.next));
  }
  return bytes;
}

/** Nothing is to be stored, or this tombstone. */
export type RemoveDecision =
  | { readonly apply: false; readonly outcome: RemoveOutcome }
  | { readonly apply: true; readonly tombstone: ConversationState; readonly outcome: { readonly kind: 'removed' } };

/**
 * Decides one removal, in the same order as a write.
 *
 * @param state - what is stored, tombstones and expired conversations included
 * @param remove - the removal
 * @param forgottenUpTo - see {@link Lookup.forgottenUpTo}
 * @returns the outcome, and the tombstone to store when it applies
 */
export function decideRemove(state: ConversationState | undefined, remove: Remove, forgottenUpTo: number): RemoveDecision {
  const no = (outcome: RemoveOutcome): RemoveDecision => ({ apply: false, outcome });
  const earlier = remember(state, remove, forgottenUpTo);
  if (earlier.known === 'applied') return no({ kind: 'removed' });
  if (earlier.known === 'undecidable') return no({ kind: 'unknown' });
  if (!state || !isVisible(state, remove.now)) return no({ kind: 'missing' });
  if (remove.scoped && state.owner !== remove.owner) return no({ kind: 'forbidden' });
  if (state.hold) return no({ kind: 'held' });
  if (remove.expectedVersion !== undefined && remove.expectedVersion !== state.version) {
    return no({ kind: 'conflict', actualVersion: state.version });
  }
  const entry = { id: remove.writer.id, counter: remove.writer.counter, time: remove.now };
  return { apply: true, tombstone: buryState(state, remove.now, entry), outcome: { kind: 'removed' } };
}

/**
 * The tombstone of a conversation: its id, epoch, version and writers, and nothing of its owner or content.
 *
 * @param state - the conversation
 * @param now - time of the removal
 * @param entry - the remover, when a retry of the removal must recognise it
 */
export function buryState(state: ConversationState, now: number, entry?: WriterEntry): ConversationState {
  const ring = entry
    ? pushWriter(state, entry, true)
    : {
        writers: state.writers.map((w) => ({ id: w.id, counter: w.counter, time: w.time })),
        writersFloor: state.writersFloor,
      };
  return {
    id: state.id,
    epoch: state.epoch,
    version: state.version,
    createdAt: state.createdAt,
    updatedAt: state.updatedAt,
    hold: false,
    first: state.next,
    next: state.next,
    packedTo: state.next,
    bytes: 0,
    metadata: '{}',
    ...ring,
    removedAt: now,
  };
}

/**
 * The sequences a window means: `[from, to)`.
 *
 * @param extent - first and next sequence of the conversation
 * @param window - what was asked for
 */
export function resolveWindow(extent: { readonly first: number; readonly next: number }, window: Window): { from: number; to: number } {
  const { first, next } = extent;
  switch (window.kind) {
    case 'none':
      return { from: next, to: next };
    case 'all':
      return { from: first, to: next };
    case 'last':
      return { from: Math.max(first, next - window.count), to: next };
    case 'after': {
      const from = Math.max(first, window.seq + 1);
      const end = Math.min(next, window.before ?? next, from + window.limit);
      return { from, to: Math.max(from, end) };
    }
    case 'before': {
      const to = Math.max(first, Math.min(next, window.seq));
      return { from: Math.max(first, to - window.limit), to };
    }
  }
}

/**
 * Compares ids as UTF-8 bytes, the order every backend uses.
 *
 * @returns a negative number, 0 or a positive number
 */
export function compareIds(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // UTF-16 order differs from UTF-8 order only where a surrogate meets U+E000..U+FFFF: lift surrogates above them
    return (
      (x >= 0xd800 && x <= 0xdfff ? x + 0x2000 : x >= 0xe000 ? x - 0x800 : x) -
      (y >= 0xd800 && y <= 0xdfff ? y + 0x2000 : y >= 0xe000 ? y - 0x800 : y)
    );
  }
  return a.length - b.length;
}

/**
 * Compares places in a walk: time, then id.
 *
 * @returns a negative number, 0 or a positive number
 */
export function compareCursors(a: Cursor, b: Cursor): number {
  return a.at - b.at || compareIds(a.id, b.id);
}

/** Before every time a Date can hold: ids are never empty. */
export const EARLIEST: Cursor = { at: -9e15, id: '' };
/** Behind every time a Date can hold. */
export const LATEST: Cursor = { at: 9e15, id: '' };
