/**
 * The layout `document`: a row for each conversation, its messages in one array, as the two earlier implementations and the
 * document of this package have it. A write looks at its row, decides in this process, and stores if the row is still as it
 * was looked at: two trips, and no lock is held between them. Where the row has moved, where a write is repeated, and for
 * batches, the row is locked first, in a transaction of several trips.
 *
 * Every append writes the whole row anew: for long conversations use the layout `rows`.
 *
 * @module
 */
import type {
  Cursor,
  List,
  Pack,
  PackOutcome,
  Page,
  Purge,
  PurgeOutcome,
  Read,
  Remove,
  RemoveOutcome,
  StatsPage,
  StatsQuery,
  Stored,
  Trip,
  Write,
  WriteOutcome,
} from '../../driver.js';
import { OPERATIONS_KEPT, TOMBSTONE_MS } from '../../driver.js';
import { buryState, compareCursors, type ConversationState, decideRemove, decideWrite, EARLIEST, isVisible, LATEST } from '../../local.js';
import { sendBar } from './bar.js';
import type { Connections } from './client.js';
import {
  bytesOfElements,
  type DocumentRow,
  documentOf,
  elementOf,
  elementsFor,
  elementsOf,
  metadataText,
  operationOf,
  segmentElement,
  storedOf,
} from './document-state.js';
import { type Shape, shapeVariant } from './document-shape.js';
import type { Layout } from './layout.js';
import type { StoreNames } from './names.js';
import { type Row, textOf } from './records.js';
import { type Statement, Statements, type Variant } from './statements.js';

/** Headers of one page of a list, and of one with messages: they come whole. */
const PAGE = 1000;
const PAGE_WITH_MESSAGES = 50;
/** Headers one statistics page folds. */
const FOLD = 1000;
/** Conversations one purge ends at most: the statement carries their ids and what stays of them. */
const PURGE = 500;

/** An item of `documentUpdate` or `documentInsert`. */
interface Item {
  readonly id: string;
  readonly xmin?: string;
  readonly owner: string | undefined;
  /** Whether the old elements stay, but for `cut` behind the first `lead`. */
  readonly keep: boolean;
  readonly lead: number;
  readonly cut: number;
  /** New elements go where others were cut out, not to the end. */
  readonly packs: boolean;
  /** JSON texts. */
  readonly add: readonly string[];
  readonly metadata: string;
  readonly created: number;
  readonly updated: number;
  readonly hash?: string | undefined;
  readonly now?: number | undefined;
}

/** `add` and `metadata` are JSON texts already. */
function itemText(item: Item): string {
  const { add, metadata, ...rest } = item;
  return `${JSON.stringify(rest).slice(0, -1)},"add":[${add.join(',')}],"metadata":${metadata}}`;
}

interface Guards {
  readonly bars: ReadonlyMap<string, number>;
  readonly forgottenUpTo: number;
}

/** Sends a statement: by itself, or in a transaction. */
type Send = (statement: Statement, values: readonly unknown[]) => Promise<readonly Row[]>;

/** The layout `document` of one store. */
export class DocumentLayout implements Layout {
  readonly #connections: Connections;
  readonly #names: StoreNames;
  readonly #statements: Statements;
  readonly #shape: Variant;

  /** @param shape - of the table that is there */
  constructor(connections: Connections, names: StoreNames, shape: Shape) {
    this.#connections = connections;
    this.#names = names;
    this.#statements = new Statements(names);
    this.#shape = shapeVariant(shape);
  }

