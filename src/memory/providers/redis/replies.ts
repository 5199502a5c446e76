/**
 * What the scripts take and answer, and the values they stand for.
 *
 * @module
 */
import type {
  Cursor,
  Header,
  Receipt,
  Remove,
  RemoveOutcome,
  Segment,
  Stored,
  Window,
  Write,
  WriteOutcome,
  WriterMark,
} from '../../driver.js';
import type { Argument } from './client.js';
import { ScriptError } from './failures.js';

/** Text of an answer: text or Buffers, as it was asked for; integers too. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8') : String(value);
}

/** An answer that is a list. */
export function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new ScriptError('JAFCORRUPT an answer is no list');
  return value as readonly unknown[];
}

// ----------------------------------------------------------------------------------------------------------- metadata

/** Metadata as it is stored: a line `"key":value` for each key, a line break before each. */
function linesOf(metadata: string): string {
  if (metadata === '{}') return '';
  return Object.entries(JSON.parse(metadata) as object)
    .map(([key, value]) => `\n${JSON.stringify(key)}:${JSON.stringify(value)}`)
    .join('');
}

function metadataOf(lines: string): string {
  return lines === '' ? '{}' : `{${lines.slice(1).replaceAll('\n', ',')}}`;
}

// ------------------------------------------------------------------------------------------------------------- writes

/** ARGV of write.lua for one write: as few as it takes, because the server takes and keeps each of them. */
export function writeArgs(write: Write, args: Argument[]): void {
  const { id, now, writer, owner, operation, trace, bodies, metadata, restore, hold, ttl, defaultTtl, maxMessages, expectedVersion } =
    write;
  const more: Argument[] = [];
  let flags = '';
  if (write.create) flags += 'c';
  if (write.scoped) flags += 's';
  if (owner !== undefined) {
    flags += 'u';
    more.push(owner, write.ownerHash ?? '');
  }
  if (operation) {
    flags += 'o';
    more.push(operation.hash, operation.digest);
  }
  if (trace !== undefined) {
    flags += 't';
    more.push(trace);
  }
  if (ttl !== undefined || defaultTtl !== undefined || maxMessages !== undefined || expectedVersion !== undefined) {
    flags += 'l';
    more.push(`${(ttl === null ? CLEARED : ttl) ?? '-'} ${defaultTtl ?? '-'} ${maxMessages ?? '-'} ${expectedVersion ?? '-'}`);
  }
  if (write.kind !== 'append' || write.retry || hold !== undefined) {
    flags += 'x';
    const extra = {
      kind: write.kind,
      retry: write.retry || undefined,
      hold,
      restore: restore && {
        created: restore.createdAt,
        updated: restore.updatedAt,
        expires: restore.expiresAt,
        first: restore.firstSeq,
        conflict: restore.onConflict,
      },
    };
    more.push(JSON.stringify(extra));
  }
  if (metadata !== undefined) {
    flags += 'm';
    more.push(linesOf(metadata));
  }
  args.push(id, `${now} ${writer.counter} ${bodies.length} ${writerOf(writer)} ${flags}`);
  for (const arg of more) args.push(arg);
  for (const body of bodies) args.push(body.text);
}

/** How a header says that a ttl was cleared. */
const CLEARED = -1;

/** Id of a writer without blanks and line breaks. */
function writerOf({ id }: WriterMark): string {
  return /^[\w-]+$/.test(id) ? id : encodeURIComponent(id);
}

/** ARGV of remove.lua. */
export function removeArg(remove: Remove): string {
  return JSON.stringify({
    id: remove.id,
    now: remove.now,
    writer: writerOf(remove.writer),
    counter: remove.writer.counter,
    retry: remove.retry || undefined,
    scoped: remove.scoped || undefined,
    owner: remove.owner,
    expected: remove.expectedVersion,
  });
}

/** Values in the reply to a plain append; no other has so many. */
const APPENDED = 6;

/**
 * The outcome one reply of write.lua stands for.
 *
 * @param alone - whether it was the only write of its batch
 * @throws ScriptError when it failed and was alone; in company it is `busy`, so that it is sent alone
 */
export function outcomeOf(reply: unknown, alone: boolean): WriteOutcome {
  const list = listOf(reply);
  if (list.length === APPENDED) {
    const [version, epoch, first, next, packedTo, trimmed] = list.map(Number) as [number, number, number, number, number, number];
    return {
      kind: 'ok',
      receipt: { version, messageCount: next - first, created: false },
      extent: { epoch, first, next, packedTo },
      trimmed,
    };
  }
  const [kindText, ...values] = list;
  const kind = textOf(kindText);
  const number = (i: number): number => Number(values[i]);
  const receipt = (): Receipt => ({ version: number(0), messageCount: number(1), created: number(2) === 1 });
  switch (kind) {
    case 'ok':
      return {
        kind,
        receipt: receipt(),
        extent: { epoch: number(3), first: number(4), next: number(5), packedTo: number(6) },
        trimmed: number(7),
      };
    case 'repeated':
    case 'duplicate':
    case 'skipped':
      return { kind, receipt: receipt() };
    case 'conflict':
      return { kind, actualVersion: number(0) };
    case 'error':
      if (alone) throw new ScriptError(textOf(values[0]));
      return { kind: 'busy' };
    default:
      return { kind: kind as 'missing' };
  }
}

