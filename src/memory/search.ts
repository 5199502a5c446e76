/**
 * Reading one conversation and walking the matches of a query, for a provider or a handle limited to one user.
 *
 * @module
 */
import type { Core } from './core.js';
import type { Cursor, List, Page, Stored, Window } from './driver.js';
import { matchesQuery, windowOf } from './reads.js';
import type { CallContext } from './retry.js';
import type { MemoryQuery } from './types.js';

/** Conversations per page with their messages to begin with, and headers only, which is also the most with messages. */
const PAGE_FULL = 32;
const PAGE_HEADERS = 512;
/** What a page with messages is meant to take: small conversations come in larger pages. */
const PAGE_BYTES = 1_048_576;

/** Who looks: a provider, or with `scope` a handle that sees only that user's conversations. */
export interface Reader {
  readonly core: Core;
  readonly scope: string | undefined;
}

/** One conversation with the part a window asks for; another's looks absent to a handle. */
export async function readOne(
  { core, scope }: Reader,
  call: CallContext,
  id: string,
  window: Window,
  signal: AbortSignal | undefined,
): Promise<Stored | undefined> {
  const read = { id, now: core.now(), window };
  const stored = await core.trip(call, (trip) => core.driver.read(read, trip), { signal });
  return scope === undefined || stored?.header.owner === scope ? stored : undefined;
}

/** The matches of a checked query in order, each with the window it asks for. */
export async function* search(
  reader: Reader,
  call: CallContext,
  query: MemoryQuery,
  by: List['by'],
  direction: List['direction'],
): AsyncGenerator<Stored> {
  const { core, scope } = reader;
  const owner = scope ?? query.userId;
  if (scope !== undefined && query.userId !== undefined && query.userId !== scope) return;
  const window = windowOf(query.messageLimit);
  let toSkip = query.offset ?? 0;
  let wanted = query.limit ?? Number.POSITIVE_INFINITY;
  if (query.conversationId !== undefined) {
    const stored = toSkip > 0 ? undefined : await readOne(reader, call, query.conversationId, window, query.signal);
    if (stored && matchesQuery(stored.header, query, owner, call)) yield stored;
    return;
  }
  // what only the layer can decide is decided on headers; bodies are read of the winners alone
  const headersFirst = query.traceId !== undefined || query.metadata !== undefined || toSkip > 0;
  const full = !headersFirst && window.kind !== 'none';
  let size = full ? PAGE_FULL : PAGE_HEADERS;
  const pageBehind = (after: Cursor | undefined, left: number): Promise<Page> => {
    const list: List = {
      now: core.now(),
      by,
      direction,
      owner,
      since: query.since?.getTime(),
      until: query.until?.getTime(),
      trace: query.traceId,
      metadata: query.metadata && JSON.stringify(query.metadata),
      after,
      limit: headersFirst ? PAGE_HEADERS : Math.min(size, left),
      window: headersFirst ? { kind: 'none' } : window,
    };
    return core.trip(call, (trip) => core.driver.list(list, trip), { signal: query.signal });
  };
  // a driver without I/O answers no sooner when it is asked early, and counts bytes when they are looked at
  const far = core.driver.writeNow === undefined && !core.driver.capabilities.borrowed;
  let early: Promise<Page> | undefined;
  let after: Cursor | undefined;
  for (let pages = 1; ; pages++) {
    const page: Page = await (early ?? pageBehind(after, wanted));
    after = page.cursor;
    if (full && far) size = pageSize(page, size);
    // who has read a page will read on: the store works on the next one while this one is decoded and used
    early = after && full && far && pages > 1 && wanted > page.items.length ? pageBehind(after, wanted - page.items.length) : undefined;
    early?.catch(() => undefined); // nobody waits for it when the reader stops
    for (const item of page.items) {
      if (!matchesQuery(item.header, query, owner, call)) continue;
      if (toSkip > 0) {
        toSkip--;
        continue;
      }
      const stored = headersFirst && window.kind !== 'none' ? await readOne(reader, call, item.header.id, window, query.signal) : item;
      // between the two trips it may have gone, or begun another life under another owner
      if (!stored || !matchesQuery(stored.header, query, owner, call)) continue;
      yield stored;
      if (--wanted <= 0) return;
    }
    if (!after) return;
  }
}

/** How many conversations the next page should have, by what those of this one take. */
function pageSize({ items }: Page, before: number): number {
  if (items.length === 0) return before;
  let bytes = 0;
  for (const { header } of items) bytes += header.bytes;
  const fitting = Math.ceil((PAGE_BYTES * items.length) / Math.max(1, bytes));
  // growing by steps: one page of small ones says little about the next
  return Math.max(1, Math.min(fitting, before * 4, PAGE_HEADERS));
}
