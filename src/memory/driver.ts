/**
 * What a backend implements: {@link StorageDriver}, a small set of atomic storage primitives. Everything a user of the
 * memory can observe (validation, windows, ownership of handles, retries, batching, packing, errors) is written once in
 * the provider layer above it; a driver only decides and stores. docs/writing-a-driver.md is the guide.
 *
 * Rules for every driver:
 * - each method is one round trip and atomic; `open` alone may take more;
 * - outcomes that can be expected are returned, failures are thrown and told apart by `classify`;
 * - `now` comes from the caller; a driver reads a clock of its own only before it removes what has expired;
 * - bodies, segments and metadata are opaque: never parsed, never logged.
 *
 * @module
 */

/** How long a trip may take. */
export interface Trip {
  /** Milliseconds left of the caller's deadline. */
  readonly timeout: number;
}

/** What a backend can promise. */
export interface DriverCapabilities {
  /** What an acknowledged write survives: nothing, a crash of the process, loss of power, loss of the server. */
  readonly durability: 'none' | 'process' | 'power' | 'replicated';
  /** Whether several processes can use one store at the same time. */
  readonly shared: boolean;
  /** `deflate`: segments are compressed bytes; `text`: plain text (for stores that compress by themselves). */
  readonly segments: 'deflate' | 'text';
  /** Whether a batch may hold writes that begin or replace a conversation; when false the layer sends those alone. */
  readonly batchCreations: boolean;
  /** The connection belongs to the caller: no batching, no retries, one trip at a time. */
  readonly borrowed?: boolean;
}

/** One message as it is stored. */
export interface Body {
  /** JSON text of the message, well-formed Unicode: stored and returned as it is. */
  readonly text: string;
  /** UTF-8 length of `text`. */
  readonly bytes: number;
  /** The decoded, frozen message: a driver that keeps `Body` objects in memory may keep it, others ignore it. */
  value?: unknown;
}

/** Who writes: a provider instance and its running number. It makes retries exact. */
export interface WriterMark {
  /** Random for each provider instance. */
  readonly id: string;
  /** Grows with every write of this writer; a retry repeats it. */
  readonly counter: number;
}

/**
 * What is kept of a finished write so that a repetition can be answered: `version` and `messageCount` (visible messages) after
 * it, and whether it was `created` (began the conversation, or began it again after its end).
 */
export interface Receipt {
  readonly version: number;
  readonly messageCount: number;
  readonly created: boolean;
}

/** One write. `kind`: replace (`put`), add (`append`) or `restore` the conversation `id`. */
export interface Write {
  readonly kind: 'put' | 'append' | 'restore';
  readonly id: string;
  /** Caller's time of the call in ms; a retry repeats it. */
  readonly now: number;
  /** A retry repeats it: so the driver finds out whether an earlier attempt was applied. */
  readonly writer: WriterMark;
  /** An earlier attempt may have been applied. */
  readonly retry: boolean;
  /** The write comes from a handle limited to `owner`: conversations without an owner, or another's, are forbidden. */
  readonly scoped: boolean;
  /** The owner this write names. */
  readonly owner?: string | undefined;
  /** Keyed hash of `owner`, compared with the bars of erased users. */
  readonly ownerHash?: string | undefined;
  /** Replaces the stored trace id; absent leaves it (a new life then has none). */
  readonly trace?: string | undefined;
  /** Whether it may begin a conversation. */
  readonly create: boolean;
  /** 0 = must not exist. */
  readonly expectedVersion?: number | undefined;
  /** The caller's name for this write: hash of the name, digest of the content. */
  readonly operation?: { readonly hash: string; readonly digest: string } | undefined;
  /** In order. May be empty; an append then only changes the header. */
  readonly bodies: readonly Body[];
  /** JSON text of an object. `append` merges it per top-level key; `put` and `restore` replace; absent leaves it. */
  readonly metadata?: string | undefined;
  /** Legal hold after the write; absent leaves it. */
  readonly hold?: boolean | undefined;
  /** Milliseconds; null clears; absent renews with the stored duration. */
  readonly ttl?: number | null | undefined;
  /** Milliseconds for conversations whose ttl was never set or cleared. */
  readonly defaultTtl?: number | undefined;
  /** Of the conversation after the write only so many of the newest stay, unless it is under legal hold; absent = all. */
  readonly maxMessages?: number | undefined;
  /** Exact: `maxMessages`, `ttl` and `defaultTtl` do not apply, and metadata left out is `{}`. */
  readonly restore?:
    | {
        readonly createdAt: number;
        readonly updatedAt: number;
        readonly expiresAt?: number | undefined;
        readonly firstSeq: number;
        readonly onConflict: 'skip' | 'replace' | 'fail';
      }
    | undefined;
}

