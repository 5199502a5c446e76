/**
 * A complete storage driver in one file: one JSON file per conversation, in a folder, for one process at a time.
 *
 * It is small on purpose: every write rewrites its conversation's file, so it suits short conversations. What it shows is
 * how little is left to do when the decisions come from `jaf/memory`: read, decide, write a new file, rename it.
 * docs/writing-a-driver.md walks through it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  buryState,
  type Classified,
  compareCursors,
  type ConversationState,
  type Cursor,
  decideRemove,
  decideWrite,
  type DriverHealth,
  isVisible,
  type List,
  type Lookup,
  OPERATIONS_KEPT,
  type Pack,
  type PackOutcome,
  type Page,
  type Purge,
  type PurgeOutcome,
  type Read,
  type Receipt,
  type Remove,
  type RemoveOutcome,
  resolveWindow,
  type Segment,
  type StatsPage,
  type StatsQuery,
  type StorageDriver,
  type Stored,
  type StoreInfo,
  TOMBSTONE_MS,
  type Window,
  type Write,
  type WriteOutcome,
} from 'jaf/memory';

/** What a file holds: a conversation, or the tombstone of one. */
interface Content {
  readonly state: ConversationState;
  /** Messages that are not in a segment, in order. */
  readonly bodies: readonly { readonly seq: number; readonly text: string }[];
  readonly segments: readonly Segment[];
  /** The caller's operations of this life, oldest first. */
  readonly operations: readonly { readonly hash: string; readonly digest: string; readonly receipt: Receipt }[];
}

/** What belongs to no conversation. */
interface Settings {
  readonly key: string;
  /** Hash of an erased user → until when their writes are refused. */
  readonly bars: Readonly<Record<string, number>>;
  /** Latest time a tombstone was dropped before its time. */
  readonly forgottenUpTo?: number;
}

const SETTINGS = 'settings.json';

/** Options of {@link createFileDriver}. */
export interface FileDriverOptions {
  /** Made when it is not there. One process may use it at a time. */
  readonly folder: string;
  /** The driver's own clock, in milliseconds; default `Date.now`. */
  readonly clock?: (() => number) | undefined;
}

/**
 * Makes a driver that keeps each conversation in a file of its own.
 *
 * @param options - see {@link FileDriverOptions}
 * @example
 * const provider = createProvider(createFileDriver({ folder: './conversations' }));
 */
export function createFileDriver(options: FileDriverOptions): StorageDriver {
  return new FileDriver(options);
}

class FileDriver implements StorageDriver {
  readonly name = 'file';
  readonly contract = 1;
  // a rename survives a crash of the process; for the power there would have to be an fsync of file and folder
  readonly capabilities = { durability: 'process', shared: false, segments: 'text', batchCreations: true } as const;
  readonly #folder: string;
  readonly #clock: () => number;
  #settings: Settings = { key: '', bars: {} };
  /** The state of every file, so that lists need not read them all. Changed only after the file is. */
  readonly #states = new Map<string, ConversationState>();
  #last: Promise<unknown> = Promise.resolve();

