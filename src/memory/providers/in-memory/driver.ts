/**
 * The in-memory driver: nothing survives the process, everything else is as on every backend.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import {
  type Classified,
  type Cursor,
  type DriverCapabilities,
  type DriverHealth,
  type List,
  type Pack,
  type PackOutcome,
  type Page,
  type Purge,
  type PurgeOutcome,
  type Read,
  type Remove,
  type RemoveOutcome,
  type StatsPage,
  type StatsQuery,
  type StorageDriver,
  type Stored,
  type StoreInfo,
  TOMBSTONE_MS,
  type Write,
  type WriteOutcome,
} from '../../driver.js';
import { buryState, compareCursors, type ConversationState, decideRemove, decideWrite, isVisible, type Lookup } from '../../local.js';
import { StoredConversation } from './conversation.js';
import { Ordered } from './ordered.js';

/** Tombstones kept at most; what is dropped early raises the floor below which a retry cannot be decided. */
const TOMBSTONES = 10_000;

/** The indexes of all conversations, or of one owner's. */
class Indexes {
  readonly updated: Ordered<StoredConversation> = new Ordered();
  readonly created: Ordered<StoredConversation> = new Ordered();
}

/** Keeps everything in this process. */
export class InMemoryDriver implements StorageDriver {
  readonly name = 'memory';
  readonly contract = 1;
  readonly capabilities: DriverCapabilities = { durability: 'none', shared: false, segments: 'deflate', batchCreations: true };
  readonly #maxConversations: number;
  readonly #clock: () => number;
  readonly #key = randomBytes(32).toString('hex');
  /** In order of last write: the first one is the next to leave. */
  readonly #conversations = new Map<string, StoredConversation>();
  /** Under legal hold: never evicted. */
  readonly #held = new Map<string, StoredConversation>();
  readonly #expiring = new Set<StoredConversation>();
  readonly #tombstones = new Map<string, ConversationState>();
  #forgottenUpTo = 0;
  readonly #bars = new Map<string, number>();
  readonly #all = new Indexes();
  readonly #owners = new Map<string, Indexes>();
  /** Written since somebody last listed by time of last write. */
  readonly #moved = new Set<StoredConversation>();

  /**
   * @param maxConversations - beyond it the least recently written conversation leaves
   * @param clock - the store's own clock, for sweeps
   */
  constructor(maxConversations: number = Number.POSITIVE_INFINITY, clock: () => number = Date.now) {
    this.#maxConversations = maxConversations;
    this.#clock = clock;
  }

  /** Whether a sweep may have something to do, now or later. */
  get mayExpire(): boolean {
    return this.#expiring.size > 0;
  }

