/**
 * What may be written: ids, messages, metadata, options. Every problem of a call is collected, so that one error names all.
 *
 * @module
 */
import { MemoryValidationError } from './errors.js';
import type { Metadata } from './types.js';

/** One thing that is wrong: where and why. */
export interface Problem {
  readonly path: string;
  readonly reason: string;
}

/** Deepest nesting of a value: far above real data, far below where a recursive reader overflows its stack. */
const MAX_DEPTH = 1000;
const ID_MAX = 255;

/** Collects problems and throws them as one error. */
export class Problems {
  readonly found: Problem[] = [];

  add(path: string, reason: string): void {
    this.found.push({ path, reason });
  }

  /** @throws MemoryValidationError when anything was found */
  throwIfAny(provider: string, what: string): void {
    if (this.found.length === 0) return;
    const shown = this.found.slice(0, 5).map((p) => `${p.path}: ${p.reason}`);
    if (this.found.length > shown.length) shown.push(`and ${this.found.length - shown.length} more`);
    throw new MemoryValidationError(`${what}: ${shown.join('; ')}. Nothing was written.`, { provider, issues: this.found });
  }
}

/** What a value is, for an error text; never the value itself. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (typeof value !== 'object') return value === undefined ? 'undefined' : `a ${typeof value}`;
  const name = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null)?.constructor?.name;
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `a ${name}` : 'an object';
}

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

/**
 * Checks that JSON can hold a value without losing anything: no NaN, Infinity, bigint, function, symbol, class instance
 * or cycle. `undefined` in an object is dropped, as JSON does.
 */
export function checkJson(path: string, value: unknown, problems: Problems): void {
  walk(path, value, problems, []);
}

function walk(path: string, value: unknown, problems: Problems, above: object[]): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'undefined':
      return;
    case 'number':
      if (!Number.isFinite(value)) problems.add(path, `JSON cannot hold ${value}`);
      return;
    case 'object':
      break;
    default:
      return problems.add(path, `JSON cannot hold ${kindOf(value)}`);
  }
  if (value === null) return;
  if (above.length >= MAX_DEPTH) return problems.add(path.slice(0, 200), `nested deeper than ${MAX_DEPTH} levels`);
  if (above.includes(value)) return problems.add(path, 'a cycle');
  above.push(value);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      if (typeof item === 'string') continue;
      walk(`${path}[${i}]`, item, problems, above);
    }
  } else {
    const proto = Object.getPrototypeOf(value) as object | null;
    if (proto !== null && proto !== Object.prototype && !isForeignPlain(proto)) {
      problems.add(path, `expected a plain object, got ${kindOf(value)}`);
    } else {
      for (const key of Object.keys(value)) {
        const item = (value as Record<string, unknown>)[key];
        if (typeof item === 'string') continue;
        walk(`${path}.${key.length > 64 ? `${key.slice(0, 64)}…` : key}`, item, problems, above);
      }
    }
  }
  above.pop();
}

/** `Object.prototype` of another realm (a vm context, a test runner). */
function isForeignPlain(proto: object): boolean {
  return Object.getPrototypeOf(proto) === null && Object.hasOwn(proto, 'hasOwnProperty') && Object.hasOwn(proto, 'isPrototypeOf');
}

const ROLES: ReadonlySet<unknown> = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function']);

/** Checks one message in the wire format. */
export function checkMessage(path: string, value: unknown, problems: Problems): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return problems.add(path, `expected a message object, got ${kindOf(value)}`);
  }
  const before = problems.found.length;
  walk(path, value, problems, []);
  if (problems.found.length > before) return;
  const message = value as Record<string, unknown>;
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
  checkJson('metadata', value, problems);
  if (problems.found.length > before) return {};
  const metadata = value as Metadata;
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
