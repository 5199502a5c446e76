/**
 * Bodies nobody can see any more. A write or removal only moves `first` or the epoch; few and small leftovers go at once,
 * the others are noted in the table `leftovers` and reaped in bounded batches, so that dropping a million messages holds
 * up nobody.
 *
 * @module
 */
import type { PurgeOutcome } from '../../driver.js';
import { cutBodies } from './bodies.js';
import type { Statements } from './statements.js';
import type { Kept } from './rows.js';

/** Work a transaction may still do on leftovers. */
export interface Budget {
  /** Messages and segments. */
  rows: number;
  bytes: number;
}

/** What a write or removal may delete at once: about 2 ms of work. */
export function inlineBudget(): Budget {
  return { rows: 256, bytes: 4_194_304 };
}

/** What a purge batch may delete: about 20 ms of work. */
export function batchBudget(): Budget {
  return { rows: 2000, bytes: 33_554_432 };
}

/** Rows looked at in one step of a reap; the bytes are known only after the step. */
const STEP = 16;

/**
 * Lets go of the visible messages of a conversation that lie below a sequence, now or later.
 *
 * @param sql - statements, inside a transaction
 * @param kept - the conversation as it was before they became invisible
 * @param below - behind the last of them
 * @param bytes - about how much they hold
 * @param budget - what may be deleted at once; reduced by what was
 */
export function discard(sql: Statements, kept: Kept, below: number, bytes: number, budget: Budget): void {
  const { key, base } = kept;
  const { first, packedTo } = kept.state;
  const rows = below - first;
  if (rows <= 0) return;
  if (below > packedTo) cutBodies(sql, key, below - base);
  if (rows > budget.rows || bytes > budget.bytes) {
    sql.run('leave', key, below - base);
    return;
  }
  budget.rows -= rows;
  budget.bytes -= bytes;
  if (below > packedTo) sql.run('dropMessages', key, Math.max(first, packedTo) - base, below - base);
  if (first < packedTo) sql.run('dropSegments', key, first - base, below - base);
}

interface Oldest {
  readonly count: number;
  readonly next: number | null;
  readonly bytes: number;
  readonly messages: number;
}

/** What a reap of one conversation did. */
export interface Reaped {
  readonly messages: number;
  readonly bytes: number;
  /** Nothing of it is left. */
  readonly done: boolean;
}

/**
 * Deletes messages and segments of a conversation that end below a position, within a budget.
 *
 * @param sql - statements, inside a transaction
 * @param key - of the conversation
 * @param below - a position, not 0
 * @param budget - reduced by what was deleted
 */
export function reapBodies(sql: Statements, key: number, below: number, budget: Budget): Reaped {
  let messages = 0;
  let bytes = 0;
  for (const [look, drop] of [
    ['oldestMessages', 'dropMessages'],
    ['oldestSegments', 'dropSegments'],
  ] as const) {
    for (;;) {
      if (budget.rows <= 0 || budget.bytes <= 0) return { messages, bytes, done: false };
      const oldest = sql.get<Oldest>(look, key, below, STEP);
      if (!oldest || oldest.next === null) break;
      sql.run(drop, key, 0, oldest.next);
      messages += oldest.messages;
      bytes += oldest.bytes;
      budget.rows -= Math.max(oldest.messages, oldest.count);
      budget.bytes -= oldest.bytes;
      if (oldest.count < STEP) break;
    }
  }
  sql.run('dropLeftover', key);
  return { messages, bytes, done: true };
}

/** Leftovers fetched at a time. */
const FETCH = 100;

/**
 * One batch of reaping: leftovers, then tombstones and bars that are over. A tombstone goes only after its bodies.
 *
 * @param sql - statements, inside a transaction
 * @param until - tombstones removed at or before this time (ms) go
 * @param now - bars that ended at or before this time (ms) go
 * @param limit - tombstones to drop at most
 */
export function reap(sql: Statements, until: number, now: number, limit: number): PurgeOutcome {
  const budget = batchBudget();
  let messages = 0;
  let bytes = 0;
  let more = false;
  while (!more) {
    const found = sql.all<{ key: number; below: number }>('leftovers', FETCH);
    for (const { key, below } of found) {
      const reaped = reapBodies(sql, key, below, budget);
      messages += reaped.messages;
      bytes += reaped.bytes;
      if (!reaped.done) {
        more = true;
        break;
      }
      budget.rows--; // a leftover without bodies is work too
    }
    if (found.length < FETCH) break;
  }
  if (sql.count('dropTombstones', until, limit) >= limit) more = true;
  sql.run('dropBars', now);
  return { removed: 0, messages, bytes, more };
}
