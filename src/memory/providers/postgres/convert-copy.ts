/**
 * Copies documents into the tables of the layout `rows`, and reads the copies back to compare them.
 *
 * @module
 */
import type { Session } from './client.js';
import { Digest, itemOf, type Piece, piecesOf, type StagedHeader, UnreadableError } from './convert-digest.js';
import { documentOf, elementsOf } from './document-state.js';
import { unescapeJson } from './escape.js';
import { sqlState } from './failures.js';
import { type Row, textOf } from './records.js';
import type { Statements, Variant } from './statements.js';

/** Bytes of messages, about, that are in memory and in one statement; a single message may be more. */
export const CHUNK = 8_388_608;

/** Whether the values were at fault (22), or the size of a key (54). */
function isUnstorable(error: unknown): boolean {
  return /^(22|54)/.test(sqlState(error) ?? '');
}

/** What one statement stores: columns of bodies and of segments. */
class Columns {
  readonly bodies: [string[], number[], number[], string[]] = [[], [], [], []];
  readonly segments: [string[], number[], number[], number[], string[]] = [[], [], [], [], []];
  bytes = 0;

  add(id: string, epoch: number, piece: Piece): void {
    if (piece.kind === 'body') {
      this.bytes += piece.body.bytes;
      [id, epoch, piece.seq, piece.body.text].forEach((value, n) => (this.bodies[n] as unknown[]).push(value));
    } else {
      this.bytes += Buffer.byteLength(piece.data);
      [id, epoch, piece.from, piece.to, piece.data].forEach((value, n) => (this.segments[n] as unknown[]).push(value));
    }
  }
}

/** What became of some documents. */
export interface Copied {
  readonly copied: number;
  readonly unreadable: readonly string[];
}

/** Moves documents from one store's table to the tables of another. */
export class Copier {
  readonly #query: Session;
  readonly #source: Statements;
  readonly #target: Statements;
  readonly #variant: Variant;

  /**
   * @param query - a session
   * @param source - statements with the names of the table of documents
   * @param target - statements with the names of the new tables
   * @param variant - of the documents' shape, and `copied`
   */
  constructor(query: Session, source: Statements, target: Statements, variant: Variant) {
    this.#query = query;
    this.#source = source;
    this.#target = target;
    this.#variant = variant;
  }

  /** A statement about the documents. */
  async source(name: string, values: readonly unknown[], variant: Variant = {}): Promise<readonly Row[]> {
    return this.#query(this.#source.get(name, { ...this.#variant, ...variant }).text, values);
  }

  /** A statement about the copies. */
  async target(name: string, values: readonly unknown[]): Promise<readonly Row[]> {
    return this.#query(this.#target.get(name, this.#variant).text, values);
  }

  /**
   * Copies documents as they are now; what was copied of them before goes.
   *
   * @param ids - of the documents
   * @param inside - whether a transaction is open: then nothing is committed, and a document that cannot be stored is an error
   * @param signal - asked between chunks of a large document
   */
  async copy(ids: readonly string[], inside: boolean, signal: AbortSignal): Promise<Copied> {
    const sizes = await this.source('convertSizes', [ids]);
    const unreadable = sizes.filter((row) => row['kind'] !== 'array').map((row) => textOf(row['id']));
    let copied = 0;
    let group: string[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      const done = group.length > 0 ? await this.#copySmall(group, inside) : { copied: 0, unreadable: [] };
      copied += done.copied;
      unreadable.push(...done.unreadable);
      group = [];
      bytes = 0;
    };
    for (const row of sizes.filter((r) => r['kind'] === 'array')) {
      const id = textOf(row['id']);
      const size = Number(row['size']);
      if (bytes + size > CHUNK) await flush();
      if (signal.aborted) return { copied, unreadable };
      if (size > CHUNK) {
        const done = await this.#copyLarge(id, signal);
        copied += done.copied;
        unreadable.push(...done.unreadable);
      } else {
        group.push(id);
        bytes += size;
      }
    }
    await flush();
    return { copied, unreadable };
  }

