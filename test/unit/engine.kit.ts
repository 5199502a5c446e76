import type { Agent, RunConfig, RunEvent, RunResult, RunState } from 'jaf';
import type { AppendOptions, MemoryProvider, Message, Result, WriteReceipt } from 'jaf/memory';
import { createScriptedModel, type ScriptedModel } from 'jaf/testing';

/** An assistant message that calls tools; arguments as JSON text or value. */
export function calls(...wanted: { id: string; name: string; args?: unknown }[]): Message {
  return {
    role: 'assistant',
    content: null,
    tool_calls: wanted.map(({ id, name, args }) => ({
      id,
      type: 'function',
      function: { name, arguments: typeof args === 'string' ? args : JSON.stringify(args ?? {}) },
    })),
  };
}

const ECHO: Agent = { name: 'A', instructions: () => '' };

export function state<Ctx>(messages: readonly Message[], context: Ctx, more: Partial<RunState<Ctx>> = {}): RunState<Ctx> {
  return { messages, currentAgentName: 'A', context, ...more };
}

/** A configuration with a scripted model, and the events it sends. */
export function scripted<Ctx = unknown>(
  script: readonly Message[],
  more: Partial<RunConfig<Ctx>> = {},
): RunConfig<Ctx> & { model: ScriptedModel; events: RunEvent[] } {
  const model = createScriptedModel(script);
  const events: RunEvent[] = [];
  return {
    agentRegistry: { A: ECHO as Agent<Ctx> },
    modelProvider: model,
    onEvent: (event) => void events.push(event),
    ...more,
    model,
    events,
  };
}

export function types(events: readonly RunEvent[]): string[] {
  return events.map((e) => e.type);
}

export function output<Ctx, Out>(result: RunResult<Ctx, Out>): Out {
  if (result.outcome.status === 'error') throw result.outcome.error;
  return result.outcome.output;
}

export function failure<Ctx, Out>(result: RunResult<Ctx, Out>): Error & { code?: string } {
  if (result.outcome.status === 'completed') throw new Error('the run completed');
  return result.outcome.error;
}

type Append = (
  id: string,
  messages: readonly Message[],
  options: AppendOptions | undefined,
  apply: () => Promise<Result<WriteReceipt>>,
) => Promise<Result<WriteReceipt>>;

/** A real provider whose appends go through a function that may fail them before or after they are applied. */
export function interceptAppends(provider: MemoryProvider, append: Append): MemoryProvider {
  return new Proxy(provider, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (key === 'appendMessages') {
        return (id: string, messages: readonly Message[], metadata?: undefined, options?: AppendOptions) =>
          append(id, messages, options, () => target.appendMessages(id, messages, metadata, options));
      }
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