/**
 * Where a conversation stands after a write, enough for the layer to decide on packing without another trip: `epoch`, `first`,
 * `next` and `packedTo` of its {@link Header}.
 */
export interface Extent {
  readonly epoch: number;
  readonly first: number;
  readonly next: number;
  readonly packedTo: number;
}

/** What became of one write. */
export type WriteOutcome =
  /** Applied. `trimmed` messages fell to `maxMessages`; `evicted` conversations had to leave. */
  | {
      readonly kind: 'ok';
      readonly receipt: Receipt;
      readonly extent: Extent;
      readonly trimmed: number;
      readonly evicted?: readonly string[] | undefined;
    }
  /** An earlier attempt of this very write was applied. */
  | { readonly kind: 'repeated'; readonly receipt: Receipt }
  /** The caller's operation id was used before with the same content. */
  | { readonly kind: 'duplicate'; readonly receipt: Receipt }
  /** `restore` with `skip` found a conversation. */
  | { readonly kind: 'skipped'; readonly receipt: Receipt }
  | { readonly kind: 'missing' | 'forbidden' | 'held' | 'reused' | 'erased' }
  | { readonly kind: 'conflict'; readonly actualVersion: number }
  /** A store of limited size has no room, and nothing that may leave. */
  | { readonly kind: 'full' }
  /** Nothing was done: another writer holds it, or the driver takes this item alone only. The layer sends it again, alone. */
  | { readonly kind: 'busy' }
  /** Nothing was done: a race was lost; the layer sends it again at once. */
  | { readonly kind: 'again' }
  /** Nothing was done now, and whether an earlier attempt was applied cannot be decided any more. */
  | { readonly kind: 'unknown' };

/** What is stored about a conversation beside its bodies. */
export interface Header {
  /** Of the conversation. */
  readonly id: string;
  /** User id. Set by the first write that names one, then final; absent until then. */
  readonly owner?: string | undefined;
  /** As the last write that named one says. */
  readonly trace?: string | undefined;
  /** A life of the conversation: bodies are keyed by it, and a later life never has the same one. */
  readonly epoch: number;
  /** `max(version + 1, now)` at every write, over tombstones too: it grows over lives. */
  readonly version: number;
  /** Milliseconds; a restore sets it, no other write changes it. */
  readonly createdAt: number;
  /** Milliseconds of the last write; never goes back, unless a restore sets it. */
  readonly updatedAt: number;
  /** Milliseconds; null = cleared by a write; absent = never set. */
  readonly ttl?: number | null | undefined;
  /** Milliseconds; readers see the conversation while this is greater than their `now`. Absent = does not expire. */
  readonly expiresAt?: number | undefined;
  /** Legal hold: it may be appended to, but not replaced, trimmed, removed or evicted, and does not expire. */
  readonly hold: boolean;
  /** Sequence of the first visible message. */
  readonly first: number;
  /** Sequence the next message gets; `next - first` messages are visible. */
  readonly next: number;
  /** Messages before this sequence are in segments; never below `first`. */
  readonly packedTo: number;
  /** UTF-8 bytes of visible bodies, of segments that hold visible messages, and of metadata as compact JSON text. */
  readonly bytes: number;
  /** JSON text of an object. */
  readonly metadata: string;
}

/** Which messages to read. `from`/`to` style numbers are sequences; both bounds of a range are exclusive. */
export type Window =
  | { readonly kind: 'none' }
  | { readonly kind: 'all' }
  | { readonly kind: 'last'; readonly count: number }
  | { readonly kind: 'after'; readonly seq: number; readonly before?: number | undefined; readonly limit: number }
  | { readonly kind: 'before'; readonly seq: number; readonly limit: number };

