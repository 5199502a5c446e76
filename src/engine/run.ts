/**
 * `run` and `stream`: two ways to watch one loop.
 *
 * @module
 */
import type { RunConfig, RunResult, RunState } from './agent.js';
import type { RunEvent } from './events.js';
import { Run } from './loop.js';

/**
 * Runs an agent until it answers: the model is called, its tool calls are served, handoffs followed. With memory the
 * conversation is loaded first, and every step is stored as soon as it is done.
 *
 * @param initialState - the new messages, the agent to begin with, the context
 * @param config - agents, model, memory
 * @returns the final state and how it ended; errors come as `outcome.status: 'error'`, the promise does not reject
 * @example
 * const { outcome } = await run(
 *   { messages: [user('Hello!')], currentAgentName: 'ChatBot', context: { userId: 'user-123' } },
 *   { agentRegistry: { ChatBot: agent }, modelProvider: createOpenAIModel(), memory: { provider }, conversationId: 'chat-1' },
 * );
 */
export function run<Ctx, Out = string>(initialState: RunState<Ctx>, config: RunConfig<Ctx>): Promise<RunResult<Ctx, Out>> {
  return new Run<Ctx>(initialState, config, false).execute() as Promise<RunResult<Ctx, Out>>;
}

/**
 * The same run as {@link run}, told while it happens: its events, with the text of replies in pieces (`text_delta`). It runs
 * whether or not anybody reads; leaving the loop early aborts it.
 *
 * @param initialState - as for `run`
 * @param config - as for `run`
 * @returns the events, to be read once; `result` is what `run` would have answered
 * @example
 * const running = stream(state, config);
 * for await (const event of running) if (event.type === 'text_delta') process.stdout.write(String(event.textDelta));
 * const { outcome } = await running.result;
 */
export function stream<Ctx, Out = string>(
  initialState: RunState<Ctx>,
  config: RunConfig<Ctx>,
): AsyncIterable<RunEvent> & { readonly result: Promise<RunResult<Ctx, Out>> } {
  const stop = new AbortController();
  const signal = config?.signal ? AbortSignal.any([config.signal, stop.signal]) : stop.signal;
  const events: RunEvent[] = [];
  let ended = false;
  let wake = (): void => undefined;
  const listen = (event: RunEvent): unknown => {
    events.push(event);
    wake();
    return config.onEvent?.(event);
  };
  const result = new Run<Ctx>(initialState, { ...config, signal, onEvent: listen }, true).execute().finally(() => {
    ended = true;
    wake();
  }) as Promise<RunResult<Ctx, Out>>;
  return {
    result,
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          const event = events.shift();
          if (event) yield event;
          else if (ended) return;
          else
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
        }
      } finally {
        if (!ended) stop.abort();
        // a write under way is finished before the reader goes on
        await result;
      }
    },
  };
}
