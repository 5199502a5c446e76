/**
 * What the scripts take and answer, and the values they stand for.
 *
 * @module
 */
import type { Cursor, Header, Receipt, Remove, RemoveOutcome, Segment, Stored, Window, Write, WriteOutcome } from '../../driver.js';
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

/** ARGV of write.lua for one write. */
export function writeArgs(write: Write): Argument[] {
  const { restore, operation, metadata } = write;
  const item = {
    id: write.id,
    kind: write.kind,
    now: write.now,
    writer: encodeURIComponent(write.writer.id),
    counter: write.writer.counter,
    retry: write.retry || undefined,
    scoped: write.scoped || undefined,
    owner: write.owner,
    ownerHash: write.ownerHash,
    trace: write.trace,
    create: write.create || undefined,
    expected: write.expectedVersion,
    op: operation?.hash,
    digest: operation?.digest,
    n: write.bodies.length,
    meta: metadata === undefined ? undefined : true,
    hold: write.hold,
    ttl: write.ttl === null ? 'n' : write.ttl,
    defaultTtl: write.defaultTtl,
    max: write.maxMessages,
    restore: restore && {
      created: restore.createdAt,
      updated: restore.updatedAt,
      expires: restore.expiresAt,
      first: restore.firstSeq,
      conflict: restore.onConflict,
    },
  };
  const args: Argument[] = [JSON.stringify(item)];
  if (metadata !== undefined) args.push(linesOf(metadata));
  for (const body of write.bodies) args.push(body.text);
  return args;
}

/** ARGV of remove.lua. */
export function removeArg(remove: Remove): string {
  return JSON.stringify({
    id: remove.id,
    now: remove.now,
    writer: encodeURIComponent(remove.writer.id),
    counter: remove.writer.counter,
    retry: remove.retry || undefined,
    scoped: remove.scoped || undefined,
    owner: remove.owner,
    expected: remove.expectedVersion,
  });
}

/**
 * The outcome one reply of write.lua stands for.
 *
 * @param alone - whether it was the only write of its batch
 * @throws ScriptError when it failed and was alone; in company it is `busy`, so that it is sent alone
 */
export function outcomeOf(reply: unknown, alone: boolean): WriteOutcome {
  const [kindText, ...values] = listOf(reply);
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
    header: headerOf(id, listOf(fields)),
    bodies: listOf(bodies).map((body) => {
      const bytes = body as Uint8Array;
      return { seq: seq++, body: { text: textOf(bytes), bytes: bytes.byteLength } };
    }),
    segments: packed,
  };
}

/** Field h of lib-header.lua, with owner, trace and metadata. */
function headerOf(id: string, [text, owner, trace, lines]: readonly unknown[]): Header {
  const values = textOf(text).split(' ');
  const number = (i: number): number => Number(values[i]);
  const optional = (i: number): number | undefined => (values[i] === '-' ? undefined : Number(values[i]));
  if (values.length !== 17) throw new ScriptError('JAFCORRUPT the header of a conversation is damaged');
  return {
    id,
    owner: owner === null ? undefined : textOf(owner),
    trace: trace === null ? undefined : textOf(trace),
    epoch: number(0),
    version: number(1),
    createdAt: number(2),
    updatedAt: number(3),
    ttl: values[4] === 'n' ? null : optional(4),
    expiresAt: optional(5),
    hold: values[6] === '1',
    first: number(7),
    next: number(8),
    packedTo: number(9),
    bytes: number(10),
    metadata: lines === null ? '{}' : metadataOf(textOf(lines)),
  };
}

/** A place in a walk; undefined when the walk has ended. */
export function placeOf(at: unknown, id: unknown): Cursor | undefined {
  const time = textOf(at);
  return time === '' ? undefined : { at: Number(time), id: textOf(id) };
}
