/**
 * A sorted set of cursors in chunks: insert, delete and seek cost about the square root of its size, walks are sequential.
 *
 * @module
 */
import type { Cursor } from '../../driver.js';
import { compareCursors } from '../../local.js';

/** Entries per chunk before it is split. */
const CHUNK = 512;

/** Cursors in the order of {@link compareCursors}, each with a value. */
export class Ordered<T> {
  #chunks: { readonly cursor: Cursor; readonly value: T }[][] = [];

  insert(cursor: Cursor, value: T): void {
    const c = Math.min(this.#chunkFor(cursor), this.#chunks.length - 1);
    const chunk = this.#chunks[c];
    if (!chunk) {
      this.#chunks.push([{ cursor, value }]);
      return;
    }
    chunk.splice(lowerBound(chunk, cursor), 0, { cursor, value });
    if (chunk.length > CHUNK * 2) this.#chunks.splice(c + 1, 0, chunk.splice(CHUNK));
  }

  delete(cursor: Cursor): void {
    const c = this.#chunkFor(cursor);
    const chunk = this.#chunks[c];
    if (!chunk) return;
    const i = lowerBound(chunk, cursor);
    const found = chunk[i];
    if (!found || compareCursors(found.cursor, cursor) !== 0) return;
    chunk.splice(i, 1);
    if (chunk.length === 0) this.#chunks.splice(c, 1);
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /**
   * Walks behind a place (exclusive), or from the beginning of the direction. The set must not change meanwhile.
   *
   * @param after - where to continue
   * @param descending - largest first
   */
  *walk(after: Cursor | undefined, descending: boolean): Generator<T> {
    if (descending) {
      let c = after ? Math.min(this.#chunkFor(after), this.#chunks.length - 1) : this.#chunks.length - 1;
      let i = after ? lowerBound(this.#chunks[c] ?? [], after) - 1 : Number.POSITIVE_INFINITY;
      for (; c >= 0; c--) {
        const chunk = this.#chunks[c] ?? [];
        for (let k = Math.min(i, chunk.length - 1); k >= 0; k--) yield (chunk[k] as { value: T }).value;
        i = Number.POSITIVE_INFINITY;
      }
      return;
    }
    let c = after ? this.#chunkFor(after) : 0;
    let i = after ? lowerBound(this.#chunks[c] ?? [], after) : 0;
    const at = this.#chunks[c]?.[i];
    if (after && at && compareCursors(at.cursor, after) === 0) i++;
    for (; c < this.#chunks.length; c++) {
      const chunk = this.#chunks[c] ?? [];
      for (; i < chunk.length; i++) yield (chunk[i] as { value: T }).value;
      i = 0;
    }
  }

  /** The first chunk whose last entry is not before the cursor; the number of chunks when there is none. */
  #chunkFor(cursor: Cursor): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const last = this.#chunks[middle]?.at(-1);
      if (last && compareCursors(last.cursor, cursor) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Index of the first entry that is not before the cursor. */
function lowerBound(chunk: readonly { readonly cursor: Cursor }[], cursor: Cursor): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const entry = chunk[middle];
    if (entry && compareCursors(entry.cursor, cursor) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
