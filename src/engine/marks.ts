/**
 * Which messages of a state are stored already: told by the state's mark (`stored`) and by identity, never by content, so a
 * repeated "yes" is a message of its own.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isInterruptedResult } from '../memory/repair.js';
import type { Message } from '../memory/types.js';
import type { RunState } from './agent.js';
import { isStored, storeOf } from '../memory/origin.js';

type StoredMark = NonNullable<RunState['stored']>;

/** What a mark was made for; lost when the state travels as JSON. */
const described = new WeakMap<
  StoredMark,
  { readonly messages: readonly Message[]; readonly firstStep: number; readonly waiting: readonly number[] }
>();

/**
 * Makes the mark of a final state.
 *
 * @param messages - of that state
 * @param next - where the next run's operation ids start, and the sizes of the steps that may have landed unseen
 */
export function createMark(
  messages: readonly Message[],
  next: { readonly firstStep: number; readonly waiting: readonly number[] },
  fields: StoredMark,
): StoredMark {
  const mark = Object.freeze({ ...fields });
  described.set(mark, { messages, ...next });
  return mark;
}

/** Ids made here begin so: a state that carries one from an earlier run did not ask for that run again. */
const MADE_HERE = 'auto-';

/**
 * The id of a run: the caller's, or a new one. One that was made here for an earlier run of the state is kept only to repeat
 * a write of unknown outcome exactly.
 */
export function runIdOf(state: RunState | undefined): string {
  const given = state?.runId;
  if (typeof given !== 'string' || given === '') return MADE_HERE + randomUUID();
  const repeats = state?.stored !== undefined && (described.get(state.stored)?.waiting.length ?? 0) > 0;
  return given.startsWith(MADE_HERE) && !repeats ? MADE_HERE + randomUUID() : given;
}

/**
 * Where the operation ids of a run start. Every write raises the version, so runs that continue one state under one `runId`
 * have ids of their own, and the repetition of such a run has the same ones.
 */
export function firstStepOf(state: RunState, conversationId: string): number {
  const mark = state.stored;
  return mark?.conversationId === conversationId ? (described.get(mark)?.firstStep ?? mark.version) : 0;
}

/** The mark of a state, where it is about this conversation and about these very messages. */
function validMark(state: RunState, conversationId: string): StoredMark | undefined {
  const mark = state.stored;
  if (mark?.conversationId !== conversationId || !Number.isInteger(mark.count) || mark.count < 0 || state.messages.length < mark.count)
    return undefined;
  const messages = described.get(mark)?.messages;
  // `{ ...finalState, messages: [user('next')] }` keeps the mark of another list; a mark that came as JSON is trusted
  const fits = !messages || state.messages.slice(0, mark.count).every((m, i) => m === messages[i] || isDeepStrictEqual(m, messages[i]));
  return fits ? mark : undefined;
}

/**
 * The messages of a state that are not in the conversation yet, in order. Results put in by a repair are left out: they are
 * made again where they are still needed.
 */
export function newMessages(state: RunState, provider: object, conversationId: string): readonly Message[] {
  const counted = validMark(state, conversationId)?.count ?? 0;
  return state.messages.filter(
    (message, index) =>
      index >= counted && !isInterruptedResult(message) && !isStored(message, { store: storeOf(provider), conversationId }),
  );
}

/**
 * New messages as the steps they are stored in: those that an earlier run may have stored unseen as it had them, then the
 * rest as one.
 */
export function stepsOf(
  fresh: readonly Message[],
  state: RunState,
  conversationId: string,
): { readonly repeated: readonly (readonly Message[])[]; readonly rest: readonly Message[] } {
  const mark = validMark(state, conversationId);
  const repeated: (readonly Message[])[] = [];
  let from = 0;
  for (const size of (mark && described.get(mark)?.waiting) ?? []) {
    const step = fresh.slice(from, from + size);
    if (step.length > 0) repeated.push(step);
    from += size;
  }
  return { repeated, rest: fresh.slice(from) };
}

/** Where in the stored messages a step ends that the store says it has: at its count, or (after a trim) the last place that fits. */
export function locate(stored: readonly Message[], step: readonly Message[], at: number): number | undefined {
  // as JSON: what was stored has lost keys that were undefined
  const wanted: unknown = JSON.parse(JSON.stringify(step));
  const fits = (end: number): boolean =>
    end >= step.length && isDeepStrictEqual(JSON.parse(JSON.stringify(stored.slice(end - step.length, end))), wanted);
  if (at <= stored.length && fits(at)) return at;
  for (let end = stored.length; end >= step.length; end--) if (fits(end)) return end;
  return undefined;
}
