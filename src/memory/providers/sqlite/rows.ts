/**
 * Rows of the table `conversations` and the values they stand for.
 *
 * @module
 */
import type { Header } from '../../driver.js';
import type { ConversationState, WriterEntry } from '../../local.js';
import type { SqlValue } from './client.js';
import type { Statements } from './statements.js';

/** What readers need of a row of `conversations`, see sql/001-schema.sql. */
export type HeaderRow = readonly [
  key: number,
  base: number,
  id: string,
  owner: string | null,
  trace: string | null,
  epoch: number,
  version: number,
  createdAt: number,
  updatedAt: number,
  ttl: number | null,
  expiresAt: number | null,
  hold: number,
  first: number,
  next: number,
  packedTo: number,
  bytes: number,
  metadata: string,
];

/** A whole row. */
type ConversationRow = readonly [...header: HeaderRow, operations: number, removedAt: number | null, writersFloor: number, writers: string];

/** A writer as stored: a ring of 16 objects would make every row twice as long. */
type WriterTuple = readonly [id: string, counter: number, time: number, version?: number, messageCount?: number, created?: 0 | 1];

/** A conversation as readers see it, and where its bodies are. */
export interface Found {
  /** Of its row: what bodies and operations refer to. */
  readonly key: number;
  /** Sequence - base = position of a body; changes with the life. */
  readonly base: number;
  readonly header: Header;
}

/** What a row says to readers. */
export function toFound(row: HeaderRow | ConversationRow): Found {
  const [key, base, id, owner, trace, epoch, version, createdAt, updatedAt, ttl, expiresAt, hold, first, next, packedTo, bytes, metadata] =
    row;
  const header = {
    id,
    owner: owner ?? undefined,
    trace: trace ?? undefined,
    epoch,
    version,
    createdAt,
    updatedAt,
    ttl: ttl === null ? undefined : ttl === 0 ? null : ttl,
    expiresAt: expiresAt ?? undefined,
    hold: hold === 1,
    first,
    next,
    packedTo,
    bytes,
    metadata,
  };
  return { key, base, header };
}

/** A conversation or tombstone as the driver works with it. */
export interface Kept {
  /** See {@link Found}. */
  readonly key: number;
  readonly base: number;
  readonly state: ConversationState;
  /** Caller operations noted in this life. */
  readonly operations: number;
}

/** Everything a row holds. */
function toKept(row: ConversationRow): Kept {
  const { key, base, header } = toFound(row);
  const [operations, removedAt, writersFloor, writers] = row.slice(17) as unknown as readonly [number, number | null, number, string];
  const state = {
    ...header,
    writers: (JSON.parse(writers) as WriterTuple[]).map(toWriter),
    writersFloor,
    removedAt: removedAt ?? undefined,
  };
  return { key, base, state, operations };
}

/** A conversation or tombstone by id, inside a transaction. */
export function find(sql: Statements, id: string): Kept | undefined {
  const row = sql.tuple<ConversationRow>('conversation', id);
  return row && toKept(row);
}

/** A conversation or tombstone by key, inside a transaction. */
export function findByKey(sql: Statements, key: number): Kept | undefined {
  const row = sql.tuple<ConversationRow>('conversationByKey', key);
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