  async open(): Promise<StoreInfo> {
    return { key: this.#key };
  }

  async close(): Promise<void> {
    // the memory is let go of with the provider
  }

  async ping(): Promise<DriverHealth> {
    const conversations = this.#conversations.size + this.#held.size;
    return {
      message: `${conversations} conversations in memory, lost when the process ends`,
      metrics: { activeConnections: 0, memoryUsage: process.memoryUsage().heapUsed, conversations },
    };
  }

  async write(batch: readonly Write[]): Promise<readonly WriteOutcome[]> {
    return batch.map((write) => this.writeNow(write));
  }

  writeNow(write: Write): WriteOutcome {
    const stored = this.#get(write.id);
    const look: Lookup = {
      operation: (hash) => stored?.operations.get(hash),
      barred: (hash) => (this.#bars.get(hash) ?? 0) > write.now,
      forgottenUpTo: this.#forgottenUpTo,
    };
    const decision = decideWrite(stored?.state ?? this.#tombstones.get(write.id), write, look);
    if (!decision.apply) return decision.outcome;
    const { state, seq, newLife } = decision;
    let evicted: string[] | undefined;
    if (!stored) {
      evicted = this.#makeRoom(write.now);
      if (!evicted) return { kind: 'full' };
    }
    this.#tombstones.delete(write.id);
    const conversation = stored ?? new StoredConversation(state);
    const before = stored?.state;
    conversation.apply(state, seq, write.bodies, newLife);
    if (write.operation) conversation.remember(write.operation.hash, { digest: write.operation.digest, receipt: decision.outcome.receipt });
    this.#place(conversation, before);
    return evicted && evicted.length > 0 ? { ...decision.outcome, evicted } : decision.outcome;
  }

  #get(id: string): StoredConversation | undefined {
    return this.#conversations.get(id) ?? this.#held.get(id);
  }

  /** Evicts until one more fits; undefined when legal holds leave no room. */
  #makeRoom(now: number): string[] | undefined {
    const evicted: string[] = [];
    while (this.#conversations.size + this.#held.size >= this.#maxConversations) {
      const oldest = this.#conversations.values().next().value;
      if (!oldest) return undefined;
      if (isVisible(oldest.state, now)) evicted.push(oldest.state.id);
      this.#drop(oldest);
      this.#bury(buryState(oldest.state, now));
    }
    return evicted;
  }

  /** Brings maps and indexes up to date after a write. */
  #place(conversation: StoredConversation, before: ConversationState | undefined): void {
    const { state } = conversation;
    if (before?.hold !== true || !state.hold) {
      if (before) (before.hold ? this.#held : this.#conversations).delete(state.id);
      (state.hold ? this.#held : this.#conversations).set(state.id, conversation);
    }
    if (state.expiresAt !== undefined) this.#expiring.add(conversation);
    else if (before?.expiresAt !== undefined) this.#expiring.delete(conversation);
    if (before && before.owner === state.owner && before.createdAt === state.createdAt) {
      this.#moved.add(conversation);
      return;
    }
    if (before) this.#unindex(conversation, before);
    conversation.indexedUpdatedAt = state.updatedAt;
    for (const indexes of this.#indexesOf(state.owner)) {
      indexes.created.insert({ at: state.createdAt, id: state.id }, conversation);
      indexes.updated.insert({ at: state.updatedAt, id: state.id }, conversation);
    }
  }

  #indexesOf(owner: string | undefined): Indexes[] {
    if (owner === undefined) return [this.#all];
    let indexes = this.#owners.get(owner);
    if (!indexes) {
      indexes = new Indexes();
      this.#owners.set(owner, indexes);
    }
    return [this.#all, indexes];
  }

  #unindex(conversation: StoredConversation, { id, owner, createdAt }: ConversationState): void {
    for (const indexes of this.#indexesOf(owner)) {
      indexes.created.delete({ at: createdAt, id });
      indexes.updated.delete({ at: conversation.indexedUpdatedAt, id });
      if (indexes !== this.#all && indexes.created.isEmpty && owner !== undefined) this.#owners.delete(owner);
    }
    this.#moved.delete(conversation);
  }

  #drop(conversation: StoredConversation): void {
    const { state } = conversation;
    this.#conversations.delete(state.id);
    this.#held.delete(state.id);
    this.#expiring.delete(conversation);
    this.#unindex(conversation, state);
  }

  #bury(tombstone: ConversationState): void {
    this.#tombstones.delete(tombstone.id);
    this.#tombstones.set(tombstone.id, tombstone);
    if (this.#tombstones.size <= TOMBSTONES) return;
    const [id, oldest] = this.#tombstones.entries().next().value as [string, ConversationState];
    this.#tombstones.delete(id);
    this.#forgottenUpTo = Math.max(this.#forgottenUpTo, oldest.removedAt ?? 0);
  }

  async pack({ id, epoch, from, to, data }: Pack): Promise<PackOutcome> {
    const stored = this.#get(id);
    if (!stored || stored.state.epoch !== epoch || stored.state.packedTo !== from || stored.state.first > from || to > stored.state.next)
      return 'stale';
    stored.pack(from, to, data);
    return 'ok';
  }

  async read({ id, now, window }: Read): Promise<Stored | undefined> {
    const stored = this.#get(id);
    return stored && isVisible(stored.state, now) ? stored.read(window) : undefined;
  }

  async list({ now, by, direction, owner, since, until, after, limit, window }: List): Promise<Page> {
    const index = this.#index(owner, by);
    const items: Stored[] = [];
    let last: Cursor | undefined;
    for (const conversation of index?.walk(startOf(by, direction, since, until, after), direction === 'desc') ?? []) {
      const { state } = conversation;
      if (items.length === limit) return { items, cursor: last };
      last = { at: by === 'created' ? state.createdAt : state.updatedAt, id: state.id };
      if (
        by === 'updated' &&
        (direction === 'desc' ? since !== undefined && state.updatedAt < since : until !== undefined && state.updatedAt > until)
      )
        break;
      if (!isVisible(state, now)) continue;
      if ((since !== undefined && state.updatedAt < since) || (until !== undefined && state.updatedAt > until)) continue;
      items.push(conversation.read(window));
    }
    return { items };
  }

  #index(owner: string | undefined, by: List['by']): Ordered<StoredConversation> | undefined {
    if (by === 'updated') this.#reindexMoved();
    const indexes = owner === undefined ? this.#all : this.#owners.get(owner);
    return by === 'created' ? indexes?.created : indexes?.updated;
  }

  #reindexMoved(): void {
    for (const conversation of this.#moved) {
      const { id, owner, updatedAt } = conversation.state;
      if (updatedAt === conversation.indexedUpdatedAt) continue;
      for (const indexes of this.#indexesOf(owner)) {
        indexes.updated.delete({ at: conversation.indexedUpdatedAt, id });
        indexes.updated.insert({ at: updatedAt, id }, conversation);
      }
      conversation.indexedUpdatedAt = updatedAt;
    }
    this.#moved.clear();
  }

