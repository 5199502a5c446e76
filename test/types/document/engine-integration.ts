// The document, Engine integration (lines 278–316).
import { run, type Agent, type RunConfig, type RunState } from 'jaf';
import { createMemoryProviderFromEnv, type MemoryConfig } from 'jaf/memory';
import { createOpenAIModel } from 'jaf/models';
interface Ctx {
  userId: string;
}
const provider = await createMemoryProviderFromEnv();
const memory: MemoryConfig = { provider, autoStore: true, maxMessages: 100 };
const agent: Agent<Ctx> = {
  name: 'ChatBot',
  instructions: (state) => `You are a helpful assistant for ${state.context.userId}.`,
  tools: [],
};
const initialState: RunState<Ctx> = {
  messages: [{ role: 'user', content: 'Hello!' }],
  currentAgentName: 'ChatBot',
  context: { userId: 'user-123' },
};
const config: RunConfig<Ctx> = {
  agentRegistry: { ChatBot: agent },
  modelProvider: createOpenAIModel(),
  memory,
  conversationId: 'user-123-session-1', // important: name the conversation
};
const result = await run(initialState, config);
if (result.outcome.status === 'completed') console.log(result.outcome.output);
