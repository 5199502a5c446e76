/**
 * Reads and lists: without a script where that serves (direct.ts), through read.lua and list.lua where it does not.
 *
 * @module
 */
import type { List, Page, Read, Stored, Trip } from '../../driver.js';
import { resolveWindow } from '../../local.js';
import { type BucketPage, mergePages } from './buckets.js';
import type { Redis, ScriptCall } from './client.js';
import { bodiesOfAnswers, bodyCommands, newestCommands, newestOfAnswers } from './direct.js';
import { bucketOf, type Keys } from './keys.js';
import { listOf, placeOf, type StoredHeader, storedOf, textOf, viewedHeaderOf, windowArgs } from './replies.js';
import { scripts } from './scripts.js';

/** Headers one list call looks at in a bucket, and bytes of bodies after which its page ends. */
const SCAN = 1000;
const PAGE_BYTES = 8_388_608;
/** Up to so many items each bucket is asked for all of them; beyond it for twice its share. */
const FULL_SHARE = 32;

/** Bytes of bodies a list of one bucket brings at once; of longer conversations behind them the bodies are read without a script. */
const INLINE_BYTES = 16_384;

/** Reads conversations of an open store. */
export class Reader {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #buckets: number;
  /** The smallest window that has met segments: so large ones are left to the script at once, which is one trip instead of two. */
  #deep: number | undefined;

  constructor(redis: Redis, keys: Keys, buckets: number) {
    this.#redis = redis;
    this.#keys = keys;
    this.#buckets = buckets;
  }

  /** As {@link StorageDriver.read}. */
  async read(read: Read, trip: Trip): Promise<Stored | undefined> {
    const { id, window, now } = read;
    const tag = this.#tagOf(id);
    const size = window.kind === 'all' ? Number.POSITIVE_INFINITY : window.kind === 'last' ? window.count : 0;
    const direct = this.#redis.sequential && (this.#deep === undefined || size < this.#deep);
    const commands = direct ? newestCommands(this.#keys, tag, id, window) : undefined;
    if (commands) {
      const key = `${tag}c:${id}`;
      const [answers = []] = await this.#redis.sequences([{ key, commands }], trip);
      const found = newestOfAnswers(id, window, now, answers);
      if (found.kind === 'read') return found.stored;
      const more = found.kind === 'more' ? bodyCommands(this.#keys, tag, found.header, window) : undefined;
      if (found.kind === 'more' && more) {
        const [bodies = []] = await this.#redis.sequences([{ key, commands: more }], trip);
        const stored = bodiesOfAnswers(found.header, window, bodies);
        if (stored) return stored;
      } else if (found.kind === 'script' && found.segments) this.#deep = Math.min(this.#deep ?? size, size);
    }
    const reply = await this.#redis.eval(this.#readCall(read), trip);
    return reply === null ? undefined : storedOf(id, reply);
  }

  #tagOf(id: string): string {
    return this.#keys.tag(bucketOf(id, this.#buckets));
  }

  #readCall({ id, now, window }: Read): ScriptCall {
    const keys = this.#keys.readable(this.#tagOf(id), id);
    return { script: scripts.read, keys, args: [String(now), ...windowArgs(window)], buffers: true };
  }

