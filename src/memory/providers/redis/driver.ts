/**
 * The Redis driver: one script per operation, sent to the bucket of a conversation, or to all buckets.
 *
 * @module
 */
import { DEADLINE } from '../../core.js';
import type {
  Classified,
  Cursor,
  DriverCapabilities,
  DriverHealth,
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
  StorageDriver,
  Stored,
  StoreInfo,
  Trip,
  Write,
  WriteOutcome,
} from '../../driver.js';
import { MemoryError } from '../../errors.js';
import { mayHaveApplied } from '../../retry.js';
import {
  addPurges,
  addStats,
  type BucketAnswer,
  type BucketPage,
  type BucketState,
  cursorOf,
  mergePages,
  statesOf,
  visitBuckets,
} from './buckets.js';
import { type Connection, newMark, Redis, type ScriptCall, type WaitReplicas, worstOf } from './client.js';
import { classify } from './failures.js';
import { healthOf } from './health.js';
import { bucketOf, KEY_PREFIX, Keys } from './keys.js';
import { openStore } from './open.js';
import { listOf, outcomeOf, placeOf, removalOf, removeArg, storedOf, textOf, windowArgs, writeArgs } from './replies.js';
import { scripts } from './scripts.js';

/** What a Redis driver needs to know. */
export interface RedisDriverOptions {
  /** Default `jaf:memory:`. */
  readonly keyPrefix?: string | undefined;
  /** Milliseconds opening may take; default 5000. */
  readonly deadline?: number | undefined;
  /** Replicas that must have a write before it is acknowledged. */
  readonly waitReplicas?: WaitReplicas | undefined;
  /** Buckets of the namespace; default 64 on a cluster, else 1. For tests. */
  readonly buckets?: number | undefined;
  /** Expired conversations a write removes beside its work; default 2. For tests. */
  readonly neighbours?: number | undefined;
}

/** Buckets of a namespace on a cluster: the finest grain in which its data can move between nodes. */
const CLUSTER_BUCKETS = 64;
const NEIGHBOURS = 2;
/** Headers one list call looks at in a bucket, and bytes of bodies after which its page ends. */
const SCAN = 1000;
const PAGE_BYTES = 8_388_608;
/** Headers one statistics call folds: about 5 ms of the server's time. */
const FOLD = 1000;
/** Conversations a purge removes in one script: about 10 ms. */
const PURGE = 500;
/** Bodies and segments a reap drops in one script: about 10 ms. */
const REAP_BODIES = 5000;
/** Up to so many items each bucket is asked for all of them; beyond it for twice its share. */
const FULL_SHARE = 32;

/**
 * Makes a Redis driver. Nothing is connected yet.
 *
 * @param options - see {@link RedisDriverOptions}
 * @param connect - makes the connection; called once per `open` that succeeds
 */
export function createRedisDriver(options: RedisDriverOptions, connect: () => Promise<Connection>): StorageDriver {
  return new RedisDriver(options, connect);
}

class RedisDriver implements StorageDriver {
  readonly name = 'redis';
  readonly contract = 1;
  readonly capabilities: DriverCapabilities;
  readonly #connect: () => Promise<Connection>;
  readonly #keys: Keys;
  readonly #options: RedisDriverOptions;
  #open: { readonly redis: Redis; readonly buckets: number; readonly info: StoreInfo } | undefined;
  #opening: Promise<StoreInfo> | undefined;

  constructor(options: RedisDriverOptions, connect: () => Promise<Connection>) {
    this.#options = options;
    const durability = options.waitReplicas ? 'replicated' : 'process';
    this.capabilities = { durability, shared: true, segments: 'deflate', batchCreations: true };
    this.#connect = connect;
    this.#keys = new Keys(options.keyPrefix ?? KEY_PREFIX);
  }

  // -------------------------------------------------------------------------------------------------- open and close

