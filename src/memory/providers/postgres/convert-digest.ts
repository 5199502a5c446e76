/**
 * What a document is in the layout `rows`: a header and pieces, and a digest of both to compare a copy by.
 *
 * @module
 */
import { createHash, type Hash } from 'node:crypto';
import { canonicalJson } from '../../canonical.js';
import type { Body } from '../../driver.js';
import { bodyOf, type DocumentRow } from './document-state.js';
import { escapeJson } from './escape.js';

/** A document that means nothing: it is not copied, and nothing is switched over without it. */
export class UnreadableError extends Error {}

/** What is stored of a message, or of several. */
export type Piece =
  | { readonly kind: 'body'; readonly seq: number; readonly body: Body }
  | { readonly kind: 'segment'; readonly from: number; readonly to: number; readonly data: string };

/** Everything the layout `rows` keeps of a conversation beside its bodies, as sql/convert.sql names it. */
const FIELDS = [
  'id',
  'owner',
  'trace',
  'epoch',
  'version',
  'created',
  'updated',
  'ttl',
  'expires',
  'removed',
  'first',
  'next',
  'packed',
  'bytes',
  'metadata_bytes',
  'hold',
  'floor',
  'writers',
  'marks',
] as const;
/** As `convertStaged` of sql/convert.sql answers it. */
export type StagedHeader = Readonly<Record<(typeof FIELDS)[number], unknown>>;

function headerOf({ state }: DocumentRow, bodyBytes: number): StagedHeader {
  const removed = state.removedAt !== undefined;
  const metadataBytes = Buffer.byteLength(state.metadata);
  return {
    id: state.id,
    owner: state.owner ?? null,
    trace: state.trace ?? null,
    epoch: state.epoch,
    version: state.version,
    created: state.createdAt,
    updated: state.updatedAt,
    ttl: state.ttl === undefined ? null : (state.ttl ?? 0),
    expires: state.expiresAt ?? null,
    removed: state.removedAt ?? null,
    first: state.first,
    next: state.next,
    packed: state.packedTo,
    bytes: removed ? 0 : bodyBytes + metadataBytes,
    metadata_bytes: metadataBytes,
    hold: state.hold,
    floor: state.writersFloor,
    writers: state.writers.map((w) => w.id),
    marks: state.writers.flatMap(({ counter, time, receipt }) => [
      counter,
      time,
      receipt ? receipt.version : -1,
      receipt ? 2 * receipt.messageCount + Number(receipt.created) : 0,
    ]),
  };
}

/** Digest of what a provider reads of a conversation, and of what it decides by: pieces in order, then the header. */
export class Digest {
  readonly #hash: Hash = createHash('sha256');

  /** Adds a piece; they are told in the order of the array. */
  piece(epoch: number, piece: Piece): void {
    const [name, text] = piece.kind === 'body' ? [`${piece.seq}`, piece.body.text] : [`${piece.from}-${piece.to}`, piece.data];
    this.#hash.update(`${piece.kind} ${epoch} ${name} ${text.length}\n`).update(text);
  }

  /** The digest, in hexadecimal digits. */
  end(header: StagedHeader, metadata: string, operations: unknown): string {
    this.#hash.update(JSON.stringify([FIELDS.map((name) => header[name]), operations]));
    return this.#hash.update(canonicalJson(JSON.parse(metadata))).digest('hex');
  }
}

/**
 * The pieces some elements of the array are.
 *
 * @param document - the row
 * @param elements - some that follow each other
 * @param base - place of the first of them, from 0
 * @throws UnreadableError
 */
export function* piecesOf({ state, segments }: DocumentRow, elements: readonly unknown[], base: number): Generator<Piece> {
  for (const [place, element] of elements.entries()) {
    const at = base + place;
    const packed = (element as { $jaf?: unknown } | null)?.$jaf;
    const segment = segments[at];
    if (segment) {
      const [from, to] = segment;
      const [first, end, data] = (Array.isArray(packed) ? packed : []) as unknown[];
      if (first !== from || end !== to || typeof data !== 'string') throw new UnreadableError();
      if (to > state.first && from < state.next) yield { kind: 'segment', from, to, data };
    } else {
      // packed messages somewhere else would be taken for one message
      if (Array.isArray(packed)) throw new UnreadableError();
      const seq = state.packedTo + at - segments.length;
      const body = bodyOf(element);
      // a text column has no place for half a surrogate pair, and the client would write another character
      if (!body.text.isWellFormed()) throw new UnreadableError();
      if (seq >= state.first && seq < state.next) yield { kind: 'body', seq, body };
    }
  }
}

/**
 * The item of `convertHeaders` of sql/convert.sql.
 *
 * @param document - the row
 * @param bodyBytes - of its pieces
 * @param digest - that was told all pieces; ended by this
 * @param size - bytes of the array as text
 */
export function itemOf(document: DocumentRow, bodyBytes: number, digest: Digest, size: number): string {
  const header = headerOf(document, bodyBytes);
  const { metadata } = document.state;
  return JSON.stringify({
    ...header,
    metadata: escapeJson(metadata),
    operations: document.operations,
    mark: document.xmin,
    digest: digest.end(header, metadata, document.operations),
    size,
  });
}
