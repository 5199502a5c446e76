/**
 * Carrying out one write inside a transaction.
 *
 * @module
 */
import { OPERATIONS_KEPT, type Receipt, type Write, type WriteOutcome } from '../../driver.js';
import { decideWrite, type Lookup } from '../../local.js';
import { cutBodies, insertBodies } from './bodies.js';
import { PositionsError } from './failures.js';
import { discard, inlineBudget } from './leftovers.js';
import { forgottenUpTo, replaceState } from './purge.js';
import type { Recent } from './recent.js';
import { changingColumns, isExtension, type Kept, writersColumn } from './rows.js';
import type { Statements } from './statements.js';

/** Bodies a conversation can have before it is deleted: what 32 bits of an id count. */
const POSITIONS = 4_294_967_296;

interface OperationRow {
  readonly n: number;
  readonly digest: string;
  readonly version: number;
  readonly count: number;
  readonly created: number;
}

/** What a decision may ask beside the conversation itself. */
function lookup(sql: Statements, kept: Kept | undefined, now: number): Lookup {
  return {
    operation(hash: string): { digest: string; receipt: Receipt } | undefined {
      const found = kept && sql.get<OperationRow>('operation', kept.key, hash);
      // rows of older operations stay until the next clear-out
      if (!found || found.n <= kept.operations - OPERATIONS_KEPT) return undefined;
      return { digest: found.digest, receipt: { version: found.version, messageCount: found.count, created: found.created === 1 } };
    },
    barred: (hash) => (sql.value<number>('barred', hash) ?? Number.NEGATIVE_INFINITY) > now,
    bytesOf(from: number, to: number): number {
      if (!kept) return 0;
      const { key, base } = kept;
      const { packedTo } = kept.state;
      if (to > packedTo) cutBodies(sql, key, to - base);
      const messages = to > packedTo ? sql.value<number>('messageBytes', key, Math.max(from, packedTo) - base, to - base) : undefined;
      const packed = from < packedTo ? sql.value<number>('segmentBytes', key, from - base, to - base) : undefined;
      return (messages ?? 0) + (packed ?? 0);
    },
    // asked for only when there is nothing stored
    get forgottenUpTo() {
      return kept ? 0 : forgottenUpTo(sql);
    },
  };
}

/**
 * Decides and stores one write.
 *
 * @param sql - statements, inside a transaction
 * @param recent - what this connection wrote last
 * @param write - the write
 */
export function writeOne(sql: Statements, recent: Recent, write: Write): WriteOutcome {
  const kept = recent.find(sql, write.id);
  const decision = decideWrite(kept?.state, write, lookup(sql, kept, write.now));
  if (!decision.apply) return decision.outcome;
  const { state, newLife, seq } = decision;
  const operations = (newLife || !kept ? 0 : kept.operations) + (write.operation ? 1 : 0);
  // the bodies of a new life stand behind those of the last one
  const base = kept && newLife ? seq - (kept.state.next - kept.base) : (kept?.base ?? seq);
  if (state.next - base > POSITIONS) throw new PositionsError();
  const key = storeState(sql, kept, { base, state, operations });
  if (kept && newLife) {
    if (kept.operations > 0) sql.run('dropOperations', key, kept.operations);
    discard(sql, kept, kept.state.next, kept.state.bytes, inlineBudget());
  } else if (kept && state.first > kept.state.first) {
    const written = write.bodies.reduce((sum, body) => sum + body.bytes, 0);
    discard(sql, kept, Math.min(state.first, kept.state.next), kept.state.bytes + written - state.bytes, inlineBudget());
  }
  const trimmed = Math.max(0, state.first - seq);
  insertBodies(sql, key, seq + trimmed - base, trimmed === 0 ? write.bodies : write.bodies.slice(trimmed));
  if (write.operation) {
    const { receipt } = decision.outcome;
    const { hash, digest } = write.operation;
    sql.run('noteOperation', key, hash, operations, digest, receipt.version, receipt.messageCount, receipt.created ? 1 : 0);
    // all at once, every 64th time: one range delete instead of one on every append
    if (operations % OPERATIONS_KEPT === 0) sql.run('dropOperations', key, operations - OPERATIONS_KEPT);
  }
  recent.set({ key, base, state, operations });
  return decision.outcome;
}

/** Stores the header; returns its key. */
function storeState(sql: Statements, kept: Kept | undefined, stored: Omit<Kept, 'key'>): number {
  const { state } = stored;
  if (!kept) {
    return sql.insert('insertConversation', ...changingColumns(stored), state.id, state.owner ?? null, state.createdAt, null);
  }
  const { key, state: before } = kept;
  if (isExtension(kept, stored)) {
    const { version, next, bytes, updatedAt } = state;
    const writers = writersColumn(state);
    if (updatedAt === before.updatedAt) sql.run('extendConversationAgain', key, version, next, bytes, writers);
    else sql.run('extendConversation', key, version, next, bytes, writers, updatedAt);
  } else if (state.owner === before.owner && state.createdAt === before.createdAt && before.removedAt === undefined) {
    sql.run('advanceConversation', ...changingColumns(stored), key);
  } else {
    replaceState(sql, { key, ...stored });
  }
  return key;
}