  async #copySmall(ids: readonly string[], inside: boolean): Promise<Copied> {
    const columns = new Columns();
    const headers: string[] = [];
    const found: string[] = [];
    const unreadable: string[] = [];
    for (const row of await this.source('convertRead', [ids], { whole: true })) {
      const document = documentOf(row);
      const { id, epoch } = document.state;
      try {
        const digest = new Digest();
        const elements = elementsOf(row['elements']);
        const own = new Columns();
        for (const piece of piecesOf(document, elements, 0)) {
          digest.piece(epoch, piece);
          own.add(id, epoch, piece);
          columns.add(id, epoch, piece);
        }
        headers.push(itemOf(document, own.bytes, digest, Buffer.byteLength(textOf(row['elements']))));
        found.push(id);
      } catch (error) {
        if (!(error instanceof UnreadableError)) throw error;
        unreadable.push(id);
      }
    }
    // what cannot be read may have left some of its pieces
    if (unreadable.length > 0 && found.length > 0) {
      const rest = await this.#copySmall(found, inside);
      return { copied: rest.copied, unreadable: [...unreadable, ...rest.unreadable] };
    }
    if (found.length === 0) return { copied: 0, unreadable };
    try {
      if (!inside) await this.#query('BEGIN');
      await this.target('convertClear', [found, false]);
      await this.#storePieces(columns);
      await this.target('convertHeaders', [`[${headers.join(',')}]`]);
      if (!inside) await this.#query('COMMIT');
    } catch (error) {
      if (inside || !isUnstorable(error)) throw error;
      await this.#query('ROLLBACK');
      if (found.length === 1) return { copied: 0, unreadable: found };
      let copied = 0;
      for (const id of found) {
        const one = await this.#copySmall([id], inside);
        copied += one.copied;
        unreadable.push(...one.unreadable);
      }
      return { copied, unreadable };
    }
    return { copied: found.length, unreadable };
  }

  async #storePieces({ bodies, segments }: Columns): Promise<void> {
    if (bodies[0].length > 0) await this.target('convertBodies', bodies);
    if (segments[0].length > 0) await this.target('convertSegments', segments);
  }

  /** In chunks, each committed alone; the header comes last, and without it there is no copy. */
  async #copyLarge(id: string, signal: AbortSignal): Promise<Copied> {
    const none = { copied: 0, unreadable: [] };
    const [row] = await this.source('convertRead', [[id]], { whole: false });
    if (!row) return none;
    const document = documentOf(row);
    const { epoch } = document.state;
    await this.target('convertClear', [[id], false]);
    const digest = new Digest();
    let bytes = 0;
    let size = 0;
    try {
      for (let at = 0; at < document.count; ) {
        if (signal.aborted) return none;
        const rows = await this.source('convertElements', [id, at, CHUNK]);
        // written meanwhile: it is copied again
        if (rows.length === 0 || rows[0]?.['mark'] !== document.xmin) return none;
        const columns = new Columns();
        const elements = rows.flatMap((r) => elementsOf(`[${textOf(r['element'])}]`));
        for (const piece of piecesOf(document, elements, at)) {
          digest.piece(epoch, piece);
          columns.add(id, epoch, piece);
        }
        await this.#storePieces(columns);
        bytes += columns.bytes;
        for (const r of rows) size += Buffer.byteLength(textOf(r['element']));
        at += rows.length;
      }
      await this.target('convertHeaders', [`[${itemOf(document, bytes, digest, size)}]`]);
    } catch (error) {
      if (!(error instanceof UnreadableError) && !isUnstorable(error)) throw error;
      return { copied: 0, unreadable: [id] };
    }
    return { copied: 1, unreadable: [] };
  }

  /**
   * Reads copies back and compares them with the digests of their documents. Those that differ are noted to be copied again.
   *
   * @param copies - ids and digests, of {@link CHUNK} bytes together or one alone
   * @returns the ids of those that differ
   */
  async verify(copies: ReadonlyMap<string, string>): Promise<readonly string[]> {
    const ids = [...copies.keys()];
    const digests = new Map(ids.map((id) => [id, new Digest()]));
    for (const [name, isSegment] of [
      ['convertStagedSegments', true],
      ['convertStagedBodies', false],
    ] as const) {
      let after: readonly unknown[] = ['', 0, 0];
      for (;;) {
        const rows = await this.target(name, [ids, CHUNK, ...after]);
        const last = rows.at(-1);
        if (!last) break;
        for (const row of rows) {
          const text = textOf(row['text']);
          digests
            .get(textOf(row['id']))
            ?.piece(
              Number(row['epoch']),
              isSegment
                ? { kind: 'segment', from: Number(row['seq']), to: Number(row['next']), data: text }
                : { kind: 'body', seq: Number(row['seq']), body: { text, bytes: 0 } },
            );
        }
        after = [last['id'], last['epoch'], last['seq']];
      }
    }
    const right = new Set<string>();
    for (const row of await this.target('convertStaged', [ids])) {
      const id = textOf(row['id']);
      const header = JSON.parse(textOf(row['header'])) as StagedHeader;
      const operations = JSON.parse(textOf(row['operations'])) as unknown[];
      const found = digests.get(id)?.end(header, unescapeJson(textOf(row['metadata'])), operations);
      if (found === copies.get(id) && operations.length === Number(row['count'])) right.add(id);
    }
    const wrong = ids.filter((id) => !right.has(id));
    await this.target('convertVerified', [[...right], wrong]);
    return wrong;
  }
}
