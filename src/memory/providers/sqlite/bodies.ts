/**
 * Bodies in rows: those of a write stand together, a line each.
 *
 * @module
 */
import type { Body } from '../../driver.js';
import type { Statements } from './statements.js';

/** Bodies and characters in one row at most: a window that needs one body reads the whole row. */
const ROW_BODIES = 8;
const ROW_CHARACTERS = 8192;

/** A row of `messages`: positions from the first to before `next`. */
export type BodiesRow = readonly [first: number, next: number, bodies: string];

/** The texts in a row, in order. */
export function textsOf([first, next, bodies]: BodiesRow): readonly string[] {
  return next - first === 1 ? [bodies] : bodies.split('\n');
}

/**
 * Stores bodies at consecutive positions.
 *
 * @param sql - statements, inside a transaction
 * @param key - of the conversation
 * @param position - of the first
 * @param bodies - in order
 */
export function insertBodies(sql: Statements, key: number, position: number, bodies: readonly Body[]): void {
  for (let i = 0; i < bodies.length; ) {
    let text = (bodies[i] as Body).text;
    let end = i + 1;
    // JSON as it is written here has no line breaks, but a driver takes any text: one that has stands alone
    if (!text.includes('\n')) {
      for (; end < bodies.length && end - i < ROW_BODIES; end++) {
        const { text: more } = bodies[end] as Body;
        if (text.length + more.length >= ROW_CHARACTERS || more.includes('\n')) break;
        text += `\n${more}`;
      }
    }
    sql.run('insertMessages', key, position + i, position + end, text);
    i = end;
  }
}

/**
 * Makes a position the end of a row, so that what lies below it can be measured and deleted by rows. Changes nothing a
 * reader can see.
 *
 * @param sql - statements, inside a transaction
 * @param key - of the conversation
 * @param position - not 0
 */
export function cutBodies(sql: Statements, key: number, position: number): void {
  const row = sql.tuple<BodiesRow>('straddling', key, position);
  if (!row) return;
  const [first, next] = row;
  const texts = textsOf(row);
  sql.run('shortenMessages', key, first, position, texts.slice(0, position - first).join('\n'));
  sql.run('insertMessages', key, position, next, texts.slice(position - first).join('\n'));
}
