/**
 * What the two earlier implementations of this memory wrote (one in Python, one in TypeScript): their spellings, their
 * nulls, their times. A value that the one wrote and the other wrote again has the spellings of both.
 *
 * @module
 */
import type { Metadata } from './types.js';

/** What they keep in the metadata beside the caller's own, in both spellings; here it has places of its own. */
export const OLDER_METADATA: ReadonlySet<string> = new Set([
  'created_at',
  'updated_at',
  'last_activity',
  'total_messages',
  'user_id',
  'trace_id',
  'createdAt',
  'updatedAt',
  'lastActivity',
  'totalMessages',
  'userId',
  'traceId',
]);

const TIME = '[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[T ]([01][0-9]|2[0-3])(:[0-5][0-9]){2}([.][0-9]+)?';
/** Pattern (of JavaScript and of SQL) of a time without an offset: the local time of the program that wrote it. */
export const LOCAL_TIME: string = `^${TIME}$`;
/** Pattern (of JavaScript and of SQL) of a time with an offset. */
export const ZONED_TIME: string = `^${TIME}(Z|[+-][0-9]{2}:?[0-9]{2})$`;

/**
 * The time of a text. One without an offset is taken as local time of this process.
 *
 * @returns milliseconds since 1970, rounded; undefined for anything else
 */
export function olderTime(text: unknown): number | undefined {
  if (typeof text !== 'string' || !(new RegExp(LOCAL_TIME).test(text) || new RegExp(ZONED_TIME).test(text))) return undefined;
  const [, seconds = '', fraction = '', zone = ''] = /^(.{19})([.][0-9]+)?(.*)$/.exec(text) ?? [];
  const whole = Date.parse(seconds.replace(' ', 'T') + zone.replace(/^(...)(\d\d)$/, '$1:$2'));
  return Number.isNaN(whole) ? undefined : whole + Math.round(Number(`0${fraction}`) * 1000);
}

const OPTIONAL = ['tool_calls', 'tool_call_id', 'attachments', 'message_id', 'name'] as const;

/**
 * A message as they wrote it, in our form: one of them writes what is absent as null.
 *
 * @param message - copied, not changed
 */
export function olderMessage(message: object): Record<string, unknown> {
  const own: Record<string, unknown> = { ...message };
  for (const key of OPTIONAL) if (own[key] === null) delete own[key];
  return own;
}

/** A conversation they wrote as one JSON text. */
export interface OlderConversation {
  readonly userId: string | undefined;
  /** Not checked yet. */
  readonly messages: readonly Record<string, unknown>[];
  /** The caller's own, and the trace. */
  readonly metadata: Metadata;
  /** Milliseconds; undefined when it has no time that can be read. */
  readonly createdAt: number | undefined;
  readonly updatedAt: number | undefined;
}

/** What a text is: a conversation, something of somebody else, or a conversation that cannot be read. */
export type OlderText =
  | { readonly kind: 'conversation'; readonly conversation: OlderConversation }
  | { readonly kind: 'foreign' | 'damaged'; readonly reason: string };

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Spellings of messages that only a value written by both can have. */
const SPELLINGS = [
  ['toolCalls', 'tool_calls'],
  ['toolCallId', 'tool_call_id'],
  ['messageId', 'message_id'],
] as const;

function messageOf(value: Record<string, unknown>): Record<string, unknown> {
  const own = { ...value };
  for (const [camel, snake] of SPELLINGS) {
    if (!Object.hasOwn(own, camel)) continue;
    own[snake] ??= own[camel];
    delete own[camel];
  }
  return olderMessage(own);
}

/**
 * Reads a stored JSON text in any of their shapes. No reason quotes content.
 *
 * @param id - the conversation that was looked for
 * @param text - what is stored
 */
export function readOlder(id: string, text: string): OlderText {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text.trimStart().startsWith('{')
      ? { kind: 'damaged', reason: 'not JSON: cut off, or damaged' }
      : { kind: 'foreign', reason: 'not JSON' };
  }
  if (!isObject(value)) return { kind: 'foreign', reason: 'not a JSON object' };
  const all = value;
  const own = all['conversation_id'] ?? all['conversationId'];
  if (own === undefined) return { kind: 'foreign', reason: 'not a conversation: it has no id' };
  if (own !== id || (all['conversationId'] ?? own) !== own) {
    return { kind: 'foreign', reason: 'the conversation in it has another id; does it belong to a longer prefix?' };
  }
  const damaged = (reason: string): OlderText => ({ kind: 'damaged', reason });
  const { messages } = all;
  if (!Array.isArray(messages)) return damaged('its messages are not an array');
  const wrong = messages.findIndex((message) => !isObject(message));
  if (wrong >= 0) return damaged(`messages[${wrong}] is not an object`);
  const metadata = all['metadata'] ?? {};
  if (!isObject(metadata)) return damaged('its metadata is not an object');
  const userId = all['user_id'] ?? all['userId'] ?? metadata['user_id'] ?? metadata['userId'] ?? '';
  if (typeof userId !== 'string') return damaged('its user id is not a string');
  const trace = metadata['trace_id'] ?? metadata['traceId'] ?? '';
  if (typeof trace !== 'string') return damaged('its trace id is not a string');
  const times = (...names: string[]): number[] => names.flatMap((name) => olderTime(metadata[name] ?? all[name]) ?? []);
  const created = times('created_at', 'createdAt');
  const changed = [...created, ...times('updated_at', 'updatedAt', 'last_activity', 'lastActivity')];
  const kept = Object.entries(metadata).filter(([key]) => !OLDER_METADATA.has(key));
  return {
    kind: 'conversation',
    conversation: {
      userId: userId === '' ? undefined : userId,
      messages: (messages as Record<string, unknown>[]).map(messageOf),
      metadata: Object.fromEntries([...kept, ...(trace === '' ? [] : [['traceId', trace] as const])]) as Metadata,
      createdAt: changed.length === 0 ? undefined : Math.min(...(created.length > 0 ? created : changed)),
      updatedAt: changed.length === 0 ? undefined : Math.max(...changed),
    },
  };
}