/** The outcome the reply of remove.lua stands for. */
export function removalOf(reply: unknown): RemoveOutcome {
  const [kind, version] = listOf(reply);
  const text = textOf(kind);
  return text === 'conflict' ? { kind: text, actualVersion: Number(version) } : { kind: text as 'removed' };
}

// -------------------------------------------------------------------------------------------------------------- reads

/** ARGV of a window: kind, count or sequence, before, limit. */
export function windowArgs(window: Window): string[] {
  switch (window.kind) {
    case 'none':
    case 'all':
      return [window.kind, '0', '', '0'];
    case 'last':
      return [window.kind, String(window.count), '', '0'];
    case 'after':
      return [window.kind, String(window.seq), window.before === undefined ? '' : String(window.before), String(window.limit)];
    case 'before':
      return [window.kind, String(window.seq), '', String(window.limit)];
  }
}

/** The conversation a view (lib-window.lua) stands for; answers come as Buffers. */
export function storedOf(id: string, reply: unknown): Stored {
  const [fields, start, bodies, segments] = listOf(reply);
  let seq = Number(textOf(start));
  const parts = listOf(segments);
  const packed: Segment[] = [];
  for (let i = 0; i + 2 < parts.length; i += 3) {
    packed.push({ from: Number(textOf(parts[i])), to: Number(textOf(parts[i + 1])), data: parts[i + 2] as Uint8Array });
  }
  return {
    header: viewedHeaderOf(id, fields).header,
    bodies: listOf(bodies).map((body) => {
      const bytes = body as Uint8Array;
      return { seq: seq++, body: { text: textOf(bytes), bytes: bytes.byteLength } };
    }),
    segments: packed,
  };
}

/** The header of a view. */
export function viewedHeaderOf(id: string, fields: unknown): StoredHeader {
  const header = storedHeaderOf(id, listOf(fields));
  if (!header) throw damagedHeader();
  return header;
}

/** A header, and what else field h (lib-header.lua) says. */
export interface StoredHeader {
  readonly header: Header;
  /** Field h as it is. */
  readonly raw: Uint8Array;
  /** Sequence of the first body in the list, and which list it is. */
  readonly base: number;
  readonly list: 0 | 1;
  /** It is a tombstone. */
  readonly removed: boolean;
}

/** Fields h, o, t and d of a conversation, as Buffers; undefined when there is none. */
export function storedHeaderOf(id: string, [raw, owner, trace, lines]: readonly unknown[]): StoredHeader | undefined {
  if (raw === null) return undefined;
  if (!(raw instanceof Uint8Array) || raw.byteLength < HEADER_BYTES) throw damagedHeader();
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const number = (i: number): number => view.getFloat64(8 * i, true);
  const ttl = number(4);
  const expiresAt = number(5);
  const header: Header = {
    id,
    owner: owner === null ? undefined : textOf(owner),
    trace: trace === null ? undefined : textOf(trace),
    epoch: number(0),
    version: number(1),
    createdAt: number(2),
    updatedAt: number(3),
    ttl: ttl === CLEARED ? null : ttl === 0 ? undefined : ttl,
    expiresAt: expiresAt === ABSENT ? undefined : expiresAt,
    hold: view.getUint8(HOLD_AT) === 1,
    first: number(6),
    next: number(7),
    packedTo: number(8),
    bytes: number(9),
    metadata: lines === null ? '{}' : metadataOf(textOf(lines)),
  };
  return { header, raw, base: number(11), list: view.getUint8(LIST_AT) === 0 ? 0 : 1, removed: number(12) !== ABSENT };
}

function damagedHeader(): ScriptError {
  return new ScriptError('JAFCORRUPT the header of a conversation is damaged');
}

/** Bytes of a header before the id of its writer, and where it names the list and says that there is a hold. */
const HEADER_BYTES = 139;
const LIST_AT = 136;
const HOLD_AT = 137;
/** An expiry, or a time of removal, that is not there. */
const ABSENT = Number.POSITIVE_INFINITY;

/** A place in a walk; undefined when the walk has ended. */
export function placeOf(at: unknown, id: unknown): Cursor | undefined {
  const time = textOf(at);
  return time === '' ? undefined : { at: Number(time), id: textOf(id) };
}
