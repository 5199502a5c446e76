/**
 * Replays a recording through the engine: the recorded user speaks, a scripted model answers what was recorded, scripted
 * tools return what was recorded, and `run()` alone stores it. Then what is stored is compared with what was recorded.
 *
 * @module
 */
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { run, type Agent, type ModelProvider, type Tool } from '../../index.js';
import type { MemoryProviderCore, Message } from '../../memory/types.js';
import { createScriptedModel } from '../../testing/index.js';
import type { Recording } from './recording.js';
import type { ReplayStore } from './store.js';

/** One thing that is not as it was recorded. Names places and fields, never content. */
export interface Difference {
  readonly conversationId: string;
  /** Position in the recording, from 1; absent when it concerns the conversation. */
  readonly message?: number;
  readonly what: string;
}

/** What became of one recording. */
export interface Replayed {
  readonly runs: number;
  /** Messages stored now. */
  readonly messages: number;
  readonly differences: readonly Difference[];
}

const AGENT = 'recorded';

/** The recording's tools: each call returns the next recorded result, whatever its name, id or arguments. */
function scriptedTools(recording: Recording, results: Message[]): Tool[] {
  const names = new Set(
    recording.messages.flatMap((m) => (m.role === 'assistant' ? (m.tool_calls ?? []).map((call) => call.function.name) : [])),
  );
  return [...names].map((name) => ({
    name,
    description: '',
    parameters: { type: 'object' },
    execute: () => {
      const next = results.shift();
      if (!next) throw new Error('the recording has no further tool result');
      return next.content;
    },
  }));
}

/** Begins the conversation with the recorded metadata: part of the run's own first write, because runs store none. */
function withMetadata(store: ReplayStore, recording: Recording): MemoryProviderCore {
  const { provider } = store;
  let begun = false;
  return {
    storeMessages: (id, messages, metadata, options) => provider.storeMessages(id, messages, metadata, options),
    getConversation: (id, options) => provider.getConversation(id, options),
    appendMessages: async (id, messages, metadata, options) => {
      const result = await provider.appendMessages(id, messages, begun ? metadata : { ...recording.metadata, ...metadata }, options);
      begun ||= result.ok;
      return result;
    },
    getRecentMessages: (id, limit) => provider.getRecentMessages(id, limit),
    deleteConversation: (id) => provider.deleteConversation(id),
    healthCheck: () => provider.healthCheck(),
  };
}

/** Passes requests on and looks whether the model is sent what it was sent when the conversation was recorded. */
function watched(
  model: ModelProvider,
  recording: Recording,
  greeting: number,
  report: (difference: Omit<Difference, 'conversationId'>) => void,
): ModelProvider {
  const replies = recording.messages.flatMap((message, index) => (message.role === 'assistant' ? [index] : [])).slice(greeting);
  let asked = 0;
  return {
    getCompletion: (request) => {
      const index = replies[asked++];
      const expected = recording.messages.slice(0, index);
      if (!isDeepStrictEqual(request.messages, expected)) {
        const [sent, due] = [request.messages.length, expected.length];
        const what = sent === due ? `other than the ${due} recorded` : `${sent}, not the ${due} recorded`;
        report({ message: due + 1, what: `the messages sent to the model before this reply were ${what}` });
      }
      return model.getCompletion(request);
    },
  };
}

/** The recorded messages that begin each run: everything up to a user's message that no reply came between. */
function inputs(messages: readonly Message[]): Message[][] {
  const groups: Message[][] = [];
  let group: Message[] = [];
  for (const message of messages) {
    // a greeting before the first user message is part of the first state; later replies are the model's
    if ((message.role === 'assistant' || message.role === 'tool') && groups.length > 0) continue;
    group.push(message);
    if (message.role !== 'user') continue;
    groups.push(group);
    group = [];
  }
  return groups;
}

