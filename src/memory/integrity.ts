/**
 * Integrity: whether a list of messages can be sent to a model.
 *
 * @module
 */
import type { Issue, Message, ToolCall } from './types.js';
import { isResult, type Pairing, pairCalls } from './window.js';

/** What {@link verifyMessages} and {@link verifyConversation} answer. */
export interface Verification {
  /** Nothing was found. */
  readonly valid: boolean;
  /** Everything that was found, in order of position; empty when valid. */
  readonly issues: readonly Issue[];
}

const ROLES: ReadonlySet<unknown> = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function']);

type Loose = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A call a result can be paired with. Custom tools (`type: 'custom'`) carry their input elsewhere. */
function isSoundCall(call: unknown): call is ToolCall {
  if (!isObject(call) || typeof call['id'] !== 'string') return false;
  if (call['type'] === 'custom') return isObject(call['custom']);
  const fn = call['function'];
  return isObject(fn) && typeof fn['name'] === 'string' && typeof fn['arguments'] === 'string';
}

function isEmptyContent(content: unknown): boolean {
  return content === undefined || content === null || content === '' || (Array.isArray(content) && content.length === 0);
}

/** Issues that a message has by itself. */
export function ownIssues(message: unknown, index: number): Issue[] {
  const damaged = (detail: string): Issue => ({ index, kind: 'damaged', detail });
  if (!isObject(message)) return [damaged('not an object')];
  const { role, content, tool_calls: calls } = message;
  if (!ROLES.has(role)) return [{ index, kind: 'unknown-role', detail: 'expected system, developer, user, assistant or tool' }];
  const issues: Issue[] = [];
  if (content !== undefined && content !== null && typeof content !== 'string' && !Array.isArray(content)) {
    issues.push(damaged('content is neither text, parts nor null'));
  } else if (Array.isArray(content) && !content.every((part) => isObject(part) && typeof part['type'] === 'string')) {
    issues.push(damaged('a content part is not an object with a type'));
  }
  if (calls !== undefined && calls !== null && !Array.isArray(calls)) issues.push(damaged('tool_calls is not an array'));
  if (Array.isArray(calls)) {
    const seen = new Set<string>();
    calls.forEach((call: unknown, n) => {
      if (!isSoundCall(call)) return issues.push(damaged(`tool_calls[${n}] lacks an id, a function name or argument text`));
      if (seen.has(call.id))
        issues.push({ index, kind: 'duplicate-call-id', detail: `tool_calls[${n}] repeats the id of an earlier call of the same message` });
      return seen.add(call.id);
    });
  }
  if (isEmptyContent(content) && !mayBeEmpty(message)) {
    issues.push({ index, kind: 'empty', detail: `a ${String(role)} message without content` });
  }
  return issues;
}

/** Tools return nothing, and models say nothing, in real conversations; a bare tool call has `content: null`. */
function mayBeEmpty(message: Loose): boolean {
  const { role, content } = message;
  if (role === 'tool' || role === 'function') return content === '';
  if (role === 'assistant') {
    const calls = message['tool_calls'];
    return (
      content === '' ||
      (Array.isArray(calls) && calls.length > 0) ||
      isObject(message['function_call']) ||
      isObject(message['audio']) ||
      typeof message['refusal'] === 'string'
    );
  }
  const attachments = message['attachments'];
  return role === 'user' && Array.isArray(attachments) && attachments.length > 0;
}

/** How calls and results belong together, also in a list with damaged entries. */
export interface Layout extends Pairing {
  /** For each result, the position of the message its run of results follows; a result must follow its own call. */
  readonly behind: readonly number[];
}

/** Whether a message has a part in tool calls; of most conversations none has. */
export function hasPart(message: unknown): boolean {
  return !isObject(message) || message['tool_calls'] !== undefined || message['role'] === 'tool' || message['role'] === 'function';
}

/** Pairs what can be paired: damaged messages and calls take part as messages nothing belongs to. */
export function layOut(messages: readonly Message[]): Layout {
  const safe = messages.map((message: unknown, index): Message => {
    if (!isObject(message)) return { role: 'system', content: null };
    const calls = message['tool_calls'];
    if (calls === undefined) return message as Message;
    if (!Array.isArray(calls)) return { ...(message as Message), tool_calls: [] };
    if (calls.every(isSoundCall)) return message as Message;
    // U+0000 and the position: an id no result can carry, so positions in tool_calls stay as they are
    return {
      ...(message as Message),
      tool_calls: calls.map((call, n) => (isSoundCall(call) ? call : unusableCall(`\u0000${index}.${n}`))),
    };
  });
  const { callOf, open } = pairCalls(safe);
  const behind: number[] = [];
  let last = -1;
  safe.forEach((message, index) => {
    behind[index] = last;
    if (!isResult(message)) last = index;
  });
  const found = [...callOf];
  safe.forEach((message, index) => {
    // a legacy function result has no id: it answers the function_call right before it
    if (message.role !== ('function' as string)) return;
    const before = behind[index] ?? -1;
    found[index] = isObject(safe[before]?.['function_call']) ? before : -1;
  });
  return { callOf: found, open: open.filter((o) => isSoundCall(messages[o.index]?.tool_calls?.[o.call])), behind };
}

function unusableCall(id: string): ToolCall {
  return { id, type: 'function', function: { name: '', arguments: '' } };
}

/** Issues of results and calls with respect to each other. */
export function pairIssues({ callOf, open, behind }: Layout): Issue[] {
  const issues: Issue[] = open.map(({ index, call }) => ({
    index,
    kind: 'missing-tool-result',
    detail: `tool_calls[${call}] has no result`,
  }));
  callOf.forEach((call, index) => {
    if (call === undefined) return;
    if (call < 0) issues.push({ index, kind: 'orphan-tool-result', detail: 'answers no call before it' });
    else if (call !== behind[index]) {
      issues.push({
        index,
        kind: 'orphan-tool-result',
        detail: `answers the call of message ${call}, but other messages stand between them`,
      });
    }
  });
  return issues;
}

/**
 * Checks a list of messages. Kinds of issues: `empty`, `unknown-role`, `damaged` (wrong types), `duplicate-call-id` (within
 * one assistant message; ids that repeat across messages are normal), `missing-tool-result`, `orphan-tool-result` (answers
 * no call, or is separated from its call by other messages, which model APIs refuse).
 *
 * `content: null` is fine beside tool calls; `''` is fine for tool results and assistant messages.
 *
 * @param messages - in order
 * @example
 * const { valid, issues } = verifyMessages(await provider.getRecentMessages('chat-1'));
 */
export function verifyMessages(messages: readonly Message[]): Verification {
  const issues = [...messages.flatMap((message, index) => ownIssues(message, index)), ...pairIssues(layOut(messages))];
  issues.sort((a, b) => a.index - b.index);
  return { valid: issues.length === 0, issues };
}
