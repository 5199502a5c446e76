/**
 * What statements take and answer, and the values they stand for.
 *
 * @module
 */
import { StoredBody } from '../../body.js';
import type { Body, Extent, Header, Receipt, Remove, RemoveOutcome, Segment, Stored, Write, WriteOutcome } from '../../driver.js';
import { escapeJson, unescapeJson } from './escape.js';

/** A row of an answer; numbers may come as strings, as numbers or as bigints, depending on the client's parsers. */
export type Row = Readonly<Record<string, unknown>>;

/** A column that is a text, as far as anybody knows; for error texts and ids. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The item of sql/write.sql for a write; `n` is its place in the batch. */
export function itemOf(write: Write, n: number): object {
  const { restore, operation } = write;
  let size = 0;
  for (const body of write.bodies) size += body.bytes;
  return {
    n,
    id: write.id,
    kind: write.kind,
    now: write.now,
    writer: write.writer.id,
    counter: write.writer.counter,
    retry: write.retry,
    scoped: write.scoped,
    named: write.owner,
    owner_hash: write.ownerHash,
    new_trace: write.trace,
    creates: write.create,
    expected: write.expectedVersion,
    op: operation?.hash,
    digest: operation?.digest,
    count: write.bodies.length,
    size,
    ...(write.metadata === undefined ? {} : { patch: escapeJson(write.metadata), patch_bytes: Buffer.byteLength(write.metadata) }),
    set_hold: write.hold,
    set_ttl: write.ttl === null ? 0 : write.ttl,
    default_ttl: write.defaultTtl,
    keep: write.maxMessages,
    on_conflict: restore?.onConflict,
    r_created: restore?.createdAt,
    r_updated: restore?.updatedAt,
    r_expires: restore?.expiresAt,
    r_first: restore?.firstSeq,
  };
}

/**
 * An array as PostgreSQL writes it, of texts. Clients do the same with arrays, and more slowly.
 *
 * @param texts - absent ones are NULL
 */
export function arrayText(texts: readonly (string | undefined)[]): string {
  return `{${texts.map((text) => (text === undefined ? 'NULL' : `"${text.replaceAll(/["\\]/g, '\\$&')}"`)).join(',')}}`;
}

/** The item of sql/remove.sql. */
export function removalOf(remove: Remove): object {
  return {
    id: remove.id,
    now: remove.now,
    writer: remove.writer.id,
    counter: remove.writer.counter,
    retry: remove.retry,
    scoped: remove.scoped,
    named: remove.owner,
    expected: remove.expectedVersion,
  };
}

/** The outcome a row of sql/write.sql stands for; `full`: to be sent again with `discard`. */
export function outcomeOf(row: Row): WriteOutcome | { readonly kind: 'full' } {
  const kind = row['outcome'] as WriteOutcome['kind'] | 'full';
  switch (kind) {
    case 'ok':
      return { kind, receipt: receiptOf(row), extent: extentOf(row), trimmed: Number(row['trimmed']) };
    case 'repeated':
    case 'duplicate':
    case 'skipped':
      return { kind, receipt: receiptOf(row) };
    case 'conflict':
      return { kind, actualVersion: Number(row['version']) };
    default:
      return { kind };
  }
}

/** The outcome a row of sql/append.sql stands for. */
export function appendedOf(row: Row): WriteOutcome {
  const [version = 0, messageCount = 0, created, epoch = 0, first = 0, next = 0, packedTo = 0] = textOf(row['answer'])
    .split(' ')
    .map(Number);
  return { kind: 'ok', receipt: { version, messageCount, created: created === 1 }, extent: { epoch, first, next, packedTo }, trimmed: 0 };
}

function extentOf(row: Row): Extent {
  return { epoch: Number(row['epoch']), first: Number(row['first']), next: Number(row['next']), packedTo: Number(row['packed']) };
}

function receiptOf(row: Row): Receipt {
  return { version: Number(row['version']), messageCount: Number(row['messages']), created: row['created'] === true };
}

/** The outcome a row of sql/remove.sql stands for. */
export function removalOutcomeOf(row: Row): RemoveOutcome {
  const kind = row['outcome'] as RemoveOutcome['kind'];
  return kind === 'conflict' ? { kind, actualVersion: Number(row['version']) } : { kind };
}

type HeaderTuple = readonly [
  id: string,
  owner: string | null,
  trace: string | null,
  epoch: number,
  version: number,
  createdAt: number,
  updatedAt: number,
  ttl: number | null,
  expiresAt: number | null,
  hold: boolean,
  first: number,
  next: number,
  packedTo: number,
  bytes: number,
];