/** Reads one conversation. */
export interface Read {
  /** The conversation. */
  readonly id: string;
  /** Caller's time in ms: what has expired by then is absent. */
  readonly now: number;
  /** Which of its messages to read. */
  readonly window: Window;
}

/** A run of messages in one body: sequences from `from` to before `to`. */
export interface Segment {
  readonly from: number;
  readonly to: number;
  /** As the capability `segments` says: bytes or text. */
  readonly data: Uint8Array | string;
}

/** A header and the part of the bodies a window asks for, from one snapshot. */
export interface Stored {
  /** As it was when the bodies were read. */
  readonly header: Header;
  /** In order of `seq`; only those not in a segment. */
  readonly bodies: readonly { readonly seq: number; readonly body: Body }[];
  /** Every segment that overlaps the window, in order. */
  readonly segments: readonly Segment[];
}

/**
 * A place in a walk, in order of time, then id (compared as UTF-8 bytes). `at`: `createdAt` or `updatedAt` in ms, whichever the
 * walk is by. The conversation `id` need not be there any more.
 */
export interface Cursor {
  readonly at: number;
  readonly id: string;
}

/** One page of a walk over visible conversations. */
export interface List {
  /** Caller's time in ms: what has expired by then is left out. */
  readonly now: number;
  /** Whether `updatedAt` or `createdAt` orders the walk. */
  readonly by: 'updated' | 'created';
  /** `asc`: oldest first, and ids ascending; `desc`: both the other way round. */
  readonly direction: 'asc' | 'desc';
  /** Exactly those this user owns; absent = all. */
  readonly owner?: string | undefined;
  /** On `updatedAt`, inclusive, whatever the walk is by. */
  readonly since?: number | undefined;
  /** As {@link since}: on `updatedAt`, inclusive. */
  readonly until?: number | undefined;
  /** Hints: a driver may leave out headers that do not match; the layer looks again. */
  readonly trace?: string | undefined;
  /** JSON text of an object the metadata must contain. */
  readonly metadata?: string | undefined;
  /** Continue behind this place. */
  readonly after?: Cursor | undefined;
  /** At most so many items (0 = none); a driver may answer fewer, also none, with a cursor. */
  readonly limit: number;
  /** Which messages of each conversation to bring along. */
  readonly window: Window;
}

/** What a list answers: `items` in order of the walk, and a `cursor` to continue behind; no cursor = there is no more. */
export interface Page {
  readonly items: readonly Stored[];
  readonly cursor?: Cursor | undefined;
}

/**
 * One page of totals, by creation time: of the conversations visible at `now` (ms), of all or of one `owner`, behind the place
 * `after` (absent = from the oldest).
 */
export interface StatsQuery {
  readonly now: number;
  readonly owner?: string | undefined;
  readonly after?: Cursor | undefined;
  /** Headers to fold at most. */
  readonly limit: number;
}

/** Totals of one page: visible `conversations`, their `messages`, and the sum of their header's `bytes`. Pages add up. */
export interface StatsPage {
  readonly conversations: number;
  readonly messages: number;
  readonly bytes: number;
  /** Creation time (ms) of the page's oldest visible conversation; absent when it has none. */
  readonly oldest?: number | undefined;
  /** As {@link oldest}, of the newest. */
  readonly newest?: number | undefined;
  /** Where to continue; absent = there is no more. */
  readonly cursor?: Cursor | undefined;
}

/**
 * Swaps the bodies from `from` to before `to` of the conversation `id` in its life `epoch` for one segment with the given `data`
 * (bytes or text, as the capability `segments` says). Changes nothing a reader can see, not even the version. `now`: caller's
 * time in ms.
 */
export interface Pack {
  readonly id: string;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly data: Uint8Array | string;
  readonly now: number;
}

/** `stale`: the conversation has another epoch, was packed or trimmed meanwhile (`packedTo` is not `from`), or is gone. */
export type PackOutcome = 'ok' | 'stale';

