/**
 * Removing many conversations: one bounded batch at a time, each in a transaction of its own.
 *
 * @module
 */
import { type Cursor, type List, type Purge, type PurgeOutcome, TOMBSTONE_MS } from '../../driver.js';
import { buryState, compareCursors, type ConversationState, isVisible, EARLIEST } from '../../local.js';
import type { Statements } from './statements.js';
import { batchBudget, type Budget, discard, reap, reapBodies } from './leftovers.js';
import { changingColumns, findByKey, type Found, type HeaderRow, type Kept, toFound } from './rows.js';

/** The setting that holds `Lookup.forgottenUpTo`. */
const FORGOTTEN = 'forgotten_up_to';

/**
 * Latest time at which a conversation was removed without a tombstone; 0 when none was.
 *
 * @param sql - statements, inside a transaction
 */
export function forgottenUpTo(sql: Statements): number {
  return Number(sql.value<string>('setting', FORGOTTEN) ?? 0);
}

function raiseFloor(sql: Statements, time: number): void {
  sql.run('setSetting', FORGOTTEN, String(Math.max(forgottenUpTo(sql), time)));
}

/**
 * Stores a conversation over its row.
 *
 * @param sql - statements, inside a transaction
 * @param kept - its row and what it becomes
 */
export function replaceState(sql: Statements, kept: Kept): void {
  const { key, state } = kept;
  sql.run('replaceConversation', ...changingColumns(kept), key, state.owner ?? null, state.createdAt, state.removedAt ?? null);
}

/**
 * Turns a conversation into a tombstone and lets go of its bodies and operations.
 *
 * @param sql - statements, inside a transaction
 * @param kept - the conversation
 * @param tombstone - what it becomes
 * @param budget - for deleting bodies at once
 */
export function storeTombstone(sql: Statements, kept: Kept, tombstone: ConversationState, budget: Budget): void {
  if (kept.operations > 0) sql.run('dropOperations', kept.key, kept.operations);
  discard(sql, kept, kept.state.next, kept.state.bytes, budget);
  replaceState(sql, { ...kept, state: tombstone, operations: 0 });
}

/** A batch under way. */
interface Batch {
  readonly now: number;
  readonly budget: Budget;
  removed: number;
  messages: number;
  bytes: number;
}

/** Counts what was visible; `expired` counts what was over. */
function count(batch: Batch, { first, next, bytes }: ConversationState): void {
  batch.removed++;
  batch.messages += next - first;
  batch.bytes += bytes;
}

function bury(sql: Statements, batch: Batch, kept: Kept): void {
  storeTombstone(sql, kept, buryState(kept.state, batch.now), batch.budget);
}

/**
 * One batch of a purge.
 *
 * @param sql - statements, inside a transaction
 * @param purge - what to remove
 * @param clock - the driver's own time in ms: nothing goes that is not over by both clocks
 */
export function purgeBatch(sql: Statements, purge: Purge, clock: number): PurgeOutcome {
  const { now, limit } = purge;
  const both = Math.min(now, clock);
  if (purge.kind === 'reap') {
    if (!purge.forget) return reap(sql, both - TOMBSTONE_MS, both, limit);
    const newest = sql.value<number>('newestTombstone') ?? null;
    if (newest !== null) raiseFloor(sql, Math.max(now, newest));
    return reap(sql, Number.MAX_SAFE_INTEGER, both, limit);
  }
  const batch: Batch = { now, budget: batchBudget(), removed: 0, messages: 0, bytes: 0 };
  switch (purge.kind) {
    case 'expired': {
      const found =
        purge.owner === undefined
          ? sql.all<{ key: number }>('expired', both, limit)
          : sql.all<{ key: number }>('ownerExpired', both, limit, purge.owner);
      for (const { key } of found) {
        const kept = findByKey(sql, key);
        if (!kept) continue;
        count(batch, kept.state);
        bury(sql, batch, kept);
      }
      return outcome(batch, found.length >= limit);
    }
    case 'idle': {
      const start = purge.after ?? EARLIEST;
      const found =
        purge.owner === undefined
          ? sql.tuples<HeaderRow>('updatedAsc', start.at, start.id, purge.until, limit)
          : sql.tuples<HeaderRow>('ownerUpdatedAsc', start.at, start.id, purge.until, limit, purge.owner);
      for (const row of found) removeVisible(sql, batch, toFound(row), false);
      const last = found.at(-1);
      return outcome(batch, found.length >= limit, last && placeOf(toFound(last), 'updated'));
    }
    case 'user': {
      const start = purge.after ?? EARLIEST;
      const found = sql.tuples<HeaderRow>('ownerCreatedAsc', start.at, start.id, purge.upTo.at, limit, purge.owner);
      let last = purge.after;
      for (const row of found) {
        const conversation = toFound(row);
        const place = placeOf(conversation, 'created');
        if (compareCursors(place, purge.upTo) > 0) return outcome(batch, false);
        if (!purge.forget) removeVisible(sql, batch, conversation, purge.allowHold);
        else if (!forget(sql, batch, conversation, purge.allowHold)) return outcome(batch, true, last);
        last = place;
      }
      return outcome(batch, found.length >= limit, last);
    }
  }
}

function outcome({ removed, messages, bytes }: Batch, more: boolean, cursor?: Cursor): PurgeOutcome {
  return { removed, messages, bytes, more, ...(more && cursor ? { cursor } : {}) };
}

/** Where a conversation stands in a walk. */
export function placeOf({ header }: Found, by: List['by']): Cursor {
  return { at: by === 'updated' ? header.updatedAt : header.createdAt, id: header.id };
}

/** Buries a conversation; one that is over already is buried too and not counted. */
function removeVisible(sql: Statements, batch: Batch, { key }: Found, allowHold: boolean): void {
  const kept = findByKey(sql, key);
  if (!kept || (kept.state.hold && !allowHold)) return;
  if (isVisible(kept.state, batch.now)) count(batch, kept.state);
  bury(sql, batch, kept);
}

/**
 * Removes a conversation without a trace. One with more bodies than the budget allows is hidden first (over
 * since 1970 by every clock, and still its owner's, so that the next batch finds it) and goes when its last body went.
 *
 * @returns whether it is gone
 */
function forget(sql: Statements, batch: Batch, { key }: Found, allowHold: boolean): boolean {
  const kept = findByKey(sql, key);
  if (!kept || (kept.state.hold && !allowHold)) return true;
  const { base, state, operations } = kept;
  if (isVisible(state, batch.now)) count(batch, state);
  const below = state.next - base;
  if (below > 0) {
    sql.run('leave', key, below);
    if (!reapBodies(sql, key, below, batch.budget).done) {
      replaceState(sql, { ...kept, state: { ...state, hold: false, expiresAt: 0, first: state.next, packedTo: state.next } });
      return false;
    }
  }
  if (operations > 0) sql.run('dropOperations', key, operations);
  sql.run('dropConversation', key);
  raiseFloor(sql, batch.now);
  return true;
}
