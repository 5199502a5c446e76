/**
 * Rows of the table `conversations` and the values they stand for.
 *
 * @module
 */
import type { Header } from '../../driver.js';
import type { ConversationState, WriterEntry } from '../../local.js';
import type { SqlValue } from './client.js';
import type { Statements } from './statements.js';

/** A row of `conversations`, see sql/001-schema.sql. */
export interface ConversationRow {
  readonly key: number;
  readonly id: string;
  readonly owner: string | null;
  readonly trace: string | null;
  readonly epoch: number;
  readonly version: number;
  readonly created_at: number;
  readonly updated_at: number;
  readonly ttl: number | null;
  readonly expires_at: number | null;
  readonly hold: number;
  readonly first: number;
  readonly next: number;
  readonly packed_to: number;
  readonly bytes: number;
  readonly base: number;
  readonly operations: number;
  readonly removed_at: number | null;
  readonly writers_floor: number;
  readonly writers: string;
  readonly metadata: string;
}

/** A writer as stored: a ring of 16 objects would make every row twice as long. */
type WriterTuple = readonly [id: string, counter: number, time: number, version?: number, messageCount?: number, created?: 0 | 1];

/** The part of a row readers see. */
export function toHeader(row: ConversationRow): Header {
  return {
    id: row.id,
    owner: row.owner ?? undefined,
    trace: row.trace ?? undefined,
    epoch: row.epoch,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    ttl: row.ttl === null ? undefined : row.ttl === 0 ? null : row.ttl,
    expiresAt: row.expires_at ?? undefined,
    hold: row.hold === 1,
    first: row.first,
    next: row.next,
    packedTo: row.packed_to,
    bytes: row.bytes,
    metadata: row.metadata,
  };
}

/** A conversation or tombstone as the driver works with it. */
export interface Kept {
  /** Of its row: what bodies and operations refer to. */
  readonly key: number;
  /** Sequence - base = position of a body; changes with the life. */
  readonly base: number;
  readonly state: ConversationState;
  /** Caller operations noted in this life. */
  readonly operations: number;
}

/** Everything a row holds. */
export function toKept(row: ConversationRow): Kept {
  const state = {
    ...toHeader(row),
    writers: (JSON.parse(row.writers) as WriterTuple[]).map(toWriter),
    writersFloor: row.writers_floor,
    removedAt: row.removed_at ?? undefined,
  };
  return { key: row.key, base: row.base, state, operations: row.operations };
}

/** A conversation or tombstone by id, inside a transaction. */
export function find(sql: Statements, id: string): Kept | undefined {
  const row = sql.get<ConversationRow>('conversation', id);
  return row && toKept(row);
}

/** A conversation or tombstone by key, inside a transaction. */
export function findByKey(sql: Statements, key: number): Kept | undefined {
  const row = sql.get<ConversationRow>('conversationByKey', key);
  return row && toKept(row);
}

function toWriter([id, counter, time, version, messageCount, created]: WriterTuple): WriterEntry {
  if (version === undefined || messageCount === undefined) return { id, counter, time };
  return { id, counter, time, receipt: { version, messageCount, created: created === 1 } };
}

function fromWriter({ id, counter, time, receipt }: WriterEntry): WriterTuple {
  return receipt ? [id, counter, time, receipt.version, receipt.messageCount, receipt.created ? 1 : 0] : [id, counter, time];
}

/** The columns any write may set, in the order of sql/write.sql. */
export function changingColumns({ base, state, operations }: Omit<Kept, 'key'>): SqlValue[] {
  return [
    state.trace ?? null,
    state.epoch,
    state.version,
    state.updatedAt,
    state.ttl === undefined ? null : (state.ttl ?? 0),
    state.expiresAt ?? null,
    state.hold ? 1 : 0,
    state.first,
    state.next,
    state.packedTo,
    state.bytes,
    base,
    operations,
    state.writersFloor,
    writersColumn(state),
    state.metadata,
  ];
}

/** Whether `writers`, `version`, `next`, `bytes` and the time are all that a write changes: an append to what stands as it is. */
export function isExtension(before: Kept, { base, state, operations }: Omit<Kept, 'key'>): boolean {
  const old = before.state;
  return (
    state.metadata === old.metadata &&
    state.first === old.first &&
    state.packedTo === old.packedTo &&
    state.expiresAt === old.expiresAt &&
    state.ttl === old.ttl &&
    state.hold === old.hold &&
    state.trace === old.trace &&
    state.epoch === old.epoch &&
    state.owner === old.owner &&
    state.createdAt === old.createdAt &&
    state.writersFloor === old.writersFloor &&
    old.removedAt === undefined &&
    operations === before.operations &&
    base === before.base
  );
}

/** The column `writers`. */
export function writersColumn(state: ConversationState): string {
  return JSON.stringify(state.writers.map(fromWriter));
}
