/**
 * Whether a history of calls can be put in an order that respects real time and in which each answer is the one the reference
 * gives. After Wing and Gong (1993) and Lowe (2017), https://www.cs.ox.ac.uk/people/gavin.lowe/LinearizabiltyTesting/.
 */
import {
  bar,
  type Call,
  clear,
  type Defaults,
  forget,
  NOTHING,
  remove,
  type Seen,
  seen,
  stable,
  type State,
  visible,
  windowed,
  write,
  type Written,
} from './state.js';

/** What somebody saw or was told. `unknown`: nothing that can be relied upon. */
export type Answer =
  | { readonly kind: 'written'; readonly written: Written }
  | { readonly kind: 'removed'; readonly removed: boolean | string }
  | { readonly kind: 'seen'; readonly seen: Seen | undefined }
  | { readonly kind: 'recent'; readonly tags: readonly string[] }
  | {
      readonly kind: 'page';
      readonly page: readonly [firstSeq: number, nextSeq: number, hasMore: boolean, items: readonly (readonly [number, string])[]];
    }
  | { readonly kind: 'done' }
  | { readonly kind: 'unknown' };

/** A call as one conversation sees it. */
export interface Event {
  /** Its place in the program. */
  readonly number: number;
  readonly client: number;
  readonly call: Call;
  /** Half of an erasure. */
  readonly part?: 'bar' | 'forget' | undefined;
  /** A copy of an answered write or deletion that is still on its way: after an erasure nothing tells that it was applied before. */
  readonly ghost?: boolean | undefined;
  /** Its first attempt met a fault: the answer is that of a repetition. */
  readonly troubled?: boolean | undefined;
  readonly now: number;
  /** The time when it had its answer, by the same clock. Infinity: it may still come. */
  readonly latest: number;
  readonly defaults: Defaults;
  readonly begin: number;
  /** Infinity: it may still come. */
  readonly end: number;
  readonly answer: Answer;
}

const same = (a: unknown, b: unknown): boolean => stable(a) === stable(b);

/** The states after the event when it happens now; none when its answer is not the one of the reference. */
function step(state: State, event: Event, events: readonly Event[]): readonly State[] {
  // who comes late, with the time of his call, finds swept what was over since: conversations, and bars of erased users
  const { life, bars } = state;
  const swept = (over: number | undefined): boolean => over !== undefined && over <= event.latest && over > event.now;
  const without = Object.fromEntries(Object.entries(bars).filter(([, until]) => !swept(until)));
  const states = [state];
  if (swept(life?.expiresAt)) states.push({ ...state, life: undefined });
  if (Object.keys(without).length < Object.keys(bars).length) states.push(...states.map((one) => ({ ...one, bars: without })));
  return states.flatMap((one) => stepAs(one, event, events));
}

function stepAs(state: State, event: Event, events: readonly Event[]): readonly State[] {
  const { call, now, answer } = event;
  const unknown = answer.kind === 'unknown';
  switch (call.op) {
    case 'store':
    case 'append':
    case 'restore': {
      if (event.ghost && !state.forgotten) return [];
      const done = write(state, call, now, event.defaults, event.number);
      if (unknown) return [done.state];
      if (answer.kind !== 'written') return [];
      if (same(answer.written, done.result)) return [done.state];
      // A repetition that meets a tombstone of its own millisecond or later cannot tell whether its first attempt came before
      // the deletion: it is refused, whichever is true.
      if (answer.written.ok || answer.written.code !== 'not_found') return [];
      const deletions = events.filter(
        (other) => isDeletion(other) && other.begin < event.end && (other.end > event.begin || other.now >= now),
      );
      // what had expired may have been swept at that moment: that leaves a tombstone, too
      const swept = event.troubled === true && state.life !== undefined && !visible(state, now);
      if (deletions.length === 0) return swept ? [state] : [];
      return deletions.some((other) => other.end > event.begin) ? [state, done.state] : [state];
    }
    case 'delete': {
      if (event.ghost && !state.forgotten) return [];
      const done = remove(state, call, now);
      return unknown || (answer.kind === 'removed' && answer.removed === done.result) ? [done.state] : [];
    }
    case 'clear': {
      const after = clear(state, call.user);
      // one that was begun meanwhile may be left
      const born = state.life && events[state.life.born];
      // what has expired is left to the sweep, or goes with the others
      const may = unknown || !visible(state, now) || (born !== undefined && born.end > event.begin);
      return after === state ? [state] : may ? [after, state] : [after];
    }
    case 'erase': {
      if (event.part === 'bar') return [bar(state, call.user, now)];
      const after = forget(state, call.user);
      // tombstones do not say whose they were: all of them go, but for those that are made meanwhile
      if (after === state) return state.life ? [state] : [{ ...state, version: 0, forgotten: true }, state];
      const born = state.life && events[state.life.born];
      const may = unknown || (born !== undefined && born.end > event.begin);
      return may ? [after, state] : [after];
    }
    case 'purge':
    case 'stats':
      return [state];
    case 'get': {
      const found = hidden(state, call.scope, now) ? undefined : seen(state, now, call.limit);
      return answer.kind === 'seen' && same(answer.seen ?? null, found ?? null) ? [state] : [];
    }
    case 'recent': {
      const life = hidden(state, call.scope, now) ? undefined : visible(state, now);
      return answer.kind === 'recent' && same(answer.tags, windowed(life?.tags ?? [], call.limit)) ? [state] : [];
    }
    case 'page': {
      const life = hidden(state, call.scope, now) ? undefined : visible(state, now);
      return answer.kind === 'page' && same(answer.page, pageOf(life, call)) ? [state] : [];
    }
    case 'find':
    case 'iterate': {
      const life = visible(state, now);
      const matches = life?.owner === call.user && (call.mark === undefined || life.metadata['mark'] === call.mark);
      return answer.kind === 'seen' && same(answer.seen ?? null, (matches ? seen(state, now) : undefined) ?? null) ? [state] : [];
    }
  }
}

