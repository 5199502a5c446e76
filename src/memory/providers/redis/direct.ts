/**
 * Reads without a script: a script copies every body into Lua and out again, which costs the server ten times what LRANGE costs.
 * A reader asks for header, bodies and header again, in order on one connection: while the header is the same, they are of one
 * snapshot, because whatever changes bodies changes the header. What cannot be answered so is left to read.lua.
 *
 * @module
 */
import type { Segment, Stored, Window } from '../../driver.js';
import { resolveWindow } from '../../local.js';
import type { Command } from './client.js';
import type { Keys } from './keys.js';
import { listOf, type StoredHeader, storedHeaderOf } from './replies.js';

/** Bodies that are asked for before it is known how many there are. */
const UNSEEN = 16_384;

/** What was read directly, or what else has to be done for it. */
export type Direct =
  | { readonly kind: 'read'; readonly stored: Stored | undefined }
  /** More bodies than were asked for: {@link bodyCommands}. */
  | { readonly kind: 'more'; readonly header: StoredHeader }
  /** Segments are needed, or a write came between: read.lua. */
  | { readonly kind: 'script'; readonly segments: boolean };

/** The newest bodies a window can mean; undefined when that depends on the header. */
function newestOf(window: Window): number | undefined {
  return window.kind === 'none' ? 0 : window.kind === 'all' ? UNSEEN : window.kind === 'last' ? Math.min(UNSEEN, window.count) : undefined;
}

/** Commands that read the newest bodies of a conversation; undefined for windows that need its header first. */
export function newestCommands(keys: Keys, tag: string, id: string, window: Window): readonly Command[] | undefined {
  const count = newestOf(window);
  if (count === undefined) return undefined;
  const [header, m0, m1] = keys.readable(tag, id) as [string, string, string];
  const head: Command = { args: ['hmget', header, 'h', 'o', 't', 'd'], buffers: true };
  if (count === 0) return [head];
  const from = String(-count);
  return [
    head,
    { args: ['lrange', m0, from, '-1'] },
    { args: ['lrange', m1, from, '-1'] },
    { args: ['llen', m0] },
    { args: ['llen', m1] },
    { args: ['hget', header, 'h'], buffers: true },
  ];
}

/** What the answers to {@link newestCommands} say. */
export function newestOfAnswers(id: string, window: Window, now: number, answers: readonly unknown[]): Direct {
  const header = storedHeaderOf(id, listOf(answers[0]));
  if (!header || !isVisible(header, now)) return { kind: 'read', stored: undefined };
  const { from, to } = resolveWindow(header.header, window);
  if (from >= to) return { kind: 'read', stored: { header: header.header, bodies: [], segments: [] } };
  if (!isSame(header, answers[5])) return { kind: 'script', segments: false };
  const start = Math.max(from, header.header.packedTo);
  const bodies = listOf(answers[1 + header.list]) as readonly string[];
  // bodies behind `next` are of a write that failed, missing ones were evicted: the script says so
  if (Number(answers[3 + header.list]) !== header.header.next - header.base) return { kind: 'script', segments: false };
  if (from < header.header.packedTo) return { kind: 'script', segments: true };
  if (bodies.length < to - start) return { kind: 'more', header };
  return { kind: 'read', stored: storedFrom(header, start, bodies.slice(bodies.length - (to - start))) };
}

/** Commands that read the bodies of a window whose header is known; undefined when there are none, or they are in segments. */
export function bodyCommands(
  keys: Keys,
  tag: string,
  { header, base, list }: StoredHeader,
  window: Window,
): readonly Command[] | undefined {
  const { from, to } = resolveWindow(header, window);
  if (from >= to || from < header.packedTo) return undefined;
  const [key, m0, m1] = keys.readable(tag, header.id) as [string, string, string];
  return [
    { args: ['lrange', list === 0 ? m0 : m1, String(from - base), String(to - 1 - base)] },
    { args: ['hget', key, 'h'], buffers: true },
  ];
}

/** What the answers to {@link bodyCommands} say; undefined when a write came between, or bodies are missing. */
export function bodiesOfAnswers(header: StoredHeader, window: Window, answers: readonly unknown[]): Stored | undefined {
  const { from, to } = resolveWindow(header.header, window);
  const bodies = listOf(answers[0]) as readonly string[];
  return isSame(header, answers[1]) && bodies.length === to - from ? storedFrom(header, from, bodies) : undefined;
}

function isVisible({ header, removed }: StoredHeader, now: number): boolean {
  return !removed && (header.expiresAt === undefined || header.expiresAt > now);
}

function isSame({ raw }: StoredHeader, other: unknown): boolean {
  return other instanceof Uint8Array && Buffer.compare(raw, other) === 0;
}

function storedFrom({ header }: StoredHeader, from: number, bodies: readonly string[]): Stored {
  return { header, bodies: bodies.map((text, i) => ({ seq: from + i, body: { text, bytes: Buffer.byteLength(text) } })), segments: NONE };
}
const NONE: readonly Segment[] = [];
