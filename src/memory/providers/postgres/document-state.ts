/**
 * One row of the layout `document`: what of a conversation is in columns, in the array of messages and in `metadata."$jaf"`,
 * and what it means when another program has written it since.
 *
 * @module
 */
import { StoredBody } from '../../body.js';
import { encodeMessage, freeze } from '../../codec.js';
import type { Body, Receipt, Segment, Stored, Window } from '../../driver.js';
import { type ConversationState, resolveWindow, type WriterEntry } from '../../local.js';
import { OLDER_METADATA, olderMessage } from '../../older.js';
import type { Message } from '../../types.js';
import { escapeJson, unescapeJson } from './escape.js';
import { type Row, textOf } from './records.js';

/** The key of our state in the metadata, and of a segment among the messages. */
const OURS = '$jaf';
/** Format mark and checksum in front of the JSON text of a body, see ../../codec.ts. */
const BODY_PREFIX = 8;
type Ring = readonly [id: string, counter: number, time: number, version?: number, messages?: number, created?: boolean];
type Operation = readonly [hash: string, digest: string, version: number, messages: number, created: boolean];
type SegmentSize = readonly [from: number, to: number, bytes: number];

/** What is under `metadata."$jaf"`. Times in milliseconds. */
interface Ours {
  readonly epoch: number;
  readonly version: number;
  readonly trace?: string | undefined;
  readonly created: number;
  readonly updated: number;
  readonly ttl?: number | null | undefined;
  readonly expires?: number | undefined;
  readonly hold?: boolean | undefined;
  readonly first: number;
  readonly next: number;
  readonly packed: number;
  readonly bytes: number;
  /** Elements of the array when we wrote it: another number is another program's. */
  readonly count: number;
  readonly segments?: readonly SegmentSize[] | undefined;
  readonly writers: readonly Ring[];
  readonly floor: number;
  readonly operations?: readonly Operation[] | undefined;
  readonly removed?: number | undefined;
  /** A key of the caller's metadata that is named as ours. */
  readonly own?: unknown;
}

/** A row, understood. */
export interface DocumentRow {
  /** Changes with every write of the row, whoever makes it. */
  readonly xmin: string;
  readonly state: ConversationState;
  /** They are the first elements of the array. */
  readonly segments: readonly SegmentSize[];
  readonly operations: readonly Operation[];
  /** Elements of the array. */
  readonly count: number;
}

/**
 * Understands a row of `documentRows`.
 *
 * @param row - with the columns of `documentColumns`
 */
export function documentOf(row: Row): DocumentRow {
  const parsed = row['metadata'] === null ? {} : (JSON.parse(unescapeJson(textOf(row['metadata'])) || '{}') as unknown);
  const all: Record<string, unknown> =
    typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Record<string, unknown>) : {};
  const candidate = all[OURS] as Ours | undefined;
  const ours = typeof candidate === 'object' && candidate !== null && !Array.isArray(candidate) ? candidate : undefined;
  const count = Number(row['n']);
  const updatedAt = Number(row['updated']);
  const segments =
    row['size'] === null || row['size'] === undefined
      ? (ours?.segments ?? [])
      : (JSON.parse(textOf(row['segments']) || '[]') as SegmentSize[]);
  const metadata = ownMetadata(all, ours);
  const removed = count === 0 ? ours?.removed : undefined;
  const id = textOf(row['id']);
  const { first, next, packedTo } = extentOf(ours, count, segments);
  const foreign = row['touched'] === true || (ours !== undefined && ours.count !== count);
  const version = ours ? (foreign ? Math.max(ours.version + 1, updatedAt) : ours.version) : Math.max(1, updatedAt);
  const bytes = ours && ours.count === count ? ours.bytes : Number(row['size']) + Buffer.byteLength(metadata);
  const trace = ours ? ours.trace : (all['traceId'] ?? all['trace_id']);
  const state: ConversationState = {
    id,
    owner: typeof row['user_id'] === 'string' && row['user_id'] !== '' ? row['user_id'] : undefined,
    trace: typeof trace === 'string' && trace !== '' ? trace : undefined,
    epoch: ours?.epoch ?? Math.max(1, Number(row['created'])),
    version,
    createdAt: Number(row['created']),
    updatedAt,
    ttl: ours?.ttl,
    expiresAt: ours?.expires,
    hold: ours?.hold ?? false,
    first,
    next,
    packedTo,
    bytes,
    metadata,
    writers: (ours?.writers ?? []).map(writerOf),
    writersFloor: ours?.floor ?? 0,
    ...(removed === undefined ? {} : { removedAt: removed }),
  };
  return { xmin: textOf(row['xmin']), state, segments, operations: ours?.operations ?? [], count };
}

/** The sequences: of our state while the array is as we left it, else what the array says, going on from ours where it can. */
function extentOf(
  ours: Ours | undefined,
  count: number,
  segments: readonly SegmentSize[],
): { first: number; next: number; packedTo: number } {
  if (ours && ours.count === count) return { first: ours.first, next: ours.next, packedTo: ours.packed };
  const unpacked = count - segments.length;
  const end = segments.at(-1)?.[1];
  if (end !== undefined) {
    const from = segments[0]?.[0] ?? end;
    return { first: Math.max(ours?.first ?? from, from), next: end + unpacked, packedTo: end };
  }
  // fewer than there were: somebody replaced or trimmed them, and no sequence is given to another message
  const first = ours ? (count < ours.count ? ours.next : ours.first) : 1;
  return { first, next: first + unpacked, packedTo: first };
}