/** Removes the conversation `id`. */
export interface Remove {
  readonly id: string;
  /** Caller's time of the call in ms, kept as the time of the removal; a retry repeats it. */
  readonly now: number;
  /** A retry repeats it, and is answered `removed` when an earlier attempt was applied. */
  readonly writer: WriterMark;
  /** An earlier attempt may have been applied. */
  readonly retry: boolean;
  /** The removal comes from a handle limited to `owner`: any other owner, or none, is forbidden. */
  readonly scoped: boolean;
  /** The user of that handle; absent when not `scoped`. */
  readonly owner?: string | undefined;
  /** Remove only this version; absent = any. */
  readonly expectedVersion?: number | undefined;
}

/** What became of a removal. */
export type RemoveOutcome =
  | { readonly kind: 'removed' | 'missing' | 'forbidden' | 'held' | 'busy' | 'unknown' }
  | { readonly kind: 'conflict'; readonly actualVersion: number };

/**
 * One bounded batch of removals.
 * - `user`: everything of an owner up to a place (inclusive) in creation order, expired conversations too, but those are
 *   not counted; with `forget` bodies and operation ids go at once and no tombstone stays (erasure: the id itself may name
 *   the user; a bar keeps late writes out), so a new life begins with `version = now`;
 * - `expired`: what is over by `now` and by the driver's own clock;
 * - `idle`: what was last written at or before `until` (inclusive);
 * - `reap`: bodies nothing refers to any more, bars that have ended, and tombstones past {@link TOMBSTONE_MS}; it answers
 *   `removed: 0`. With `forget` (erasure) tombstones of any age, and nothing is left out because another works on it; a retry
 *   that needed one of them is then undecidable (`unknown`), never applied twice.
 * Legal holds are passed over, unless `allowHold`.
 */
export type Purge = { readonly now: number; readonly limit: number } & (
  | {
      readonly kind: 'user';
      readonly owner: string;
      readonly upTo: Cursor;
      readonly after?: Cursor | undefined;
      readonly allowHold: boolean;
      readonly forget: boolean;
    }
  | { readonly kind: 'expired'; readonly owner?: string | undefined }
  | { readonly kind: 'idle'; readonly until: number; readonly owner?: string | undefined; readonly after?: Cursor | undefined }
  | { readonly kind: 'reap'; readonly forget?: boolean | undefined }
);

/**
 * What a purge batch removed. `removed` counts conversations that were visible (`expired`: that were over), `messages` and
 * `bytes` what their headers said. `more`: another batch is needed, from `cursor` where one is given.
 */
export interface PurgeOutcome {
  readonly removed: number;
  readonly messages: number;
  readonly bytes: number;
  readonly more: boolean;
  /** Where to continue (`user`: creation order, `idle`: order of last write). */
  readonly cursor?: Cursor | undefined;
}

/**
 * What `ping` answers. `message`: one sentence for people, without credentials. `metrics`: plain numbers, open connections and
 * bytes of memory under the names given here where they are known, anything else under names of the driver's own.
 */
export interface DriverHealth {
  readonly message: string;
  readonly metrics: { readonly activeConnections?: number; readonly memoryUsage?: number; readonly [k: string]: number | undefined };
  /** Settings that put the data at risk, each with what to do. */
  readonly warnings?: readonly string[];
  /** The server's clock (ms), where it has one of its own. */
  readonly serverTime?: number;
  /** Version of what is stored, for people. */
  readonly schema?: string;
}

/** One bounded page of a search for stored data that no conversation refers to, and that no reap would find. */
export interface Inspect {
  /** Where to continue: the driver's own text, as it was answered; absent = from the beginning. */
  readonly after?: string | undefined;
  /** Conversations or pieces to look at, at most. */
  readonly limit: number;
  /** Hands what is found to the next reap, or takes it out of the indexes. */
  readonly fix: boolean;
}

/** What a page of {@link Inspect} found; no `after` = there is no more. */
export interface Inspection {
  /** Conversations, or lives of one, that were looked at. */
  readonly looked: number;
  /** Those of them that are not there. */
  readonly orphans: number;
  readonly after?: string | undefined;
}

