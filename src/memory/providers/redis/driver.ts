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
  Inspect,
  Inspection,
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
  StoreTarget,
  Trip,
  Write,
  WriteOutcome,
} from '../../driver.js';
import { MemoryError } from '../../errors.js';
import { mayHaveApplied } from '../../retry.js';
import { addPurges, addStats, type BucketAnswer, type BucketState, cursorOf, statesOf, visitBuckets } from './buckets.js';
import { type Argument, type Connection, Redis, type ScriptCall, UNMARKED, type WaitReplicas, worstOf } from './client.js';
import { classify } from './failures.js';
import { healthOf } from './health.js';
import { bucketOf, KEY_PREFIX, Keys } from './keys.js';
import { openStore } from './open.js';
import { Reader } from './reader.js';
import { listOf, outcomeOf, placeOf, removalOf, removeArg, textOf, writeArgs } from './replies.js';
import { scripts } from './scripts.js';

/** What a Redis driver needs to know. */
export interface RedisDriverOptions {
  /** Default `jaf:memory:`. */
  readonly keyPrefix?: string | undefined;
  /** Milliseconds opening may take; default 5000. */
  readonly deadline?: number | undefined;
  /** Replicas that must have a write before it is acknowledged. */
  readonly waitReplicas?: WaitReplicas | undefined;
  /** Where the server is, where there is one. */
  readonly target?: StoreTarget | undefined;
  /** Buckets of the namespace; default 64 on a cluster, else 1. For tests. */
  readonly buckets?: number | undefined;
  /** Expired conversations a write removes beside its work; default 2. For tests. */
  readonly neighbours?: number | undefined;
}