  /** As {@link StorageDriver.list}. */
  async list(list: List, trip: Trip): Promise<Page> {
    if (list.limit <= 0) return { items: [] };
    if (this.#buckets === 1) {
      const inline = this.#redis.sequential ? String(INLINE_BYTES) : '';
      const page = pageFrom(await this.#redis.eval(this.#listCall(0, list, list.limit, inline), trip), viewFrom);
      const left = page.items.flatMap(({ item }) => ('stored' in item ? [] : [item.left]));
      if (left.length === 0) return pageOf(page, ({ item }) => ('stored' in item ? item.stored : undefined));
      const bodies = (await this.#bodiesOf(left, list, trip)).values();
      return pageOf(page, ({ item }) => ('stored' in item ? item.stored : bodies.next().value));
    }
    const share = list.limit <= FULL_SHARE ? list.limit : Math.ceil((2 * list.limit) / this.#buckets) + FULL_SHARE;
    const headers: List = { ...list, window: { kind: 'none' } };
    const calls = Array.from({ length: this.#buckets }, (_, bucket) => this.#listCall(bucket, headers, Math.min(list.limit, share), ''));
    const pages = (await this.#redis.evalAll(calls, trip)).map((reply) => pageFrom(reply, headerFrom));
    const merged = mergePages(pages, list.direction, list.limit);
    const winners = withinBytes(merged, list);
    const bodies = await this.#bodiesOf(
      winners.items.map(({ item }) => item),
      list,
      trip,
    );
    return pageOf(winners, (_, i) => {
      const stored = bodies[i];
      return list.owner === undefined || stored?.header.owner === list.owner ? stored : undefined;
    });
  }

  /** The conversations of these headers; undefined where one has gone. What was written to meanwhile is read as it is now. */
  async #bodiesOf(headers: readonly StoredHeader[], { window, now }: List, trip: Trip): Promise<(Stored | undefined)[]> {
    const found: (Stored | undefined)[] = [];
    const direct = new Map<string, number[]>();
    const scripted: number[] = [];
    headers.forEach(({ header }, i) => {
      const { from, to } = resolveWindow(header, window);
      if (from >= to) found[i] = { header, bodies: [], segments: [] };
      else if (!this.#redis.sequential || from < header.packedTo) scripted.push(i);
      else {
        const tag = this.#tagOf(header.id);
        const places = direct.get(tag);
        if (places) places.push(i);
        else direct.set(tag, [i]);
      }
    });
    const groups = [...direct];
    const sequences = groups.map(([tag, places]) => ({
      key: `${tag}u`,
      commands: places.flatMap((i) => bodyCommands(this.#keys, tag, headers[i] as StoredHeader, window) ?? []),
    }));
    const read = async (places: readonly number[]): Promise<void> => {
      if (places.length === 0) return;
      const calls = places.map((i) => this.#readCall({ id: headers[i]?.header.id ?? '', now, window }));
      const replies = await this.#redis.evalAll(calls, trip);
      places.forEach((i, k) => {
        const reply = replies[k] ?? null;
        found[i] = reply === null ? undefined : storedOf(headers[i]?.header.id ?? '', reply);
      });
    };
    const [answers] = await Promise.all([this.#redis.sequences(sequences, trip), read(scripted)]);
    const changed: number[] = [];
    groups.forEach(([, places], g) => {
      places.forEach((i, k) => {
        found[i] = bodiesOfAnswers(headers[i] as StoredHeader, window, answers[g]?.slice(2 * k, 2 * k + 2) ?? []);
        if (!found[i]) changed.push(i);
      });
    });
    await read(changed);
    return found;
  }

  #listCall(bucket: number, list: List, limit: number, inline: string): ScriptCall {
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
        inline,
        ...windowArgs(list.window),
      ],
      buffers: true,
    };
  }
}

/** A page of list.lua. */
function pageFrom<T>(reply: unknown, itemOf: (id: string, view: unknown, leftOut: unknown) => T): BucketPage<T> {
  const [items, at, id] = listOf(reply);
  const reached = placeOf(at, id);
  return {
    items: listOf(items).map((one) => {
      const [itemId, time, view, leftOut] = listOf(one);
      const conversation = textOf(itemId);
      return { place: { at: Number(textOf(time)), id: conversation }, item: itemOf(conversation, view, leftOut) };
    }),
    ...(reached ? { reached } : {}),
  };
}

function headerFrom(id: string, view: unknown): StoredHeader {
  return viewedHeaderOf(id, listOf(view)[0]);
}

function viewFrom(id: string, view: unknown, leftOut: unknown): { readonly stored: Stored } | { readonly left: StoredHeader } {
  return leftOut === undefined ? { stored: storedOf(id, view) } : { left: headerFrom(id, view) };
}

/** What went between two trips is left out. */
function pageOf<T>(page: BucketPage<T>, storedFor: (item: BucketPage<T>['items'][number], i: number) => Stored | undefined): Page {
  const items = page.items.flatMap((item, i) => storedFor(item, i) ?? []);
  return { items, ...(page.reached ? { cursor: page.reached } : {}) };
}

/** The leading items whose windows will hold about so much as one page may. */
function withinBytes(page: BucketPage<StoredHeader>, { window }: List): BucketPage<StoredHeader> {
  let bytes = 0;
  for (const [i, { place, item }] of page.items.entries()) {
    const count = Math.max(1, item.header.next - item.header.first);
    const wanted = window.kind === 'all' ? count : window.kind === 'last' ? window.count : window.kind === 'none' ? 0 : window.limit;
    bytes += item.header.bytes * Math.min(1, wanted / count);
    if (bytes >= PAGE_BYTES && i + 1 < page.items.length) return { items: page.items.slice(0, i + 1), reached: place };
  }
  return page;
}