/** What a failure means. */
export interface Classified {
  /**
   * - `refused`: no connection, nothing was sent; `lost`, `timeout`: it may have been applied;
   * - `retryable`: not applied, try again (locked file, cluster moving);
   * - `storage`: not applied, trying again does not help; `corrupt`: stored data is damaged; `unreplicated`: applied, but
   *   not on enough replicas;
   * - `config`: the store cannot be used as configured.
   */
  readonly kind: 'refused' | 'lost' | 'timeout' | 'retryable' | 'storage' | 'corrupt' | 'unreplicated' | 'config';
  /** For people; never content, parameters or credentials. */
  readonly reason: string;
}

/** What `open` answers. */
export interface StoreInfo {
  /** A random secret made once for this store (hex): keys the hashes of user ids. */
  readonly key: string;
}

/** Where a store is, in the words of telemetry; a field is absent where it is not known. Never credentials. */
export interface StoreTarget {
  /** Of the database: its name, number or file. */
  readonly namespace?: string;
  /** The table. */
  readonly collection?: string;
  /** Host name, address, or folder of a socket; absent where there are several servers. */
  readonly address?: string;
  /** At that address. */
  readonly port?: number;
}

/** A removed conversation leaves a tombstone for this long (ms), so that late retries find it: longer than any deadline. */
export const TOMBSTONE_MS = 600_000;
/** So many of the newest writers of a conversation have their last receipt kept. */
export const WRITERS_KEPT = 16;
/** So many of a conversation's newest caller operations are kept. */
export const OPERATIONS_KEPT = 64;

/** The storage primitives a backend implements. See the rules at the top of this file. */
export interface StorageDriver {
  /** Of the backend, for errors and events, e.g. `sqlite`. */
  readonly name: string;
  /** Version of this interface. */
  readonly contract: 1;
  /** Asked for when the provider is made and while it works: must not change. */
  readonly capabilities: DriverCapabilities;
  /** Optional: for spans and metrics. */
  readonly target?: StoreTarget | undefined;
  /** Connects and migrates; idempotent. */
  open(): Promise<StoreInfo>;
  /** Lets go of the store; called once, also when `open` never succeeded. A client that was passed in stays open. */
  close(): Promise<void>;
  /** Reads only. */
  ping(trip: Trip): Promise<DriverHealth>;
  /** Writes of different conversations; each atomic alone, outcomes in the same order. */
  write(batch: readonly Write[], trip: Trip): Promise<readonly WriteOutcome[]>;
  /**
   * Optional, for a driver without I/O: does at once what {@link write} does with this write alone. The layer then spares the
   * queue, its deadline and its promises.
   */
  writeNow?(write: Write): WriteOutcome;
  /** Swaps bodies for a segment if the conversation still is where the caller saw it; see {@link Pack}. */
  pack(pack: Pack, trip: Trip): Promise<PackOutcome>;
  /** Header and messages of one conversation from one snapshot; `undefined` when there is none or it has expired. */
  read(read: Read, trip: Trip): Promise<Stored | undefined>;
  /** One page of a walk over visible conversations; see {@link List}. */
  list(list: List, trip: Trip): Promise<Page>;
  /** One page of totals; see {@link StatsQuery}. */
  stats(query: StatsQuery, trip: Trip): Promise<StatsPage>;
  /** Makes a conversation a tombstone; its bodies may stay until they are reaped. */
  remove(remove: Remove, trip: Trip): Promise<RemoveOutcome>;
  /** One bounded batch of removals; see {@link Purge}. The caller repeats while `more`. */
  purge(purge: Purge, trip: Trip): Promise<PurgeOutcome>;
  /**
   * Refuses writes that carry this owner hash (`erased`) while their `now` is before the given time; writes already under way
   * included. An earlier bar that lasts longer stays. The time 0 lifts every bar of this hash.
   */
  bar(ownerHash: string, until: number, trip: Trip): Promise<void>;
  /**
   * Optional, for a store whose files may still hold what was removed (a write-ahead log): afterwards they do not. Called when an
   * erasure has removed everything. Fails as `retryable` while another process keeps it from doing so.
   */
  scrub?(trip: Trip): Promise<void>;
  /** Optional: one page of {@link Inspect}. Without `fix` it reads only. */
  inspect?(inspect: Inspect, trip: Trip): Promise<Inspection>;
  /** Never throws. */
  classify(error: unknown): Classified;
}
