// The engine's types: agents, tools by schema, custom providers.
import { type Agent, type RunConfig, type RunResult, type RunState, run, stream, tool } from 'jaf';
import { type MemoryConfig, type Message, type Metadata, type Result, createInMemoryProvider } from 'jaf/memory';
import { createOfflineModel } from 'jaf/models';
import { createScriptedModel } from 'jaf/testing';
import { z } from 'zod';

interface Ctx {
  readonly userId: string;
}

const weather = tool({
  name: 'get_weather',
  description: 'The weather of a city',
  parameters: z.object({ city: z.string(), days: z.number().optional() }),
  execute: (args, context: Ctx) => {
    const city: string = args.city;
    // @ts-expect-error not in the schema
    void args.country;
    return { city, for: context.userId };
  },
});

const agent: Agent<Ctx> = { name: 'ChatBot', instructions: (state) => `You help ${state.context.userId}.`, tools: [weather] };
// @ts-expect-error instructions are a function of the state
const wrong: Agent<Ctx> = { name: 'ChatBot', instructions: 'You help.' };
void wrong;

const memory: MemoryConfig = {
  provider: createInMemoryProvider(),
  autoStore: true,
  maxMessages: 100,
  contextMessages: 20,
  onStoreError: 'continue',
};
const state: RunState<Ctx> = { messages: [{ role: 'user', content: 'Hi' }], currentAgentName: 'ChatBot', context: { userId: 'user-123' } };
const config: RunConfig<Ctx> = { agentRegistry: { ChatBot: agent }, modelProvider: createOfflineModel(), memory, conversationId: 'chat-1' };
const byMap: RunConfig<Ctx> = { agentRegistry: new Map([['ChatBot', agent]]), modelProvider: createScriptedModel([]) };

export async function runs(): Promise<string> {
  const result: RunResult<Ctx> = await run(state, config);
  // a second run starts where the first ended
  await run({ ...result.finalState, messages: [...result.finalState.messages, { role: 'user', content: 'yes' }] }, byMap);
  // @ts-expect-error output only when completed
  void result.outcome.output;
  const events = stream(state, config);
  for await (const event of events) void event.type;
  const last = await events.result;
  if (last.outcome.status === 'error') return last.outcome.error.message;
  return result.outcome.status === 'completed' ? result.outcome.output : '';
}

// @ts-expect-error a memory needs a provider
export const noProvider: MemoryConfig = { autoStore: true };
// @ts-expect-error a provider needs its methods
export const halfProvider: MemoryConfig = { provider: { getConversation: async () => undefined } };
export type Unused = [Message, Metadata, Result<string>];
