/**
 * Windows: which of the newest messages may be sent to a model.
 *
 * @module
 */
import type { Message } from './types.js';

/** Whether a message answers a tool call (or a legacy function call). */
export function isResult(message: { readonly role: string }): boolean {
  return message.role === 'tool' || message.role === 'function';
}

/** How the tool calls and results of a list of messages belong together. */
export interface Pairing {
  /** For each position: of a result, the position of the assistant message it answers, or -1 for an orphan; else undefined. */
  readonly callOf: readonly (number | undefined)[];
  /** Calls without a result: position of the assistant message and index of the call in it, in order. */
  readonly open: readonly { readonly index: number; readonly call: number }[];
}

/**
 * Pairs results with calls: by position first, id second. A result belongs to the nearest earlier assistant message that
 * has a call with its id still open; ids repeat within real conversations, and that is normal.
 *
 * @param messages - in order
 */
export function pairCalls(messages: readonly Message[]): Pairing {
  const callOf: (number | undefined)[] = [];
  const openById = new Map<string, { index: number; call: number }[]>();
  messages.forEach((message, index) => {
    callOf[index] = undefined;
    if (message.role === 'assistant') {
      (message.tool_calls ?? []).forEach((call, n) => {
        const stack = openById.get(call.id);
        if (stack) stack.push({ index, call: n });
        else openById.set(call.id, [{ index, call: n }]);
      });
    } else if (isResult(message)) {
      const stack = openById.get(message.tool_call_id ?? '');
      // calls of one message with the same id are answered in their order, of several messages the nearest first
      const nearest = stack?.at(-1)?.index;
      const at = stack ? stack.findIndex((c) => c.index === nearest) : -1;
      callOf[index] = stack && at >= 0 ? (stack.splice(at, 1)[0]?.index ?? -1) : -1;
    }
  });
  const open = [...openById.values()].flat().sort((a, b) => a.index - b.index || a.call - b.call);
  return { callOf, open };
}

/**
 * The largest suffix that does not begin with an orphan result: whatever was cut off, a leading result has lost its call.
 *
 * @param messages - the newest messages of a conversation, in order
 */
export function dropLeadingResults<T extends { readonly role: string }>(messages: readonly T[]): readonly T[] {
  let start = 0;
  while (start < messages.length && isResult(messages[start] as T)) start++;
  return start === 0 ? messages : messages.slice(start);
}
