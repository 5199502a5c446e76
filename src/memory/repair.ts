/**
 * Repairs of a list of messages: visible in the messages themselves, and reversible.
 *
 * @module
 */
import { hasPart, type Layout, layOut, pairIssues } from './integrity.js';
import type { Issue, Message, ToolCall } from './types.js';

/** The extra key of a message that a repair put in or moved; its value is the kind of the issue it repairs. */
const REPAIR_KEY = 'jaf_repair';
/** The extra key that says how to take a repair back; see {@link undoRepairs}. */
const UNDO_KEY = 'jaf_undo';

/** What stands under {@link UNDO_KEY}. Without `index` the message was put in, and goes. */
interface Undo {
  /** Counts the repairs of a list, so that the newest is taken back first. */
  readonly repair: number;
  /** Where the message stood in the list that was repaired. */
  readonly index?: number;
  /** The message as it was, where it is more than this one without the two keys. */
  readonly message?: Message;
}

/**
 * The tool result that stands in for one that was never stored: it says that the outcome is unknown, and carries the extra
 * key `jaf_repair: 'missing-tool-result'`, so that people and code can tell it from a real one.
 *
 * @param call - the call that has no result
 */
export function interruptedResult(call: ToolCall): Message {
  return {
    role: 'tool',
    content: 'This call was interrupted and its result was never recorded. Its outcome is unknown: it may or may not have taken effect.',
    tool_call_id: call.id,
    name: call.function.name,
    [REPAIR_KEY]: 'missing-tool-result',
  };
}

/** Whether a message is an {@link interruptedResult}; a real result that a repair moved is none. */
export function isInterruptedResult(message: Message): boolean {
  return message[REPAIR_KEY] === 'missing-tool-result';
}

/** What stands where an orphan result stood. Its text is ours: what a tool said must not turn into what a user says. */
const SET_ASIDE = '[A tool result stood here, but the call it answers is not part of this conversation. It was set aside.]';

function setAside(orphan: Message, undo: Undo): Message {
  return { role: 'user', content: SET_ASIDE, [REPAIR_KEY]: 'orphan-tool-result', [UNDO_KEY]: { ...undo, message: orphan } };
}

function moved(result: Message, undo: Undo): Message {
  const whole = result[REPAIR_KEY] === undefined && result[UNDO_KEY] === undefined ? {} : { message: result };
  return { ...result, [REPAIR_KEY]: 'orphan-tool-result', [UNDO_KEY]: { ...undo, ...whole } };
}

/** What stands under {@link UNDO_KEY} of a message, if it is ours. */
function undoOf(message: unknown): Undo | undefined {
  if (typeof message !== 'object' || message === null) return undefined;
  const undo = (message as Record<string, unknown>)[UNDO_KEY] as Partial<Undo> | null | undefined;
  if (typeof undo !== 'object' || undo === null || !Number.isInteger(undo.repair)) return undefined;
  return undo.index === undefined || Number.isInteger(undo.index) ? (undo as Undo) : undefined;
}

function newestRepair(messages: readonly Message[]): number {
  let newest = 0;
  for (const message of messages) newest = Math.max(newest, undoOf(message)?.repair ?? 0);
  return newest;
}

/**
 * Makes tool calls and results match. A call without a result gets a synthetic one behind the results of its message (see
 * {@link interruptedResult}). A result that other messages separate from its call is moved behind it. A result without a call
 * makes room for a message of role `user` that says so, and that carries the result. Other kinds of issues are left as they are.
 *
 * Each message that was put in or moved carries the extra keys `jaf_repair` (the kind of issue) and `jaf_undo`;
 * {@link undoRepairs} takes everything back. `toChatMessages` leaves both keys out, and `run()` does not send what stands for an
 * orphan.
 *
 * @param messages - in order
 * @returns the repaired list (the same array when nothing had to change) and what was done; `index` is the position in the
 * list that was given
 * @example
 * const { messages, repairs } = repairMessages(conversation.messages);
 */