/** Buckets of a namespace on a cluster: the finest grain in which its data can move between nodes. */
const CLUSTER_BUCKETS = 64;
/** Expired conversations removed for each write, and how long (ms) and how many writes they may gather. */
const NEIGHBOURS = 2;
const ASK_AFTER = 100;
const ASK_WRITES = 16;
/** Headers one statistics call folds: about 5 ms of the server's time. */
const FOLD = 1000;
/** Conversations a purge removes in one script: about 10 ms. */
const PURGE = 500;
/** Bodies and segments a reap drops in one script: about 10 ms. */
const REAP_BODIES = 5000;
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
  readonly target: StoreTarget | undefined;
  readonly #connect: () => Promise<Connection>;
  readonly #keys: Keys;
  readonly #options: RedisDriverOptions;
  #open: { readonly redis: Redis; readonly buckets: number; readonly reader: Reader } | undefined;
  #opening: Promise<StoreInfo> | undefined;
  /** By bucket, when a write last removed expired neighbours, on the clock of the callers, and writes since. */
  readonly #asked: { readonly at: number; writes: number }[] = [];

  constructor(options: RedisDriverOptions, connect: () => Promise<Connection>) {
    this.#options = options;
    this.target = options.target;
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
      this.#open = { redis, buckets, reader: new Reader(redis, this.#keys, buckets) };
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

  get #opened(): { readonly redis: Redis; readonly buckets: number; readonly reader: Reader } {
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
    if (buckets === 1) {
      const reply = listOf(await redis.eval(this.#writeCall(0, batch), trip));
      return batch.map((_, i) => outcomeOf(reply[i], batch.length === 1));
    }
    const parts = new Map<number, number[]>();
    for (const [i, { id }] of batch.entries()) {
      const bucket = bucketOf(id, buckets);
      const part = parts.get(bucket);
      if (part) part.push(i);
      else parts.set(bucket, [i]);
    }
    const calls = [...parts].map(([bucket, places]) =>
      this.#writeCall(
        bucket,
        places.map((i) => batch[i] as Write),
      ),
    );
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

  #writeCall(bucket: number, writes: readonly Write[]): ScriptCall {
    const { redis } = this.#opened;
    const tag = this.#keys.tag(bucket);
    // a cluster looks at all of them while a slot moves; elsewhere each only costs the server time
    const keys = redis.spread ? this.#keys.bucket(tag) : [`${tag}u`];
    const mark = redis.newMark();
    const args: Argument[] = [tag, String(writes.length), String(this.#neighboursOf(bucket, writes)), mark ?? UNMARKED, this.#waits];
    for (const write of writes) {
      if (redis.spread) keys.push(...this.#keys.conversation(tag, write.id));
      writeArgs(write, args);
    }
    return { script: scripts.write, keys, args, mark, durable: true };
  }

  /** Expired conversations a call removes: asking costs a tenth of an append, so a busy bucket is asked now and then for more. */
  #neighboursOf(bucket: number, writes: readonly Write[]): number {
    const now = writes[0]?.now ?? 0;
    const asked = (this.#asked[bucket] ??= { at: Number.NEGATIVE_INFINITY, writes: 0 });
    asked.writes += writes.length;
    if (Math.abs(now - asked.at) < ASK_AFTER && asked.writes < ASK_WRITES) return 0;
    const most = Math.min(asked.writes, ASK_WRITES) * (this.#options.neighbours ?? NEIGHBOURS);
    this.#asked[bucket] = { at: now, writes: 0 };
    return most;
  }

  /** Whether what is answered without a write must reach the replicas, too. */
  get #waits(): '0' | '1' {
    return this.#options.waitReplicas ? '1' : '0';
  }

  async remove(remove: Remove, trip: Trip): Promise<RemoveOutcome> {
    const tag = this.#tagOf(remove.id);
    const keys = [...this.#keys.bucket(tag), ...this.#keys.conversation(tag, remove.id)];
    const { redis } = this.#opened;
    const mark = redis.newMark();
    const args = [tag, removeArg(remove), mark ?? UNMARKED, this.#waits];
    return removalOf(await redis.eval({ script: scripts.remove, keys, args, mark, durable: true }, trip));
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
        const args = until === 0 ? ['zrem', key, ownerHash] : ['zadd', key, 'GT', String(until), ownerHash];
        return { key, args, durable: true };
      }),
      trip,
    );
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  read(read: Read, trip: Trip): Promise<Stored | undefined> {
    return this.#opened.reader.read(read, trip);
  }

  list(list: List, trip: Trip): Promise<Page> {
    return this.#opened.reader.list(list, trip);
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

  /** `after`: the bucket, and the rank in its index. */
  async inspect({ after = '0 0', limit, fix }: Inspect, trip: Trip): Promise<Inspection> {
    const [bucket = 0, rank = 0] = after.split(' ').map(Number);
    const { redis, buckets } = this.#opened;
    const tag = this.#keys.tag(bucket);
    const count = Math.min(limit, FOLD);
    const call: ScriptCall = {
      durable: fix,
      script: scripts.inspect,
      keys: [this.#keys.index(tag, 'created', undefined), this.#keys.none(tag)],
      args: [tag, String(rank), String(count), fix ? '1' : '0'],
    };
    const [looked = 0, orphans = 0] = listOf(await redis.eval(call, trip)).map(Number);
    // what was taken out does not count any more
    const next = rank + looked - (fix ? orphans : 0);
    if (looked === count) return { looked, orphans, after: `${bucket} ${next}` };
    return { looked, orphans, after: bucket + 1 < buckets ? `${bucket + 1} 0` : undefined };
  }

  #purgeCall(purge: Purge, { bucket, after }: BucketState, limit: number): ScriptCall {
    const tag = this.#keys.tag(bucket);
    const { kind } = purge;
    if (kind === 'reap') {
      const keys = [`${tag}d`, `${tag}x`, `${tag}l`, this.#keys.none(tag)];
      const args = [tag, String(purge.now), String(limit), String(REAP_BODIES), purge.forget ? '1' : '0'];
      return { durable: true, script: scripts.reap, keys, args };
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