function headerOf(tuple: HeaderTuple, metadata: string): Header {
  const [id, owner, trace, epoch, version, createdAt, updatedAt, ttl, expiresAt, hold, first, next, packedTo, bytes] = tuple;
  return {
    id,
    owner: owner ?? undefined,
    trace: trace ?? undefined,
    epoch,
    version,
    createdAt,
    updatedAt,
    ttl: ttl === null ? undefined : ttl === 0 ? null : ttl,
    expiresAt: expiresAt ?? undefined,
    hold,
    first,
    next,
    packedTo,
    bytes,
    // jsonb writes blanks, and numbers in full
    metadata: metadata === '{}' ? metadata : JSON.stringify(JSON.parse(unescapeJson(metadata))),
  };
}

/** The header a row of the statement "headers" is. */
export function headerOfRow(row: Row): Header {
  const text = (name: string): string | null => (row[name] as string | null) ?? null;
  const number = (name: string): number => Number(row[name]);
  const numberOrNull = (name: string): number | null => (row[name] === null ? null : Number(row[name]));
  return headerOf(
    [
      textOf(row['conversation_id']),
      text('owner'),
      text('trace'),
      number('epoch'),
      number('version'),
      number('created_at'),
      number('updated_at'),
      numberOrNull('ttl'),
      numberOrNull('expires_at'),
      row['hold'] === true || row['hold'] === 't',
      number('first_seq'),
      number('next_seq'),
      number('packed_to'),
      number('bytes'),
    ],
    textOf(row['metadata']),
  );
}

/** The columns of "headers", in order. */
export const HEADER_COLUMNS: readonly string[] =
  'conversation_id owner trace epoch version created_at updated_at ttl expires_at hold first_seq next_seq packed_to bytes metadata'.split(
    ' ',
  );

/** Where a list ended: rows looked at, whether it found more than it gave, and the place to continue behind. */
export type ListEnd = readonly [looked: number, foundMore: boolean, at: number | null, id: string | null];

interface Collected {
  readonly header: Header;
  readonly bodies: { seq: number; body: Body }[];
  readonly segments: Segment[];
}

/** A conversation whose header is this text of sql/read.sql. */
function begin(text: string): Collected {
  const cut = text.indexOf('\n');
  return { header: headerOf(JSON.parse(text.slice(0, cut)) as HeaderTuple, text.slice(cut + 1)), bodies: [], segments: [] };
}

function add(to: Collected, seq: string, text: string): void {
  const cut = seq.indexOf(' ');
  if (cut < 0) to.bodies.push({ seq: Number(seq), body: new StoredBody(text) });
  else to.segments.push({ from: Number(seq.slice(0, cut)), to: Number(seq.slice(cut + 1)), data: text });
}

/**
 * Puts the rows of one conversation together.
 *
 * @param rows - of the statement "read"; SQL promises no order for the parts of a UNION ALL, in practice they come in order
 * @returns undefined when there is none
 */
export function collectOne(rows: readonly Row[]): Stored | undefined {
  const head = rows[0]?.['seq'] === null ? rows[0] : rows.find((row) => row['seq'] === null);
  if (!head) return undefined;
  const collected = begin(head['text'] as string);
  for (const row of rows) if (row !== head) add(collected, row['seq'] as string, row['text'] as string);
  return ordered(collected);
}

/**
 * Puts the rows of a list together.
 *
 * @param rows - of the statement "list"
 * @returns the conversations in their order, and where it ended
 */
export function collect(rows: readonly Row[]): { readonly items: readonly Stored[]; readonly end: ListEnd | undefined } {
  const byPlace = new Map<number, Collected>();
  let end: ListEnd | undefined;
  for (const row of rows) {
    const at = Number(row['at']);
    const seq = row['seq'] as string | null;
    const text = row['text'] as string;
    if (at < 0) end = JSON.parse(text) as ListEnd;
    else if (seq === null) byPlace.set(at, begin(text));
    else {
      const collected = byPlace.get(at);
      if (collected) add(collected, seq, text);
    }
  }
  const items = [...byPlace].sort(([a], [b]) => a - b).map(([, item]) => ordered(item));
  return { items, end };
}

function ordered(item: Collected): Stored {
  const { bodies, segments } = item;
  if (bodies.some((b, i) => i > 0 && b.seq < (bodies[i - 1]?.seq ?? 0))) bodies.sort((a, b) => a.seq - b.seq);
  if (segments.some((s, i) => i > 0 && s.from < (segments[i - 1]?.from ?? 0))) segments.sort((a, b) => a.from - b.from);
  return item;
}
