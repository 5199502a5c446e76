/**
 * Reading inside a transaction: windows of conversations, pages of walks, totals.
 *
 * @module
 */
import { StoredBody } from '../../body.js';
import type { Body, Cursor, List, Page, Read, Segment, StatsPage, StatsQuery, Stored, Window } from '../../driver.js';
import { compareCursors, resolveWindow, EARLIEST, LATEST } from '../../local.js';
import { type BodiesRow, textsOf } from './bodies.js';
import { placeOf } from './purge.js';
import { type Found, type HeaderRow, toFound } from './rows.js';
import type { Statements } from './statements.js';

/** Headers one list call looks at, and about how many bytes of bodies end its page (UTF-16 units of text are counted). */
const SCAN = 1000;
const PAGE_BYTES = 8_388_608;
/** Headers one statistics call folds: about 5 ms. */
const FOLD = 2000;

/** Whether readers can see a conversation at a time. */
function isOpen({ header }: Found, now: number): boolean {
  return header.expiresAt === undefined || header.expiresAt > now;
}

/** What a read answers. */
export function readOne(sql: Statements, read: Read): Stored | undefined {
  const row = sql.tuple<HeaderRow>('header', read.id);
  const found = row && toFound(row);
  return found && isOpen(found, read.now) ? readWindow(sql, found, read.window) : undefined;
}

interface SegmentRow {
  readonly first: number;
  readonly next: number;
  readonly data: Uint8Array;
}

/** A conversation with the messages and segments a window asks for. */
function readWindow(sql: Statements, found: Found, window: Window): Stored {
  const { key, base, header } = found;
  const { from, to } = resolveWindow(header, window);
  if (from >= to) return { header, bodies: [], segments: [] };
  const { packedTo } = header;
  const packed = from < packedTo ? sql.all<SegmentRow>('segments', key, from - base, Math.min(to, packedTo) - base) : [];
  return {
    header,
    bodies: to > packedTo ? readBodies(sql, found, Math.max(from, packedTo), to) : [],
    segments: packed.map(({ first, next, data }): Segment => ({ from: base + first, to: base + next, data })),
  };
}

/** The bodies of sequences from `from` to before `to`. One that is missing in a damaged file is missing here too. */
function readBodies(sql: Statements, { key, base }: Found, from: number, to: number): Stored['bodies'] {
  const out: { seq: number; body: Body }[] = [];
  for (const row of sql.tuples<BodiesRow>('messages', key, from - base, to - base)) {
    let seq = base + row[0];
    for (const text of textsOf(row)) {
      if (seq >= from && seq < to) out.push({ seq, body: new StoredBody(text) });
      seq++;
    }
  }
  return out;
}

/** The statement of a walk, where it begins and the time it ends at. */
function walkOf(list: List): { readonly name: string; readonly start: Cursor; readonly end: number } {
  const asc = list.direction === 'asc';
  const name = `${list.by}${asc ? 'Asc' : 'Desc'}`;
  const byUpdate = list.by === 'updated';
  // ids are never empty: (time, '') stands before everything of that time
  const bound = asc
    ? { at: (byUpdate ? list.since : undefined) ?? EARLIEST.at, id: '' }
    : { at: byUpdate && list.until !== undefined ? list.until + 1 : LATEST.at, id: '' };
  const behind = list.after && compareCursors(list.after, bound) > 0 === asc ? list.after : bound;
  const end = asc ? ((byUpdate ? list.until : undefined) ?? LATEST.at) : ((byUpdate ? list.since : undefined) ?? EARLIEST.at);
  return { name: list.owner === undefined ? name : `owner${name.slice(0, 1).toUpperCase()}${name.slice(1)}`, start: behind, end };
}

/** One page of a walk. */
export function listPage(sql: Statements, list: List): Page {
  const { name, start, end } = walkOf(list);
  const owner = list.owner === undefined ? [] : [list.owner];
  const items: Stored[] = [];
  let place = start;
  let bytes = 0;
  for (let scanned = 0; items.length < list.limit && scanned < SCAN && bytes < PAGE_BYTES; ) {
    const wanted = Math.min(list.limit - items.length, SCAN - scanned);
    const rows = sql.tuples<HeaderRow>(name, place.at, place.id, end, wanted, ...owner);
    for (const row of rows) {
      const found = toFound(row);
      place = placeOf(found, list.by);
      scanned++;
      if (!isOpen(found, list.now) || !mayMatch(found, list)) continue;
      const stored = readWindow(sql, found, list.window);
      items.push(stored);
      for (const { body } of stored.bodies) bytes += body.text.length;
      for (const { data } of stored.segments) bytes += data.length;
      if (bytes >= PAGE_BYTES) return { items, cursor: place };
    }
    if (rows.length < wanted) return { items };
  }
  return { items, cursor: place };
}

/** What can be told from the columns; the layer decides on metadata. */
function mayMatch({ header: { trace, updatedAt } }: Found, list: List): boolean {
  return (
    (list.trace === undefined || trace === list.trace) &&
    (list.since === undefined || updatedAt >= list.since) &&
    (list.until === undefined || updatedAt <= list.until)
  );
}

interface TotalsRow extends Cursor {
  readonly expires_at: number | null;
  readonly messages: number;
  readonly bytes: number;
}

/** One page of totals. */
export function foldPage(sql: Statements, query: StatsQuery): StatsPage {
  const { at, id } = query.after ?? EARLIEST;
  const limit = Math.min(query.limit, FOLD);
  const rows =
    query.owner === undefined ? sql.all<TotalsRow>('totals', at, id, limit) : sql.all<TotalsRow>('ownerTotals', at, id, limit, query.owner);
  const visible = rows.filter((row) => row.expires_at === null || row.expires_at > query.now);
  const last = rows.length < limit ? undefined : rows.at(-1);
  return {
    conversations: visible.length,
    messages: visible.reduce((sum, row) => sum + row.messages, 0),
    bytes: visible.reduce((sum, row) => sum + row.bytes, 0),
    oldest: visible[0]?.at,
    newest: visible.at(-1)?.at,
    ...(last ? { cursor: { at: last.at, id: last.id } } : {}),
  };
}
