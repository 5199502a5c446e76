/**
 * Events: what happens in a run, told to `onEvent` and to the reader of a stream. They carry ids, names and counts; the
 * text of a streamed reply (`text_delta`) is the only content among them.
 *
 * Every event has `runId`, and `conversationId` where the run has one.
 *
 * | type | fields | when |
 * |---|---|---|
 * | `run_start` | agent, traceId? | first event |
 * | `memory_loaded` | messages, messageCount, version | the conversation was read |
 * | `repaired` | kind, stored | a tool call without a result (or a stray result) was put right; `stored`: also in the store |
 * | `limited_guarantees` | off | the provider cannot promise these |
 * | `resumed` | steps | this run was stored before; so many of its steps were taken from the store |
 * | `model_start` | agent, turn, messages, tools | the model is called |
 * | `text_delta` | textDelta | a piece of the reply (streams only) |
 * | `assistant_message` | agent, turn, toolCalls, inputTokens?, outputTokens? | the model has answered |
 * | `tool_start` | turn, callId, tool | a tool is called |
 * | `tool_end` | turn, callId, tool, ok, error? | it has answered; `error`: unknown_tool, invalid_arguments, tool_failed |
 * | `message_stored` | role, sequence?, version?, duplicate | the store acknowledged this message |
 * | `handoff` | from, to | another agent speaks next |
 * | `load_failed`, `store_failed` | operation, error, code?, outcome? | the store failed |
 * | `run_end` | status, turns, agent, error?, code? | last event |
 *
 * @module
 */

/** Something that happened in a run: `type` says what, e.g. `tool_end`. See docs/engine.md for the types and their fields. */
export interface RunEvent {
  readonly type: string;
  readonly [k: string]: unknown;
}

/** Tells the listener; never throws. */
export type Emit = (type: string, fields?: Readonly<Record<string, unknown>>) => void;

/**
 * @param listener - whom to tell
 * @param common - fields of every event
 * @returns a function that makes and sends an event; exceptions of the listener become one process warning a run
 */
export function createEmit(listener: ((event: RunEvent) => unknown) | undefined, common: Readonly<Record<string, unknown>>): Emit {
  if (!listener) return () => undefined;
  let warned = false;
  const warn = (error: unknown): void => {
    if (warned) return;
    warned = true;
    process.emitWarning(
      `onEvent of a run failed with ${error instanceof Error ? error.name : typeof error}; the run goes on.`,
      'JafWarning',
    );
  };
  return (type, fields) => {
    try {
      const answer = listener(Object.freeze({ type, ...common, ...fields }));
      // an async listener would otherwise end the process with an unhandled rejection
      if (answer instanceof Promise) answer.catch(warn);
    } catch (error) {
      warn(error);
    }
  };
}

/** What an event may say about an error: its class and code, never its text. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: typeof error };
  const { code, outcome } = error as { code?: unknown; outcome?: unknown };
  return {
    error: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof outcome === 'string' ? { outcome } : {}),
  };
}