function writerOf([id, counter, time, version, messageCount, created]: Ring): WriterEntry {
  if (version === undefined || messageCount === undefined) return { id, counter, time };
  return { id, counter, time, receipt: { version, messageCount, created: created === true } };
}

function ringOf({ id, counter, time, receipt }: WriterEntry): Ring {
  return receipt ? [id, counter, time, receipt.version, receipt.messageCount, receipt.created] : [id, counter, time];
}

function ownMetadata(all: Readonly<Record<string, unknown>>, ours: Ours | undefined): string {
  const entries: [string, unknown][] = [];
  for (const entry of Object.entries(all)) {
    if (ours ? entry[0] !== OURS : !OLDER_METADATA.has(entry[0])) entries.push(entry);
  }
  if (ours?.own !== undefined) entries.push([OURS, ours.own]);
  return objectText(entries);
}

/** JSON text; `__proto__` is a key like any other. */
function objectText(entries: readonly (readonly [string, unknown])[]): string {
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}

/** An operation of the caller, as it is kept. */
export function operationOf(operation: { readonly hash: string; readonly digest: string }, receipt: Receipt): Operation {
  return [operation.hash, operation.digest, receipt.version, receipt.messageCount, receipt.created];
}

/** JSON text of the whole metadata column for a state; `count`: elements of the array from now on. */
export function metadataText(
  state: ConversationState,
  count: number,
  segments: readonly SegmentSize[],
  operations: readonly Operation[],
): string {
  const own = Object.entries(JSON.parse(state.metadata) as object) as [string, unknown][];
  const named = own.find(([key]) => key === OURS);
  const ours: Ours = {
    epoch: state.epoch,
    version: state.version,
    trace: state.trace,
    created: state.createdAt,
    updated: state.updatedAt,
    ttl: state.ttl,
    expires: state.expiresAt,
    hold: state.hold ? true : undefined,
    first: state.first,
    next: state.next,
    packed: state.packedTo,
    bytes: state.bytes,
    count,
    segments: segments.length > 0 ? segments : undefined,
    writers: state.writers.map(ringOf),
    floor: state.writersFloor,
    operations: operations.length > 0 ? operations : undefined,
    removed: state.removedAt,
    own: named?.[1],
  };
  return escapeJson(objectText([...own.filter(([key]) => key !== OURS), [OURS, ours]]));
}

/** A body as an element of the array: a message as other programs know it. What is not a message of ours is a string. */
export function elementOf(body: Body): string {
  return escapeJson(body.text[0] === '1' && body.text[BODY_PREFIX] === '{' ? body.text.slice(BODY_PREFIX) : JSON.stringify(body.text));
}

/** A segment as an element of the array. */
export function segmentElement(from: number, to: number, data: string): string {
  return escapeJson(`{"${OURS}":[${from},${to},${JSON.stringify(data)}]}`);
}

/** The body an element of the array stands for, whoever wrote it. */
export function bodyOf(element: unknown): Body {
  if (typeof element === 'string') return new StoredBody(element);
  const message = typeof element === 'object' && element !== null ? olderMessage(element) : { role: 'user', content: element };
  return encodeMessage(freeze('content' in message ? message : { ...message, content: null }) as unknown as Message);
}

/** The elements of a text as PostgreSQL writes jsonb. */
export function elementsOf(text: unknown): readonly unknown[] {
  return JSON.parse(unescapeJson(textOf(text) || '[]')) as unknown[];
}

/** Bytes of these elements. */
export function bytesOfElements(elements: readonly unknown[]): number {
  return elements.reduce<number>((sum, element) => sum + bodyOf(element).bytes, 0);
}

/** How many of the last elements a read of this window needs; it covers the others that are asked for from an end. */
export function elementsFor(window: Window): number {
  return window.kind === 'none' ? 0 : window.kind === 'last' ? window.count : Number.MAX_SAFE_INTEGER;
}

/**
 * Puts a read together.
 *
 * @param document - the row
 * @param text - the last elements of the array, as {@link elementsFor} says
 * @param window - what was asked for
 */
export function storedOf(document: DocumentRow, text: unknown, window: Window): Stored {
  const { state, segments, count } = document;
  const { from, to } = resolveWindow(state, window);
  const found: { seq: number; body: Body }[] = [];
  const packed: Segment[] = [];
  if (from < to) {
    const elements = elementsOf(text);
    const base = count - elements.length;
    for (const [place, element] of elements.entries()) {
      const at = base + place;
      const segment = segments[at];
      if (segment) {
        const [first, end] = segment;
        const data = (element as Record<string, unknown[]>)[OURS]?.[2];
        if (end > from && first < to && typeof data === 'string') packed.push({ from: first, to: end, data });
      } else {
        const seq = state.packedTo + at - segments.length;
        if (seq >= from && seq < to) found.push({ seq, body: bodyOf(element) });
      }
    }
  }
  return { header: state, bodies: found, segments: packed };
}
