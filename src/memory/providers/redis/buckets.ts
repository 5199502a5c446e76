/**
 * Walks over several buckets: where each of them stands, and how their pages become one.
 *
 * @module
 */
import type { Cursor, List, PurgeOutcome, StatsPage } from '../../driver.js';
import { compareCursors } from '../../local.js';

/** Where a walk stands in one bucket. */
export interface BucketState {
  readonly bucket: number;
  /** Absent: at its beginning. */
  readonly after?: Cursor | undefined;
}

/** What a bucket answered, and where its walk continues; no `next` = it has ended. */
export interface BucketAnswer<T> {
  readonly value: T;
  readonly next?: Cursor | undefined;
  /** There is more, wherever it may be: for walks without places. */
  readonly more?: boolean | undefined;
}

/** Ids cannot hold NUL: what begins with it is a cursor over several buckets. */
const MARK = '\0';

/** The states a cursor stands for; without one, all buckets at their beginning. */
export function statesOf(after: Cursor | undefined, buckets: number): readonly BucketState[] {
  if (after?.id.startsWith(MARK)) {
    const states = JSON.parse(after.id.slice(1)) as [number, number?, string?][];
    return states.map(([bucket, at, id]) => (at === undefined || id === undefined ? { bucket } : { bucket, after: { at, id } }));
  }
  return Array.from({ length: buckets }, (_, bucket) => (after ? { bucket, after } : { bucket }));
}

/** A cursor for what has not ended; undefined when all has. With one bucket it is the plain place. */
export function cursorOf(states: readonly BucketState[], buckets: number): Cursor | undefined {
  if (states.length === 0) return undefined;
  if (buckets === 1) return states[0]?.after;
  return { at: 0, id: MARK + JSON.stringify(states.map(({ bucket, after }) => (after ? [bucket, after.at, after.id] : [bucket]))) };
}

/**
 * Visits buckets with a limit shared by all: side by side when each gets a share, else one after the other.
 *
 * @param states - where each bucket stands
 * @param limit - of all together
 * @param visit - visits some buckets in one round trip, each with a limit
 * @param size - how much of the limit an answer has used
 * @returns the answers, and the states of what has not ended
 */
export async function visitBuckets<T>(
  states: readonly BucketState[],
  limit: number,
  visit: (some: readonly BucketState[], share: number) => Promise<readonly BucketAnswer<T>[]>,
  size: (value: T) => number,
): Promise<{ readonly answers: readonly BucketAnswer<T>[]; readonly left: readonly BucketState[] }> {
  const answers: BucketAnswer<T>[] = [];
  const left: BucketState[] = [];
  const take = async (some: readonly BucketState[], share: number): Promise<void> => {
    const got = await visit(some, share);
    for (const [i, answer] of got.entries()) {
      answers.push(answer);
      const { bucket } = some[i] ?? { bucket: 0 };
      if (answer.next) left.push({ bucket, after: answer.next });
      else if (answer.more) left.push({ bucket });
    }
  };
  if (limit >= states.length) {
    await take(states, Math.floor(limit / Math.max(1, states.length)));
    return { answers, left };
  }
  let used = 0;
  for (const [i, state] of states.entries()) {
    if (used >= limit) {
      left.push(...states.slice(i));
      break;
    }
    await take([state], limit - used);
    const last = answers.at(-1);
    if (last) used += Math.max(size(last.value), last.next || last.more ? limit - used : 0);
  }
  return { answers, left };
}

/** Totals of several buckets. */
export function addStats(pages: readonly StatsPage[]): StatsPage {
  const sum = { conversations: 0, messages: 0, bytes: 0, oldest: undefined as number | undefined, newest: undefined as number | undefined };
  for (const page of pages) {
    sum.conversations += page.conversations;
    sum.messages += page.messages;
    sum.bytes += page.bytes;
    if (page.oldest !== undefined) sum.oldest = Math.min(sum.oldest ?? page.oldest, page.oldest);
    if (page.newest !== undefined) sum.newest = Math.max(sum.newest ?? page.newest, page.newest);
  }
  return sum;
}

/** What several buckets removed. */
export function addPurges(outcomes: readonly PurgeOutcome[]): PurgeOutcome {
  const sum = { removed: 0, messages: 0, bytes: 0, more: false };
  for (const outcome of outcomes) {
    sum.removed += outcome.removed;
    sum.messages += outcome.messages;
    sum.bytes += outcome.bytes;
    sum.more ||= outcome.more;
  }
  return sum;
}

/** One page of a bucket's walk: items with their places, and how far it looked. */
export interface BucketPage<T> {
  readonly items: readonly { readonly place: Cursor; readonly item: T }[];
  /** Absent: it has ended. */
  readonly reached?: Cursor | undefined;
}

/**
 * The items of several buckets in the order of one walk, as far as every bucket has looked.
 *
 * @param limit - items at most
 */
export function mergePages<T>(pages: readonly BucketPage<T>[], direction: List['direction'], limit: number): BucketPage<T> {
  const sign = direction === 'asc' ? 1 : -1;
  const order = (a: Cursor, b: Cursor): number => sign * compareCursors(a, b);
  let bound: Cursor | undefined;
  for (const { reached } of pages) if (reached && (!bound || order(reached, bound) < 0)) bound = reached;
  const end = bound;
  const items = pages
    .flatMap((page) => page.items)
    .filter(({ place }) => !end || order(place, end) <= 0)
    .sort((a, b) => order(a.place, b.place));
  if (items.length > limit) {
    const taken = items.slice(0, limit);
    return { items: taken, reached: taken.at(-1)?.place };
  }
  return { items, ...(end ? { reached: end } : {}) };
}