  open(): Promise<StoreInfo> {
    this.#opening ??= this.#openNow().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #openNow(): Promise<StoreInfo> {
    const redis = new Redis(await this.#connect(), this.#options.waitReplicas);
    const buckets = this.#options.buckets ?? (redis.spread ? CLUSTER_BUCKETS : 1);
    try {
      if (this.#options.waitReplicas) await redis.command(['wait', '0', '0'], { timeout: this.#options.deadline ?? DEADLINE });
      const info = await openStore(redis, this.#keys, buckets, { timeout: this.#options.deadline ?? DEADLINE });
      this.#open = { redis, buckets, info };
      return info;
    } catch (error) {
      await redis.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined); // whoever opened has that error
    const open = this.#open;
    this.#open = undefined;
    this.#opening = undefined;
    await open?.redis.close();
  }

  get #opened(): { readonly redis: Redis; readonly buckets: number } {
    if (!this.#open) throw new Error('the driver is not open');
    return this.#open;
  }

  classify(error: unknown): Classified {
    return error instanceof MemoryError ? { kind: 'config', reason: error.message } : classify(error);
  }

  async ping(trip: Trip): Promise<DriverHealth> {
    return await healthOf(this.#opened.redis, trip);
  }

  #tagOf(id: string): string {
    return this.#keys.tag(bucketOf(id, this.#opened.buckets));
  }

  // ---------------------------------------------------------------------------------------------------------- writes

  async write(batch: readonly Write[], trip: Trip): Promise<readonly WriteOutcome[]> {
    const { redis, buckets } = this.#opened;
    const parts = new Map<number, number[]>();
    for (const [i, { id }] of batch.entries()) {
      const bucket = bucketOf(id, buckets);
      const part = parts.get(bucket);
      if (part) part.push(i);
      else parts.set(bucket, [i]);
    }
    const calls = [...parts].map(([bucket, places]): ScriptCall => {
      const tag = this.#keys.tag(bucket);
      const keys = this.#keys.bucket(tag);
      const mark = newMark();
      const args: ScriptCall['args'][number][] = [
        tag,
        String(places.length),
        String(this.#options.neighbours ?? NEIGHBOURS),
        mark,
        this.#waits,
      ];
      for (const i of places) {
        const write = batch[i];
        if (!write) continue;
        keys.push(...this.#keys.conversation(tag, write.id));
        for (const arg of writeArgs(write)) args.push(arg);
      }
      return { script: scripts.write, keys, args, mark, durable: true };
    });
    const settled = await redis.evalEach(calls, trip);
    const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    const worst = worstOf(failures);
    // some parts were written, and those that failed were not: the failed ones go again, the others must not
    const partial = failures.length > 0 && failures.length < settled.length && !mayHaveApplied(classify(worst));
    if (failures.length > 0 && !partial) throw worst;
    const outcomes: WriteOutcome[] = [];
    for (const [n, places] of [...parts.values()].entries()) {
      const one = settled[n];
      const reply = one?.status === 'fulfilled' ? listOf(one.value) : undefined;
      for (const [k, i] of places.entries()) outcomes[i] = reply ? outcomeOf(reply[k], batch.length === 1) : { kind: 'busy' };
    }
    return outcomes;
  }

  /** Whether what is answered without a write must reach the replicas, too. */
  get #waits(): '0' | '1' {
    return this.#options.waitReplicas ? '1' : '0';
  }

  async remove(remove: Remove, trip: Trip): Promise<RemoveOutcome> {
    const tag = this.#tagOf(remove.id);
    const keys = [...this.#keys.bucket(tag), ...this.#keys.conversation(tag, remove.id)];
    const mark = newMark();
    const args = [tag, removeArg(remove), mark, this.#waits];
    return removalOf(await this.#opened.redis.eval({ script: scripts.remove, keys, args, mark, durable: true }, trip));
  }

  async pack(pack: Pack, trip: Trip): Promise<PackOutcome> {
    const tag = this.#tagOf(pack.id);
    const keys = [...this.#keys.readable(tag, pack.id), `${tag}l`, this.#keys.none(tag)];
    // node-redis sends Buffers, not other byte arrays
    const data = typeof pack.data === 'string' ? pack.data : Buffer.from(pack.data.buffer, pack.data.byteOffset, pack.data.byteLength);
    const args = [String(pack.now), String(pack.epoch), String(pack.from), String(pack.to), data, pack.id];
    return Number(await this.#opened.redis.eval({ script: scripts.pack, keys, args }, trip)) === 1 ? 'ok' : 'stale';
  }

  async bar(ownerHash: string, until: number, trip: Trip): Promise<void> {
    const { redis, buckets } = this.#opened;
    await redis.commands(
      Array.from({ length: buckets }, (_, bucket) => {
        const key = `${this.#keys.tag(bucket)}x`;
        return { key, args: ['zadd', key, 'GT', String(until), ownerHash], durable: true };
      }),
      trip,
    );
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  async read(read: Read, trip: Trip): Promise<Stored | undefined> {
    const reply = await this.#opened.redis.eval(this.#readCall(read), trip);
    return reply === null ? undefined : storedOf(read.id, reply);
  }

  #readCall({ id, now, window }: Read): ScriptCall {
    const keys = this.#keys.readable(this.#tagOf(id), id);
    return { script: scripts.read, keys, args: [String(now), ...windowArgs(window)], buffers: true };
  }

  async list(list: List, trip: Trip): Promise<Page> {
    const { redis, buckets } = this.#opened;
    if (list.limit <= 0) return { items: [] };
    if (buckets === 1) {
      const page = this.#pageOf(await redis.eval(this.#listCall(0, list, list.limit), trip));
      return { items: page.items.map(({ item }) => item), ...(page.reached ? { cursor: page.reached } : {}) };
    }
    const share = list.limit <= FULL_SHARE ? list.limit : Math.ceil((2 * list.limit) / buckets) + FULL_SHARE;
    const headers: List = { ...list, window: { kind: 'none' } };
    const calls = Array.from({ length: buckets }, (_, bucket) => this.#listCall(bucket, headers, Math.min(list.limit, share)));
    const pages = (await redis.evalAll(calls, trip)).map((reply) => this.#pageOf(reply));
    const merged = mergePages(pages, list.direction, list.limit);
    if (list.window.kind === 'none' || merged.items.length === 0) return pageOf(merged);
    const winners = withinBytes(merged, list);
    const bodies = await redis.evalAll(
      winners.items.map(({ item }) => this.#readCall({ id: item.header.id, now: list.now, window: list.window })),
      trip,
    );
    // what went between the two trips is left out
    const items = winners.items.flatMap(({ place, item }, i) =>
      bodies[i] === null || bodies[i] === undefined ? [] : [{ place, item: storedOf(item.header.id, bodies[i]) }],
    );
    return pageOf({ ...winners, items: items.filter(({ item }) => list.owner === undefined || item.header.owner === list.owner) });
  }

  #listCall(bucket: number, list: List, limit: number): ScriptCall {
    const tag = this.#keys.tag(bucket);
    const { after, since, until, trace } = list;
    const filters = trace !== undefined || since !== undefined || until !== undefined;
    return {
      script: scripts.list,
      keys: [this.#keys.index(tag, list.by, list.owner)],
      args: [
        tag,
        String(list.now),
        list.by === 'updated' ? '1' : '0',
        list.direction === 'desc' ? '1' : '0',
        after === undefined ? '' : String(after.at),
        after?.id ?? '',
        since === undefined ? '' : String(since),
        until === undefined ? '' : String(until),
        trace === undefined ? '' : `=${trace}`,
        String(Math.min(limit, SCAN)),
        String(filters ? SCAN : Math.min(SCAN, 2 * limit + 16)),
        String(PAGE_BYTES),
        ...windowArgs(list.window),
      ],
      buffers: true,
    };
  }

  #pageOf(reply: unknown): BucketPage<Stored> {
    const [items, at, id] = listOf(reply);
    const reached = placeOf(at, id);
    return {
      items: listOf(items).map((one) => {
        const [itemId, time, view] = listOf(one);
        const conversation = textOf(itemId);
        return { place: { at: Number(textOf(time)), id: conversation }, item: storedOf(conversation, view) };
      }),
      ...(reached ? { reached } : {}),
    };
  }

  async stats(query: StatsQuery, trip: Trip): Promise<StatsPage> {
    const { redis, buckets } = this.#opened;
    const visit = async (some: readonly BucketState[], share: number): Promise<BucketAnswer<StatsPage>[]> => {
      const calls = some.map(({ bucket, after }): ScriptCall => {
        const tag = this.#keys.tag(bucket);
        const place = [after === undefined ? '' : String(after.at), after?.id ?? ''];
        return {
          script: scripts.stats,
          keys: [this.#keys.index(tag, 'created', query.owner)],
          args: [tag, String(query.now), ...place, String(Math.min(share, FOLD))],
        };
      });
      return (await redis.evalAll(calls, trip)).map(statsOf);
    };
    const { answers, left } = await visitBuckets(statesOf(query.after, buckets), query.limit, visit, (page) => page.conversations);
    const cursor = cursorOf(left, buckets);
    return { ...addStats(answers.map(({ value }) => value)), ...(cursor ? { cursor } : {}) };
  }

  // ---------------------------------------------------------------------------------------------------------- purges

  async purge(purge: Purge, trip: Trip): Promise<PurgeOutcome> {
    const { redis, buckets } = this.#opened;
    const after = purge.kind === 'user' || purge.kind === 'idle' ? purge.after : undefined;
    const visit = async (some: readonly BucketState[], share: number): Promise<BucketAnswer<PurgeOutcome>[]> => {
      const calls = some.map((state) => this.#purgeCall(purge, state, Math.min(share, PURGE)));
      return (await redis.evalAll(calls, trip)).map(purge.kind === 'reap' ? reapedOf : purgedOf);
    };
    const { answers, left } = await visitBuckets(statesOf(after, buckets), purge.limit, visit, (outcome) => outcome.removed);
    const sum = addPurges(answers.map(({ value }) => value));
    const more = sum.more || left.length > 0;
    const cursor = purge.kind === 'user' || purge.kind === 'idle' ? cursorOf(left, buckets) : undefined;
    return { ...sum, more, ...(more && cursor ? { cursor } : {}) };
  }

  #purgeCall(purge: Purge, { bucket, after }: BucketState, limit: number): ScriptCall {
    const tag = this.#keys.tag(bucket);
    const { kind } = purge;
    if (kind === 'reap') {
      const keys = [`${tag}d`, `${tag}x`, `${tag}l`, this.#keys.none(tag)];
      return { durable: true, script: scripts.reap, keys, args: [tag, String(purge.now), String(limit), String(REAP_BODIES)] };
    }
    const { owner } = purge;
    const bound = purge.kind === 'user' ? purge.upTo : { at: purge.kind === 'idle' ? purge.until : 0, id: '' };
    return {
      durable: true,
      script: scripts.purge,
      keys: [this.#keys.index(tag, kind === 'user' ? 'created' : kind === 'idle' ? 'updated' : 'expires', owner), this.#keys.none(tag)],
      args: [
        tag,
        kind,
        String(purge.now),
        String(limit),
        after === undefined ? '' : String(after.at),
        after?.id ?? '',
        String(bound.at),
        bound.id,
        purge.kind === 'user' && purge.allowHold ? '1' : '0',
        purge.kind === 'user' && purge.forget ? '1' : '0',
        owner ?? '',
      ],
    };
  }
}

function pageOf(page: BucketPage<Stored>): Page {
  return { items: page.items.map(({ item }) => item), ...(page.reached ? { cursor: page.reached } : {}) };
}

/** The leading items whose windows will hold about so much as one page may. */
function withinBytes(page: BucketPage<Stored>, { window }: List): BucketPage<Stored> {
  let bytes = 0;
  for (const [i, { place, item }] of page.items.entries()) {
    const count = Math.max(1, item.header.next - item.header.first);
    const wanted = window.kind === 'all' ? count : window.kind === 'last' ? window.count : window.kind === 'none' ? 0 : window.limit;
    bytes += item.header.bytes * Math.min(1, wanted / count);
    if (bytes >= PAGE_BYTES && i + 1 < page.items.length) return { items: page.items.slice(0, i + 1), reached: place };
  }
  return page;
}

function statsOf(reply: unknown): BucketAnswer<StatsPage> {
  const [conversations, messages, bytes, oldest, newest, at, id] = listOf(reply);
  const time = (value: unknown): number | undefined => (textOf(value) === '' ? undefined : Number(value));
  return {
    value: {
      conversations: Number(conversations),
      messages: Number(messages),
      bytes: Number(bytes),
      oldest: time(oldest),
      newest: time(newest),
    },
    next: placeOf(at, id),
  };
}

function purgedOf(reply: unknown): BucketAnswer<PurgeOutcome> {
  const [removed, messages, bytes, moreFlag, at, id] = listOf(reply);
  const more = Number(moreFlag) === 1;
  const next: Cursor | undefined = more ? placeOf(at, id) : undefined;
  return { value: { removed: Number(removed), messages: Number(messages), bytes: Number(bytes), more }, next, more };
}

function reapedOf(reply: unknown): BucketAnswer<PurgeOutcome> {
  const [messages, bytes, moreFlag] = listOf(reply);
  const more = Number(moreFlag) === 1;
  return { value: { removed: 0, messages: Number(messages), bytes: Number(bytes), more }, more };
}