  async stats({ now, owner, after, limit }: StatsQuery): Promise<StatsPage> {
    const total = {
      conversations: 0,
      messages: 0,
      bytes: 0,
      oldest: undefined as number | undefined,
      newest: undefined as number | undefined,
    };
    let seen = 0;
    let last: Cursor | undefined;
    for (const conversation of this.#index(owner, 'created')?.walk(after, false) ?? []) {
      const { state } = conversation;
      if (seen++ === limit) return { ...total, cursor: last };
      last = { at: state.createdAt, id: state.id };
      if (!isVisible(state, now)) continue;
      total.conversations++;
      total.messages += state.next - state.first;
      total.bytes += conversation.bytes;
      total.oldest ??= state.createdAt;
      total.newest = state.createdAt;
    }
    return total;
  }

  async remove(remove: Remove): Promise<RemoveOutcome> {
    const stored = this.#get(remove.id);
    const decision = decideRemove(stored?.state ?? this.#tombstones.get(remove.id), remove, this.#forgottenUpTo);
    if (decision.apply) {
      if (stored) this.#drop(stored);
      this.#bury(decision.tombstone);
    }
    return decision.outcome;
  }

  async purge(purge: Purge): Promise<PurgeOutcome> {
    switch (purge.kind) {
      case 'reap':
        return this.#reap(purge.now, purge.forget === true);
      case 'expired': {
        const over = Math.min(purge.now, this.#clock());
        const matches = (c: StoredConversation): boolean =>
          (c.state.expiresAt ?? Number.POSITIVE_INFINITY) <= over && (purge.owner === undefined || c.state.owner === purge.owner);
        return this.#removeAll(this.#expiring, purge, matches, undefined, () => true);
      }
      case 'idle':
        return this.#removeAll(
          this.#index(purge.owner, 'updated')?.walk(purge.after, false) ?? [],
          purge,
          (c) => !c.state.hold,
          (c) => ({ at: c.state.updatedAt, id: c.state.id }),
          (c) => c.state.updatedAt <= purge.until,
        );
      case 'user':
        return this.#removeAll(
          this.#index(purge.owner, 'created')?.walk(purge.after, false) ?? [],
          purge,
          (c) => purge.allowHold || !c.state.hold,
          (c) => ({ at: c.state.createdAt, id: c.state.id }),
          ({ state }) => compareCursors({ at: state.createdAt, id: state.id }, purge.upTo) <= 0,
        );
    }
  }

  /** Removes what matches of a walk, looking at `limit` conversations at most, while `within` holds. */
  #removeAll(
    walk: Iterable<StoredConversation>,
    purge: Purge,
    matches: (c: StoredConversation) => boolean,
    cursorOf: ((c: StoredConversation) => Cursor) | undefined,
    within: (c: StoredConversation) => boolean,
  ): PurgeOutcome {
    const going: StoredConversation[] = [];
    let cursor: Cursor | undefined;
    let more = false;
    let seen = 0;
    for (const conversation of walk) {
      if (!within(conversation)) break;
      if ((cursorOf ? seen : going.length) === purge.limit) {
        more = true;
        break;
      }
      seen++;
      cursor = cursorOf?.(conversation);
      if (matches(conversation)) going.push(conversation);
    }
    const forget = purge.kind === 'user' && purge.forget;
    const total = { removed: 0, messages: 0, bytes: 0 };
    for (const conversation of going) {
      const { state } = conversation;
      if (purge.kind === 'expired' || isVisible(state, purge.now)) {
        total.removed++;
        total.messages += state.next - state.first;
        total.bytes += conversation.bytes;
      }
      this.#drop(conversation);
      if (forget) {
        this.#tombstones.delete(state.id);
        this.#forgottenUpTo = Math.max(this.#forgottenUpTo, purge.now);
      } else this.#bury(buryState(state, purge.now));
    }
    return { ...total, more, cursor };
  }

  #reap(now: number, forget: boolean): PurgeOutcome {
    for (const [id, { removedAt = 0 }] of this.#tombstones) {
      if (!forget && removedAt + TOMBSTONE_MS > Math.min(now, this.#clock())) break;
      if (forget) this.#forgottenUpTo = Math.max(this.#forgottenUpTo, removedAt, now);
      this.#tombstones.delete(id);
    }
    for (const [hash, until] of this.#bars) if (until <= now) this.#bars.delete(hash);
    return { removed: 0, messages: 0, bytes: 0, more: false };
  }

  async bar(ownerHash: string, until: number): Promise<void> {
    if (until === 0) this.#bars.delete(ownerHash);
    else this.#bars.set(ownerHash, Math.max(until, this.#bars.get(ownerHash) ?? 0));
  }

  classify(error: unknown): Classified {
    return { kind: 'storage', reason: error instanceof Error ? error.name : 'an unknown failure' };
  }
}

/** Where a walk can begin: at the cursor, or beyond the time bound of its side. */
function startOf(
  by: List['by'],
  direction: List['direction'],
  since: number | undefined,
  until: number | undefined,
  after: Cursor | undefined,
): Cursor | undefined {
  if (after || by === 'created') return after;
  if (direction === 'asc') return since === undefined ? undefined : { at: since, id: '' };
  return until === undefined ? undefined : { at: until + 1, id: '' };
}