function hidden(state: State, scope: string | undefined, now: number): boolean {
  return scope !== undefined && visible(state, now)?.owner !== scope;
}

/** A restore ends what it replaces, too. */
function isDeletion({ call: { op } }: Event): boolean {
  return op === 'delete' || op === 'clear' || op === 'erase' || op === 'restore';
}

function pageOf(
  life: { readonly first: number; readonly tags: readonly string[] } | undefined,
  { after, before, limit }: Extract<Call, { op: 'page' }>,
): readonly [number, number, boolean, readonly (readonly [number, string])[]] {
  if (!life) return [1, 1, false, []];
  const { first, tags } = life;
  const next = first + tags.length;
  const all = tags.map((tag, i) => [first + i, tag] as const);
  if (after === undefined && before !== undefined) {
    const below = all.filter(([seq]) => seq < before);
    return [first, next, below.length > limit, limit === 0 ? [] : below.slice(-limit)];
  }
  const inside = all.filter(([seq]) => seq > (after ?? 0) && (before === undefined || seq < before));
  return [first, next, inside.length > limit, inside.slice(0, limit)];
}

/** Steps a search may take before it is called too long. */
const STEPS = 2_000_000;

/**
 * Searches for an order.
 *
 * @param events - of one conversation; numbers are places in this list
 * @returns undefined when there is one; otherwise how far the best attempt came
 */
export function explain(events: readonly Event[]): string | undefined {
  const done = events.map(() => false);
  /** For each event of unknown fate, the later write of the same client behind which it is refused as a straggler. */
  const limitOf = events.map((event, i) =>
    event.answer.kind === 'unknown' && !event.ghost && /^(store|append|restore|delete)$/.test(event.call.op) ? laterWrite(events, i) : -1,
  );
  const barOf = events.map((event, i) => (event.part === 'forget' ? i - 1 : -1));
  const dead = new Set<string>();
  let steps = 0;
  let best: number[] = [];
  const order: number[] = [];
  let backtracked = false;
  const search = (state: State, left: number): boolean => {
    if (left === 0) return true;
    const key = backtracked ? `${done.map(Number).join('')}${stable(state)}` : '';
    if (backtracked && dead.has(key)) return false;
    let firstEnd = Number.POSITIVE_INFINITY;
    for (const [i, event] of events.entries()) if (!done[i] && event.end < firstEnd) firstEnd = event.end;
    // those with an answer first: what is unknown mostly did not happen
    for (const optional of [false, true]) {
      for (const [i, event] of events.entries()) {
        if (done[i] || event.begin > firstEnd || (event.end === Number.POSITIVE_INFINITY) !== optional) continue;
        const bars = barOf[i] ?? -1;
        if (bars >= 0 && !done[bars]) continue;
        // an erasure forgets what was known of writers, and with it who is late
        const limit = limitOf[i] ?? -1;
        if (limit >= 0 && done[limit] && !state.forgotten) continue;
        if (++steps > STEPS) throw new Error('the search for an order takes too long');
        for (const next of step(state, event, events)) {
          done[i] = true;
          order.push(i);
          if (order.length > best.length) best = [...order];
          if (search(next, optional ? left : left - 1)) return true;
          order.pop();
          done[i] = false;
          backtracked = true;
        }
      }
    }
    if (key !== '') dead.add(key);
    return false;
  };
  const answered = events.filter((event) => event.end !== Number.POSITIVE_INFINITY).length;
  if (search(NOTHING, answered)) return undefined;
  const told = new Set(best);
  return `an order of ${best.length} of ${events.length} calls: ${best.join(' ')}; not: ${events
    .map((_event, i) => i)
    .filter((i) => !told.has(i))
    .join(' ')}`;
}

/** The next write of the client that was applied: what comes after it with an older counter is refused. */
function laterWrite(events: readonly Event[], at: number): number {
  const { client, begin } = events[at] as Event;
  let found = -1;
  for (const [i, event] of events.entries()) {
    if (i === at || event.client !== client || event.begin < begin) continue;
    const { answer } = event;
    const applied =
      (answer.kind === 'written' && answer.written.ok && !answer.written.duplicate) ||
      (answer.kind === 'removed' && answer.removed === true);
    if (applied && (found < 0 || event.begin < (events[found] as Event).begin)) found = i;
  }
  return found;
}