  constructor({ folder, clock = Date.now }: FileDriverOptions) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** One operation after the other: what makes read, decide and write one step. */
  #alone<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation);
    this.#last = result.catch(() => undefined);
    return result;
  }

  // ---------------------------------------------------------------------------------------------------------- files

  #path(id: string): string {
    // an id may hold any character and be longer than a file name
    return join(this.#folder, `${createHash('sha256').update(id).digest('hex')}.json`);
  }

  async #load(id: string): Promise<Content | undefined> {
    if (!this.#states.has(id)) return undefined;
    return JSON.parse(await readFile(this.#path(id), 'utf8')) as Content;
  }

  async #save(content: Content): Promise<void> {
    await replaceFile(this.#path(content.state.id), content);
    this.#states.set(content.state.id, content.state);
  }

  async #bury(tombstone: ConversationState): Promise<void> {
    await this.#save({ state: tombstone, bodies: [], segments: [], operations: [] });
  }

  async #forget(id: string): Promise<void> {
    await rm(this.#path(id));
    this.#states.delete(id);
  }

  open(): Promise<StoreInfo> {
    return this.#alone(async () => {
      if (this.#settings.key === '') await this.#openFolder();
      return { key: this.#settings.key };
    });
  }

  async #openFolder(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const names = await readdir(this.#folder);
    for (const name of names) {
      const path = join(this.#folder, name);
      if (name.endsWith('.tmp')) await rm(path);
      else if (name.endsWith('.json') && name !== SETTINGS) {
        const { state } = JSON.parse(await readFile(path, 'utf8')) as Content;
        this.#states.set(state.id, state);
      }
    }
    const settings = join(this.#folder, SETTINGS);
    if (names.includes(SETTINGS)) this.#settings = JSON.parse(await readFile(settings, 'utf8')) as Settings;
    else await this.#saveSettings({ key: randomBytes(32).toString('hex'), bars: {} });
  }

  async #saveSettings(settings: Settings): Promise<void> {
    await replaceFile(join(this.#folder, SETTINGS), settings);
    this.#settings = settings;
  }

  async close(): Promise<void> {
    await this.#last;
  }

  async ping(): Promise<DriverHealth> {
    return { message: `${this.#states.size} files in ${this.#folder}`, metrics: { files: this.#states.size } };
  }

  // --------------------------------------------------------------------------------------------------------- writes

  write(batch: readonly Write[]): Promise<readonly WriteOutcome[]> {
    return this.#alone(async () => {
      const outcomes: WriteOutcome[] = [];
      for (const write of batch) outcomes.push(await this.#write(write));
      return outcomes;
    });
  }

  async #write(write: Write): Promise<WriteOutcome> {
    const old = await this.#load(write.id);
    const look: Lookup = {
      operation: (hash) => old?.operations.find((operation) => operation.hash === hash),
      barred: (hash) => (this.#settings.bars[hash] ?? 0) > write.now,
      bytesOf: (from, to) => (old ? bytesOf(old, from, to) : 0),
      forgottenUpTo: this.#settings.forgottenUpTo ?? 0,
    };
    const decision = decideWrite(old?.state, write, look);
    if (!decision.apply) return decision.outcome;

    const { state, newLife, seq, outcome } = decision;
    const kept = newLife ? undefined : old;
    const added = write.bodies.map(({ text }, n) => ({ seq: seq + n, text }));
    const operations = [...(kept?.operations ?? [])];
    if (write.operation) operations.push({ ...write.operation, receipt: outcome.receipt });
    await this.#save({
      state,
      // what lies below `first` is not written again: this driver has no leftovers to reap
      bodies: [...(kept?.bodies ?? []), ...added].filter((body) => body.seq >= state.first),
      segments: (kept?.segments ?? []).filter((segment) => segment.to > state.first),
      operations: operations.slice(-OPERATIONS_KEPT),
    });
    return outcome;
  }

  pack({ id, epoch, from, to, data }: Pack): Promise<PackOutcome> {
    return this.#alone(async () => {
      const old = await this.#load(id);
      const state = old?.state;
      if (!old || !state || state.removedAt !== undefined) return 'stale';
      if (state.epoch !== epoch || state.packedTo !== from || state.first > from || to > state.next) return 'stale';
      await this.#save({
        ...old,
        state: { ...state, packedTo: to, bytes: state.bytes - bytesOf(old, from, to) + sizeOf(data) },
        bodies: old.bodies.filter(({ seq }) => seq >= to),
        segments: [...old.segments, { from, to, data }],
      });
      return 'ok';
    });
  }

  remove(remove: Remove): Promise<RemoveOutcome> {
    return this.#alone(async () => {
      const decision = decideRemove(this.#states.get(remove.id), remove, 0);
      if (decision.apply) await this.#bury(decision.tombstone);
      return decision.outcome;
    });
  }

  bar(ownerHash: string, until: number): Promise<void> {
    return this.#alone(() => {
      const { bars } = this.#settings;
      // 0 lifts it
      return this.#saveSettings({
        ...this.#settings,
        bars: { ...bars, [ownerHash]: until === 0 ? 0 : Math.max(until, bars[ownerHash] ?? 0) },
      });
    });
  }

  // ---------------------------------------------------------------------------------------------------------- reads

  read({ id, now, window }: Read): Promise<Stored | undefined> {
    return this.#alone(async () => {
      const state = this.#states.get(id);
      return state && isVisible(state, now) ? this.#stored(id, window) : undefined;
    });
  }

  async #stored(id: string, window: Window): Promise<Stored> {
    const content = await this.#load(id);
    if (!content) throw new Error('a state without a file');
    const { state, bodies, segments } = content;
    const { from, to } = resolveWindow(state, window);
    return {
      header: state,
      bodies: bodies
        .filter(({ seq }) => seq >= from && seq < to)
        .map(({ seq, text }) => ({ seq, body: { text, bytes: Buffer.byteLength(text) } })),
      segments: segments.filter((segment) => segment.from < to && segment.to > from),
    };
  }

  /** Live conversations of an owner (or all) in order of a walk, behind a place. */
  #walk(by: List['by'], direction: List['direction'], owner: string | undefined, after: Cursor | undefined): ConversationState[] {
    const sign = direction === 'asc' ? 1 : -1;
    return [...this.#states.values()]
      .filter((state) => state.removedAt === undefined && (owner === undefined || state.owner === owner))
      .filter((state) => !after || compareCursors(placeOf(state, by), after) * sign > 0)
      .sort((a, b) => compareCursors(placeOf(a, by), placeOf(b, by)) * sign);
  }

  list({ now, by, direction, owner, since = 0, until = Infinity, after, limit, window }: List): Promise<Page> {
    return this.#alone(async () => {
      const matching = this.#walk(by, direction, owner, after).filter(
        (state) => isVisible(state, now) && state.updatedAt >= since && state.updatedAt <= until,
      );
      const page = matching.slice(0, limit);
      const items: Stored[] = [];
      for (const { id } of page) items.push(await this.#stored(id, window));
      const last = page.at(-1);
      return { items, cursor: last && matching.length > page.length ? placeOf(last, by) : undefined };
    });
  }

  stats({ now, owner, after, limit }: StatsQuery): Promise<StatsPage> {
    return this.#alone(async () => {
      const visible = this.#walk('created', 'asc', owner, after).filter((state) => isVisible(state, now));
      const page = visible.slice(0, limit);
      const last = page.at(-1);
      return {
        conversations: page.length,
        messages: page.reduce((sum, { first, next }) => sum + next - first, 0),
        bytes: page.reduce((sum, { bytes }) => sum + bytes, 0),
        oldest: page[0]?.createdAt,
        newest: last?.createdAt,
        cursor: last && visible.length > page.length ? placeOf(last, 'created') : undefined,
      };
    });
  }

  // -------------------------------------------------------------------------------------------------------- removals

  purge(purge: Purge): Promise<PurgeOutcome> {
    return this.#alone(() => (purge.kind === 'reap' ? this.#reap(purge.now, purge.limit, purge.forget === true) : this.#purge(purge)));
  }

  async #purge(purge: Exclude<Purge, { kind: 'reap' }>): Promise<PurgeOutcome> {
    const by = purge.kind === 'idle' ? 'updated' : 'created';
    const matching = this.#walk(by, 'asc', purge.owner, purge.kind === 'expired' ? undefined : purge.after).filter((state) => {
      if (purge.kind === 'expired') return !isVisible(state, Math.min(purge.now, this.#clock()));
      if (state.hold && !(purge.kind === 'user' && purge.allowHold)) return false;
      return purge.kind === 'idle' ? state.updatedAt <= purge.until : compareCursors(placeOf(state, by), purge.upTo) <= 0;
    });
    const going = matching.slice(0, purge.limit);
    const total = { removed: 0, messages: 0, bytes: 0 };
    for (const state of going) {
      if (purge.kind === 'expired' || isVisible(state, purge.now)) {
        total.removed++;
        total.messages += state.next - state.first;
        total.bytes += state.bytes;
      }
      if (purge.kind === 'user' && purge.forget) await this.#forget(state.id);
      else await this.#bury(buryState(state, purge.now));
    }
    const last = going.at(-1);
    return { ...total, more: matching.length > going.length, cursor: last && placeOf(last, by) };
  }

  async #reap(now: number, limit: number, forget: boolean): Promise<PurgeOutcome> {
    const over = forget ? Number.POSITIVE_INFINITY : Math.min(now, this.#clock()) - TOMBSTONE_MS;
    const due = [...this.#states.values()].filter(({ removedAt }) => removedAt !== undefined && removedAt <= over);
    if (forget && due.length > 0) {
      const newest = Math.max(now, ...due.map(({ removedAt = 0 }) => removedAt));
      await this.#saveSettings({ ...this.#settings, forgottenUpTo: Math.max(newest, this.#settings.forgottenUpTo ?? 0) });
    }
    for (const { id } of due.slice(0, limit)) await this.#forget(id);
    const bars = Object.entries(this.#settings.bars).filter(([, until]) => until > now);
    if (bars.length < Object.keys(this.#settings.bars).length)
      await this.#saveSettings({ ...this.#settings, bars: Object.fromEntries(bars) });
    return { removed: 0, messages: 0, bytes: 0, more: due.length > limit };
  }

  classify(error: unknown): Classified {
    const code = (error as { readonly code?: unknown } | null | undefined)?.code;
    if (typeof code !== 'string')
      return { kind: 'storage', reason: error instanceof SyntaxError ? 'a file is damaged' : 'an unexpected failure' };
    // too many open files: nothing was renamed yet, and it passes
    return { kind: code === 'EMFILE' || code === 'EAGAIN' ? 'retryable' : 'storage', reason: `the file system answered ${code}` };
  }
}

/** Readers see the old file or the new one, never a part; a crash in between leaves a .tmp behind. */
async function replaceFile(path: string, content: object): Promise<void> {
  await writeFile(`${path}.tmp`, JSON.stringify(content));
  await rename(`${path}.tmp`, path);
}

function placeOf(state: ConversationState, by: List['by']): Cursor {
  return { at: by === 'created' ? state.createdAt : state.updatedAt, id: state.id };
}

/** See `Lookup.bytesOf`. */
function bytesOf({ bodies, segments }: Content, from: number, to: number): number {
  let bytes = 0;
  for (const { seq, text } of bodies) if (seq >= from && seq < to) bytes += Buffer.byteLength(text);
  for (const segment of segments) if (segment.to > from && segment.to <= to) bytes += sizeOf(segment.data);
  return bytes;
}

function sizeOf(data: Uint8Array | string): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
}
