/**
 * What may be written: ids, messages, metadata, options.
 *
 * @module
 */
import { copyJson } from './json.js';
import { kindOf, type Problems } from './problems.js';
import type { Message, Metadata } from './types.js';

const ID_MAX = 255;

/** Checks a conversation id, user id or trace id: 1 to 255 code points, no U+0000, no lone surrogate. */
export function checkId(path: string, value: unknown, problems: Problems): void {
  if (typeof value !== 'string') return problems.add(path, `expected a string, got ${kindOf(value)}`);
  if (value === '') return problems.add(path, 'expected 1 to 255 characters, got none');
  if (value.length > ID_MAX && [...value].length > ID_MAX) {
    return problems.add(path, `expected 1 to 255 characters, got ${[...value].length}`);
  }
  if (value.includes('\0')) problems.add(path, 'U+0000 is not allowed in an id');
  else if (!value.isWellFormed()) problems.add(path, 'a lone surrogate is not allowed in an id');
}

/** Checks a whole number in a range. */
export function checkInteger(path: string, value: unknown, min: number, problems: Problems, max: number = Number.MAX_SAFE_INTEGER): void {
  if (typeof value !== 'number') return problems.add(path, `expected a whole number, got ${kindOf(value)}`);
  if (!Number.isInteger(value) || value < min || value > max) {
    problems.add(
      path,
      `expected a whole number ${max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`}, got ${value}`,
    );
  }
}

/** Checks a TTL in seconds: positive; `null` clears where it is allowed. */
export function checkTtl(path: string, value: unknown, problems: Problems, nullable = true): void {
  if (value === null && nullable) return;
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0 || value > MAX_TTL_SECONDS) {
    const got = typeof value === 'number' ? String(value) : kindOf(value);
    problems.add(path, `expected seconds above 0${nullable ? ', or null to clear it' : ''}, got ${got}`);
  }
}
/** 1,000 years: keeps every expiry a valid date. */
const MAX_TTL_SECONDS = 31_557_600_000;

/** Checks a date. */
export function checkDate(path: string, value: unknown, problems: Problems): void {
  if (!(value instanceof Date)) return problems.add(path, `expected a Date, got ${kindOf(value)}`);
  if (Number.isNaN(value.getTime())) problems.add(path, 'expected a valid Date, got an invalid one');
}

/** Checks an `AbortSignal`, structurally: it may come from another realm. */
export function checkSignal(path: string, value: unknown, problems: Problems): void {
  if (value === undefined) return;
  const { aborted, addEventListener } = (value ?? {}) as { aborted?: unknown; addEventListener?: unknown };
  if (typeof aborted !== 'boolean' || typeof addEventListener !== 'function') {
    problems.add(path, `expected an AbortSignal, got ${kindOf(value)}`);
  }
}

const ROLES: ReadonlySet<unknown> = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function']);

/**
 * Checks one message in the wire format and copies it.
 *
 * @returns the copy, deeply frozen, as readers will get it; undefined when something is wrong with it
 */
export function checkMessage(path: string, value: unknown, problems: Problems): Message | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.add(path, `expected a message object, got ${kindOf(value)}`);
    return undefined;
  }
  const before = problems.found.length;
  const message = copyJson(path, value, problems) as Record<string, unknown>;
  if (problems.found.length > before) return undefined;
  if (!ROLES.has(message['role'])) {
    const role = message['role'];
    const got = typeof role === 'string' ? JSON.stringify(role.slice(0, 40)) : kindOf(role);
    problems.add(`${path}.role`, `expected system, developer, user, assistant or tool, got ${got}`);
  }
  for (const [slip, right] of [
    ['toolCalls', 'tool_calls'],
    ['toolCallId', 'tool_call_id'],
  ] as const) {
    if (message[slip] !== undefined) problems.add(`${path}.${slip}`, `the wire format spells it ${right}`);
  }
  checkContent(path, message, problems);
  for (const field of ['name', 'tool_call_id', 'message_id'] as const) {
    const given = message[field];
    if (given !== undefined && given !== null && typeof given !== 'string')
      problems.add(`${path}.${field}`, `expected a string, got ${kindOf(given)}`);
  }
  checkObjects(`${path}.attachments`, message['attachments'], 'kind', problems);
  checkToolCalls(`${path}.tool_calls`, message['tool_calls'], problems);
  if (problems.found.length > before) return undefined;
  // an assistant message of the openai package may leave content out
  return (message['content'] === undefined ? Object.freeze({ ...message, content: null }) : message) as Message;
}

/**
 * {@link checkMessage} for all messages of a call.
 *
 * @returns the copies in order; one that is wrong is missing, and named among the problems
 */
export function checkMessages(values: unknown, problems: Problems): readonly Message[] {
  if (!Array.isArray(values)) {
    problems.add('messages', `expected an array, got ${kindOf(values)}`);
    return [];
  }
  const messages: Message[] = [];
  for (let i = 0; i < values.length; i++) {
    const value: unknown = values[i];
    const message = copyPlain(value) ?? checkMessage(`messages[${i}]`, value, problems);
    if (message) messages.push(message);
  }
  return messages;
}

/** The most frequent message by far, a role and a text and nothing else, without the walk: a fifth of its time. */
function copyPlain(value: unknown): Message | undefined {
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return undefined;
  const keys = Object.keys(value);
  if (keys.length !== 2 || keys[0] !== 'role' || keys[1] !== 'content') return undefined;
  const { role, content } = value as Record<string, unknown>;
  return typeof content === 'string' && ROLES.has(role) ? Object.freeze({ role: role as Message['role'], content }) : undefined;
}

function checkContent(path: string, message: Record<string, unknown>, problems: Problems): void {
  const content = message['content'];
  if (typeof content === 'string' || content === null) return;
  if (content === undefined) {
    if (message['role'] !== 'assistant') problems.add(`${path}.content`, 'expected a string, an array of parts or null, got nothing');
    return;
  }
  if (!Array.isArray(content))
    return problems.add(`${path}.content`, `expected a string, an array of parts or null, got ${kindOf(content)}`);
  checkObjects(`${path}.content`, content, 'type', problems);
}

/** An array of objects that each have a string under `key`; absent and null are fine. */
function checkObjects(path: string, value: unknown, key: string, problems: Problems): void {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value)) return problems.add(path, `expected an array, got ${kindOf(value)}`);
  value.forEach((item: unknown, i) => {
    if (typeof item !== 'object' || item === null || typeof (item as Record<string, unknown>)[key] !== 'string') {
      problems.add(`${path}[${i}]`, `expected an object with a string "${key}", got ${kindOf(item)}`);
    }
  });
}

function checkToolCalls(path: string, value: unknown, problems: Problems): void {
  const before = problems.found.length;
  checkObjects(path, value, 'id', problems);
  if (problems.found.length > before || !Array.isArray(value)) return;
  value.forEach((call: Record<string, unknown>, i) => {
    if (typeof call['type'] !== 'string') return problems.add(`${path}[${i}].type`, `expected a string, got ${kindOf(call['type'])}`);
    if (call['type'] !== 'function') return;
    const fn = call['function'] as Record<string, unknown> | undefined;
    if (typeof fn !== 'object' || fn === null || typeof fn['name'] !== 'string' || typeof fn['arguments'] !== 'string') {
      problems.add(`${path}[${i}].function`, 'expected { name, arguments } with arguments as JSON text');
    }
  });
}

/** What the reserved metadata keys say. */
export interface ReservedMetadata {
  readonly owner?: string | undefined;
  readonly trace?: string | undefined;
  readonly hold?: boolean | undefined;
}

/** Options that were typed into the metadata slot; see `NotOptions` in types.ts. */
const OPTION_KEYS = ['createIfMissing', 'expectedVersion', 'operationId', 'compressionThreshold', 'signal'] as const;

/**
 * Checks metadata and reads the reserved keys (`userId user_id traceId trace_id legalHold`), which are kept as given.
 *
 * @param isSlot - it came as the third argument of a write, where options may have been meant
 */
export function checkMetadata(value: unknown, problems: Problems, isSlot: boolean): ReservedMetadata {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.add('metadata', `expected an object, got ${kindOf(value)}`);
    return {};
  }
  const before = problems.found.length;
  const metadata = copyJson('metadata', value, problems) as Metadata;
  if (problems.found.length > before) return {};
  if (isSlot) {
    for (const key of OPTION_KEYS) {
      if (metadata[key] !== undefined) problems.add(`metadata.${key}`, 'options are the fourth argument, metadata the third');
    }
  }
  const owner = agreed(metadata, ['userId', 'user_id'], problems);
  const trace = agreed(metadata, ['traceId', 'trace_id'], problems);
  const hold = metadata['legalHold'];
  if (hold !== undefined && typeof hold !== 'boolean') problems.add('metadata.legalHold', `expected true or false, got ${kindOf(hold)}`);
  return { owner, trace, hold: typeof hold === 'boolean' ? hold : undefined };
}

/** One id under two spellings that must agree. */
function agreed(metadata: Metadata, keys: readonly [string, string], problems: Problems): string | undefined {
  let found: string | undefined;
  for (const key of keys) {
    if (!Object.hasOwn(metadata, key)) continue;
    const value = metadata[key];
    if (value === undefined) continue;
    checkId(`metadata.${key}`, value, problems);
    if (typeof value !== 'string') continue;
    if (found !== undefined && found !== value) problems.add(`metadata.${key}`, `contradicts metadata.${keys[0]}`);
    found = value;
  }
  return found;
}

/** The names of the options a method takes; others are refused, so that a misspelt option is not silently lost. */
export function checkOptionNames(value: unknown, known: ReadonlySet<string>, problems: Problems): value is Record<string, unknown> {
  if (value === undefined) return false;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.add('options', `expected an object, got ${kindOf(value)}`);
    return false;
  }
  for (const key of Object.keys(value)) {
    if (!known.has(key)) problems.add(`options.${key.slice(0, 64)}`, `no such option; there are ${[...known].join(', ')}`);
  }
  return true;
}