  #run(name: string, variant: Variant, values: readonly unknown[], trip: Trip): Promise<readonly Row[]> {
    return this.#connections.run(this.#statements.get(name, { ...this.#shape, ...variant }), values, trip);
  }

  #ask(send: Send, name: string, values: readonly unknown[], variant: Variant = {}): Promise<readonly Row[]> {
    return send(this.#statements.get(name, { ...this.#shape, ...variant }), values);
  }

  /** A transaction of ours; on a connection that is lent the caller's, or none. */
  #transaction<T>(work: (send: Send) => Promise<T>, trip: Trip): Promise<T> {
    return this.#connections.session(async (query) => {
      const send: Send = ({ text }, values) => query(text, values);
      if (this.#connections.borrowed) return work(send);
      await query('BEGIN');
      const result = await work(send);
      await query('COMMIT');
      return result;
    }, trip);
  }

  /**
   * Work on one row: without a lock first, then, when the row had moved (`undefined`), behind its lock.
   *
   * @param mustLock - for a repeated write: what it repeats may still be under way, and hold the lock
   * @param moved - the answer when the row has moved all the same (it can on a connection that is lent)
   */
  async #onRow<T>(mustLock: boolean, work: (send: Send, locks: boolean) => Promise<T | undefined>, moved: T, trip: Trip): Promise<T> {
    const end = performance.now() + trip.timeout;
    const left = (): Trip => ({ timeout: Math.max(1, end - performance.now()) });
    if (!mustLock && !this.#connections.borrowed) {
      const result = await work((statement, values) => this.#connections.run(statement, values, left()), false);
      if (result !== undefined) return result;
    }
    return (await this.#transaction((send) => work(send, true), left())) ?? moved;
  }

  /** Locks rows, then reads them as they are behind the lock. */
  async #lock(send: Send, ids: readonly string[], skip: boolean): Promise<ReadonlyMap<string, DocumentRow>> {
    const locked = await this.#ask(send, 'documentLook', [ids], { skip });
    return locked.length === 0
      ? new Map()
      : await this.#look(
          send,
          locked.map((row) => textOf(row['id'])),
        );
  }

  async #look(send: Send, ids: readonly string[]): Promise<ReadonlyMap<string, DocumentRow>> {
    const rows = await this.#ask(send, 'documentStates', [ids]);
    return new Map(rows.map((row) => [textOf(row['id']), documentOf(row)]));
  }

  async #rowOf(send: Send, id: string, locks: boolean): Promise<DocumentRow | undefined> {
    return (await (locks ? this.#lock(send, [id], false) : this.#look(send, [id]))).get(id);
  }

  async #guards(send: Send, hashes: readonly string[]): Promise<Guards> {
    const bars = new Map<string, number>();
    let forgottenUpTo = 0;
    for (const row of await this.#ask(send, 'documentBarred', [hashes])) {
      if (row['forgotten'] === null) bars.set(textOf(row['hash']), Number(row['until']));
      else forgottenUpTo = Number(row['forgotten']);
    }
    return { bars, forgottenUpTo };
  }

  async #store(send: Send, name: 'documentUpdate' | 'documentInsert', items: readonly Item[]): Promise<ReadonlySet<string>> {
    if (items.length === 0) return new Set();
    const list = `[${items.map(itemText).join(',')}]`;
    const rows = await this.#ask(send, name, name === 'documentInsert' ? [list] : [list, items.map(({ id }) => id)]);
    return new Set(rows.map((row) => textOf(row['id'])));
  }

  // ----------------------------------------------------------------------------------------------------------- writes

  async write(batch: readonly Write[], trip: Trip): Promise<readonly WriteOutcome[]> {
    const [first] = batch;
    if (first && batch.length === 1) {
      const outcome = await this.#onRow(first.retry === true, (send, locks) => this.#writeOne(send, first, locks), { kind: 'again' }, trip);
      return [outcome];
    }
    return await this.#transaction(async (send) => {
      const rows = await this.#lock(
        send,
        batch.map((write) => write.id),
        true,
      );
      const writes = batch.map((write) => ({ write, row: rows.get(write.id) }));
      // locked by another, or not there: alone that is told apart
      const found = writes.flatMap(({ write, row }) => (row ? [{ write, row }] : []));
      const outcomes = await this.#decideAll(send, found);
      return writes.map(({ write }) => outcomes.get(write.id) ?? { kind: 'busy' });
    }, trip);
  }

  async #writeOne(send: Send, write: Write, locks: boolean): Promise<WriteOutcome | undefined> {
    const row = await this.#rowOf(send, write.id, locks);
    return (await this.#decideAll(send, [{ write, row }])).get(write.id);
  }

  /** Decides and stores; a write whose row has moved since it was looked at has no outcome. */
  async #decideAll(
    send: Send,
    writes: readonly { readonly write: Write; readonly row: DocumentRow | undefined }[],
  ): Promise<ReadonlyMap<string, WriteOutcome>> {
    const hashes = writes.flatMap(({ write }) => write.ownerHash ?? []);
    const needed = hashes.length > 0 || writes.some(({ write, row }) => write.retry && !row);
    const guards: Guards = needed ? await this.#guards(send, hashes) : { bars: new Map(), forgottenUpTo: 0 };
    const outcomes = new Map<string, WriteOutcome>();
    const items: Item[] = [];
    for (const { write, row } of writes) {
      const [outcome, item] = await this.#decide(send, write, row, guards);
      outcomes.set(write.id, outcome);
      if (item) items.push(item);
    }
    const updated = await this.#store(
      send,
      'documentUpdate',
      items.filter((item) => item.xmin !== undefined),
    );
    const inserted = await this.#store(
      send,
      'documentInsert',
      items.filter((item) => item.xmin === undefined),
    );
    for (const { id } of items) if (!updated.has(id) && !inserted.has(id)) outcomes.delete(id);
    return outcomes;
  }

  async #decide(send: Send, write: Write, row: DocumentRow | undefined, guards: Guards): Promise<readonly [WriteOutcome, Item?]> {
    const trimmed = row ? await this.#trimmedBytes(send, write, row) : 0;
    const decision = decideWrite(row?.state, write, {
      operation: (hash) => {
        const found = row?.operations.find(([known]) => known === hash);
        if (!found) return undefined;
        const [, digest, version, messageCount, created] = found;
        return { digest, receipt: { version, messageCount, created } };
      },
      barred: (hash) => (guards.bars.get(hash) ?? 0) > write.now,
      bytesOf: () => trimmed,
      forgottenUpTo: guards.forgottenUpTo,
    });
    if (!decision.apply) return [decision.outcome];
    const { seq, newLife, outcome } = decision;
    const metadataBytes = Buffer.byteLength(decision.state.metadata);
    // what another program wrote was only estimated
    const state = { ...decision.state, bytes: Math.max(decision.state.bytes, metadataBytes) };
    const keep = row !== undefined && !newLife && write.kind === 'append';
    const segments = keep ? row.segments.filter(([, to]) => to > state.first) : [];
    const cut = keep ? row.segments.length - segments.length + Math.max(0, Math.min(state.first, row.state.next) - row.state.packedTo) : 0;
    const add = write.bodies.slice(Math.max(0, state.first - seq)).map(elementOf);
    const count = (keep ? row.count - cut : 0) + add.length;
    const earlier = row && !newLife ? row.operations : [];
    const operations = write.operation ? [...earlier, operationOf(write.operation, outcome.receipt)].slice(-OPERATIONS_KEPT) : earlier;
    const item: Item = {
      id: write.id,
      ...(row ? { xmin: row.xmin } : {}),
      owner: state.owner,
      keep,
      lead: 0,
      cut,
      packs: false,
      add,
      metadata: metadataText(state, count, segments, operations),
      created: state.createdAt,
      updated: state.updatedAt,
      hash: write.ownerHash,
      now: write.now,
    };
    return [outcome, item];
  }

  /** Bytes of what an append with `maxMessages` makes invisible; asked for before it is decided, because it takes a trip. */
  async #trimmedBytes(send: Send, write: Write, { state, segments }: DocumentRow): Promise<number> {
    if (write.kind !== 'append' || write.maxMessages === undefined || write.restore) return 0;
    const first = Math.min(state.next, Math.max(state.first, state.next + write.bodies.length - write.maxMessages));
    if (first <= state.first) return 0;
    let bytes = 0;
    for (const [, to, size] of segments) if (to > state.first && to <= first) bytes += size;
    if (first > state.packedTo) bytes += bytesOfElements(await this.#elements(send, state, segments.length, state.packedTo, first));
    return bytes;
  }

  /** The unpacked messages of these sequences. */
  async #elements(send: Send, state: ConversationState, segments: number, from: number, to: number): Promise<readonly unknown[]> {
    const base = segments - state.packedTo;
    const [row] = await this.#ask(send, 'documentElements', [state.id, base + from, base + to]);
    return elementsOf(row?.['elements']);
  }

  remove(remove: Remove, trip: Trip): Promise<RemoveOutcome> {
    const work = async (send: Send, locks: boolean): Promise<RemoveOutcome | undefined> => {
      const row = await this.#rowOf(send, remove.id, locks);
      const forgottenUpTo = row || !remove.retry ? 0 : (await this.#guards(send, [])).forgottenUpTo;
      const decision = decideRemove(row?.state, remove, forgottenUpTo);
      if (!decision.apply || !row) return decision.outcome;
      const stored = await this.#store(send, 'documentUpdate', [tombstoneItem(row, decision.tombstone)]);
      return stored.size === 1 ? decision.outcome : undefined;
    };
    return this.#onRow(remove.retry === true, work, { kind: 'busy' }, trip);
  }

  pack(pack: Pack, trip: Trip): Promise<PackOutcome> {
    const { id, epoch, from, to, data, now } = pack;
    if (typeof data !== 'string') return Promise.reject(new TypeError('a segment must be text'));
    const work = async (send: Send, locks: boolean): Promise<PackOutcome | undefined> => {
      const row = await this.#rowOf(send, id, locks);
      if (!row || !isVisible(row.state, now)) return 'stale';
      const { state, segments, operations, count } = row;
      if (state.epoch !== epoch || state.packedTo !== from || state.first > from || state.next < to) return 'stale';
      const unpacked = bytesOfElements(await this.#elements(send, state, segments.length, from, to));
      const size = Buffer.byteLength(data);
      const packed = { ...state, packedTo: to, bytes: Math.max(0, state.bytes - unpacked) + size };
      const stored = await this.#store(send, 'documentUpdate', [
        {
          id,
          xmin: row.xmin,
          owner: state.owner,
          keep: true,
          lead: segments.length,
          cut: to - from,
          packs: true,
          add: [segmentElement(from, to, data)],
          metadata: metadataText(packed, count - (to - from) + 1, [...segments, [from, to, size]], operations),
          created: state.createdAt,
          updated: state.updatedAt,
        },
      ]);
      return stored.size === 1 ? 'ok' : undefined;
    };
    return this.#onRow(false, work, 'stale', trip);
  }

  bar(ownerHash: string, until: number, trip: Trip): Promise<void> {
    return sendBar(this.#connections, this.#statements, this.#names, ownerHash, until, trip);
  }

  // ------------------------------------------------------------------------------------------------------------ reads

  async read(read: Read, trip: Trip): Promise<Stored | undefined> {
    const [row] = await this.#run('documentRead', {}, [elementsFor(read.window), read.id, read.now], trip);
    return row && storedOf(documentOf(row), row['elements'], read.window);
  }

  async list(list: List, trip: Trip): Promise<Page> {
    const asc = list.direction === 'asc';
    const limit = Math.min(list.limit, list.window.kind === 'none' ? PAGE : PAGE_WITH_MESSAGES);
    const after = list.after ?? (asc ? EARLIEST : LATEST);
    const owner = list.owner === undefined ? [] : [list.owner];
    const rows = await this.#run(
      'documentList',
      {
        owner: owner.length > 0,
        time: list.by === 'updated' ? 'updated' : 'created',
        direction: asc ? 'ASC' : 'DESC',
        behind: asc ? '>' : '<',
      },
      [elementsFor(list.window), list.now, after.at, after.id, limit + 1, list.since ?? null, list.until ?? null, ...owner],
      trip,
    );
    const items = rows.slice(0, limit).map((row) => storedOf(documentOf(row), row['elements'], list.window));
    const last = items.at(-1)?.header;
    if (rows.length <= limit) return { items };
    return { items, cursor: last ? { at: list.by === 'updated' ? last.updatedAt : last.createdAt, id: last.id } : after };
  }

  async stats(query: StatsQuery, trip: Trip): Promise<StatsPage> {
    const { at, id } = query.after ?? EARLIEST;
    const limit = Math.min(query.limit, FOLD);
    const owner = query.owner === undefined ? [] : [query.owner];
    const rows = await this.#run('documentStats', { owner: owner.length > 0 }, [query.now, at, id, limit + 1, ...owner], trip);
    const page = rows.slice(0, limit).map((row) => ({ state: documentOf(row).state, visible: row['visible'] === true }));
    const seen = page.filter(({ visible }) => visible).map(({ state }) => state);
    const last = page.at(-1)?.state;
    return {
      conversations: seen.length,
      messages: seen.reduce((sum, { first, next }) => sum + next - first, 0),
      bytes: seen.reduce((sum, { bytes }) => sum + bytes, 0),
      oldest: seen[0]?.createdAt,
      newest: seen.at(-1)?.createdAt,
      ...(rows.length > limit && last ? { cursor: { at: last.createdAt, id: last.id } } : {}),
    };
  }

  // ----------------------------------------------------------------------------------------------------------- purges

  async purge(purge: Purge, trip: Trip): Promise<PurgeOutcome> {
    const limit = Math.min(purge.limit, PURGE);
    if (purge.kind === 'reap') {
      const forget = purge.forget === true;
      const values = [purge.now, limit, forget ? Number.MAX_SAFE_INTEGER : purge.now - TOMBSTONE_MS];
      const [row] = await this.#run('documentReap', { grace: String(TOMBSTONE_MS), forget }, values, trip);
      return { removed: 0, messages: 0, bytes: 0, more: row?.['more'] === true };
    }
    return this.#transaction(async (send) => {
      const walked = await this.#walk(send, purge, limit);
      // nobody's conversation may be passed over when a user's go; what is being written is neither idle nor over
      const rows = await this.#lock(
        send,
        walked.map(({ id }) => id),
        purge.kind !== 'user',
      );
      const going = [...rows.values()].filter((row) => isDue(row.state, purge));
      const gone = await this.#end(send, going, purge);
      const counted = going.filter(({ state }) => gone.has(state.id) && (purge.kind === 'expired' || isVisible(state, purge.now)));
      const more = walked.length === limit && (purge.kind !== 'expired' || gone.size > 0);
      const cursor = walked.at(-1);
      return {
        removed: counted.length,
        messages: counted.reduce((sum, { state }) => sum + state.next - state.first, 0),
        bytes: counted.reduce((sum, { state }) => sum + state.bytes, 0),
        more,
        ...(more && cursor && purge.kind !== 'expired' ? { cursor } : {}),
      };
    }, trip);
  }

  async #walk(send: Send, purge: Exclude<Purge, { kind: 'reap' }>, limit: number): Promise<readonly Cursor[]> {
    const ask = async (name: string, values: readonly unknown[]): Promise<readonly Cursor[]> =>
      (await this.#ask(send, name, values)).map((row) => ({ at: Number(row['at']), id: textOf(row['id']) }));
    if (purge.kind === 'expired') return ask('documentExpired', [purge.now, limit, purge.owner ?? null]);
    const { at, id } = purge.after ?? EARLIEST;
    if (purge.kind === 'idle') return ask('documentIdle', [purge.owner ?? null, limit, at, id, purge.until]);
    return ask('documentUser', [purge.owner, limit, at, id, purge.upTo.at, purge.upTo.id]);
  }

  async #end(send: Send, going: readonly DocumentRow[], purge: Purge): Promise<ReadonlySet<string>> {
    if (purge.kind !== 'user' || !purge.forget) {
      return this.#store(
        send,
        'documentUpdate',
        going.map((row) => tombstoneItem(row, buryState(row.state, purge.now))),
      );
    }
    if (going.length === 0) return new Set();
    const items = going.map(({ xmin, state }) => ({ id: state.id, xmin }));
    const rows = await this.#ask(send, 'documentForget', [JSON.stringify(items), purge.now, items.map(({ id }) => id)]);
    return new Set(rows.map((row) => textOf(row['id'])));
  }
}

/** Whether a row is still one the purge is about, now that it is locked. */
function isDue(state: ConversationState, purge: Purge): boolean {
  if (state.removedAt !== undefined) return false;
  switch (purge.kind) {
    case 'expired':
      return state.expiresAt !== undefined && state.expiresAt <= purge.now;
    case 'idle':
      return !state.hold && state.updatedAt <= purge.until;
    case 'user':
      return (
        (purge.allowHold || !state.hold) &&
        state.owner === purge.owner &&
        compareCursors({ at: state.createdAt, id: state.id }, purge.upTo) <= 0
      );
    case 'reap':
      return false;
  }
}

function tombstoneItem(row: DocumentRow, tombstone: ConversationState): Item {
  return {
    id: tombstone.id,
    xmin: row.xmin,
    owner: undefined,
    keep: false,
    lead: 0,
    cut: 0,
    packs: false,
    add: [],
    metadata: metadataText(tombstone, 0, [], []),
    created: tombstone.createdAt,
    updated: tombstone.updatedAt,
  };
}