export function repairMessages(messages: readonly Message[]): { messages: readonly Message[]; repairs: readonly Issue[] } {
  if (!messages.some(hasPart)) return { messages, repairs: [] };
  const layout = layOut(messages);
  const found = pairIssues(layout);
  if (found.length === 0) return { messages, repairs: [] };
  const repair = newestRepair(messages) + 1;
  const resultsOf = lists();
  // behind the results of the message an orphan followed, so that it separates none of them from their call
  const orphansBehind = lists();
  messages.forEach((message, index) => {
    const call = layout.callOf[index];
    if (call === undefined) return;
    const behind = layout.behind[index] ?? -1;
    if (call < 0) orphansBehind.add(behind, setAside(message, { repair, index }));
    else resultsOf.add(call, call === behind ? message : moved(message, { repair, index }));
  });
  for (const { index, call } of layout.open) {
    const open = messages[index]?.tool_calls?.[call];
    if (open) resultsOf.add(index, { ...interruptedResult(open), [UNDO_KEY]: { repair } satisfies Undo });
  }
  const repaired = [
    ...orphansBehind.of(-1),
    ...messages.flatMap((message, index) =>
      layout.callOf[index] === undefined ? [message, ...resultsOf.of(index), ...orphansBehind.of(index)] : [],
    ),
  ];
  const repairs = found.map((issue) => ({ ...issue, detail: `${issue.detail}: ${doneAbout(issue, layout)}` }));
  repairs.sort((a, b) => a.index - b.index);
  return { messages: repaired, repairs };
}

function lists(): { add(at: number, message: Message): void; of(at: number): readonly Message[] } {
  const kept = new Map<number, Message[]>();
  return {
    add: (at, message) => {
      const list = kept.get(at);
      if (list) list.push(message);
      else kept.set(at, [message]);
    },
    of: (at) => kept.get(at) ?? [],
  };
}

function doneAbout(issue: Issue, layout: Layout): string {
  if (issue.kind === 'missing-tool-result') return 'a result saying that it was interrupted was inserted';
  return (layout.callOf[issue.index] ?? -1) < 0 ? 'set aside' : 'moved behind its call';
}

/**
 * As {@link repairMessages}, for a model: what stands for an orphan result is left out, also that of an earlier repair.
 *
 * @param messages - in order
 */
export function repairedForModel(messages: readonly Message[]): readonly Message[] {
  const repaired = repairMessages(messages).messages;
  const isAside = (message: Message): boolean => message.role === 'user' && undoOf(message)?.message !== undefined;
  return repaired.some(isAside) ? repaired.filter((message) => !isAside(message)) : repaired;
}

/**
 * Takes back what {@link repairMessages} did, exactly: the newest repair first, then those before it. Messages that were added
 * since stay behind it. Synthetic results that a run stored by itself (without `jaf_undo`) are part of the conversation, and stay.
 * Where messages in front were trimmed since, what was moved comes back as near to its place as it can.
 *
 * @param messages - in order
 * @returns the list as it was (the same array when nothing was repaired)
 * @example
 * undoRepairs(repairMessages(messages).messages); // deeply equal to messages
 */
export function undoRepairs(messages: readonly Message[]): readonly Message[] {
  let list = messages;
  for (let repair = newestRepair(messages); repair > 0; repair = newestRepair(list)) {
    const kept: Message[] = [];
    const back: { readonly index: number; readonly message: Message }[] = [];
    for (const message of list) {
      const undo = undoOf(message);
      if (undo?.repair !== repair) kept.push(message);
      else if (undo.index !== undefined) back.push({ index: undo.index, message: undo.message ?? withoutKeys(message) });
    }
    back.sort((a, b) => a.index - b.index);
    for (const { index, message } of back) kept.splice(index, 0, message);
    list = kept;
  }
  return list;
}

function withoutKeys(message: Message): Message {
  const { [REPAIR_KEY]: _kind, [UNDO_KEY]: _undo, ...rest } = message;
  return rest;
}