/** Names of the fields in which two messages differ. */
function differingFields(recorded: Message, stored: Message): string {
  const fields = [...new Set([...Object.keys(recorded), ...Object.keys(stored)])].filter(
    (key) => !isDeepStrictEqual(recorded[key], stored[key]),
  );
  return fields.map((field) => (field in recorded ? (field in stored ? field : `${field} (missing)`) : `${field} (added)`)).join(', ');
}

/** Compares what is stored with what was recorded. */
async function compare(
  store: ReplayStore,
  recording: Recording,
): Promise<{ messages: number; differences: Omit<Difference, 'conversationId'>[] }> {
  const stored = await store.provider.getConversation(recording.conversationId);
  if (!stored) return { messages: 0, differences: [{ what: 'nothing is stored' }] };
  const differences: Omit<Difference, 'conversationId'>[] = [];
  if (stored.userId !== recording.userId) differences.push({ what: 'another owner' });
  if (!isDeepStrictEqual(stored.metadata, recording.metadata)) differences.push({ what: 'other metadata' });
  if (stored.messageCount !== recording.messages.length || stored.messages.length !== recording.messages.length) {
    differences.push({ what: `${recording.messages.length} messages recorded, ${stored.messages.length} stored` });
  }
  recording.messages.forEach((message, index) => {
    const other = stored.messages[index];
    if (other && !isDeepStrictEqual(message, other))
      differences.push({ message: index + 1, what: `differs in ${differingFields(message, other)}` });
  });
  return { messages: stored.messages.length, differences };
}

/**
 * Replays one recording into a store that does not have the conversation yet.
 *
 * @param recording - what happened
 * @param store - where `run()` is to store it
 * @param signal - ends it between two steps
 */
export async function replayRecording(recording: Recording, store: ReplayStore, signal: AbortSignal): Promise<Replayed> {
  const found: Omit<Difference, 'conversationId'>[] = [];
  const states = inputs(recording.messages);
  const greeting = states[0]?.filter((m) => m.role === 'assistant').length ?? 0;
  const script = createScriptedModel(recording.messages.filter((m) => m.role === 'assistant').slice(greeting));
  const results = recording.messages.filter((m) => m.role === 'tool');
  const agent: Agent = { name: AGENT, instructions: () => '', tools: scriptedTools(recording, results) };
  const model = watched(script, recording, greeting, (difference) => found.push(difference));
  const provider = withMetadata(store, recording);
  let runs = 0;
  for (const messages of states) {
    // a store in this process answers without leaving the microtasks: nobody would hear an interrupt
    await setImmediate();
    if (signal.aborted) break;
    store.tally.running = true;
    const { outcome, finalState } = await run(
      { messages, currentAgentName: AGENT, context: recording.userId === undefined ? {} : { userId: recording.userId } },
      {
        agentRegistry: { [AGENT]: agent },
        modelProvider: model,
        memory: { provider, contextMessages: recording.messages.length },
        conversationId: recording.conversationId,
        maxTurns: recording.messages.length + 1,
        signal,
      },
    ).finally(() => {
      store.tally.running = false;
    });
    runs++;
    if (outcome.status === 'completed') continue;
    const { code } = outcome.error as { code?: unknown };
    const atEnd = finalState.messages.length === recording.messages.length;
    if (code === 'script_ended' && atEnd) continue;
    found.push({
      message: finalState.messages.length,
      what: `run ${runs} ended with ${typeof code === 'string' ? code : outcome.error.name}`,
    });
    break;
  }
  if (!signal.aborted) {
    if (script.remaining > 0) found.push({ what: `${script.remaining} recorded replies were not asked for` });
    if (results.length > 0) found.push({ what: `${results.length} recorded tool results were not used` });
  }
  if (states.length === 0) found.push({ what: 'there is no user message to begin a run with' });
  const { messages, differences } = await compare(store, recording);
  return {
    runs,
    messages,
    differences: [...found, ...differences].map((difference) => ({ conversationId: recording.conversationId, ...difference })),
  };
}
