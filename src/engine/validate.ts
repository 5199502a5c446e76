/**
 * Checks what the caller of a run gives, before anything happens.
 *
 * @module
 */
import type { RunConfig, RunState } from './agent.js';
import { configError } from './errors.js';

function typeName(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** @throws MemoryConfigError naming the first field that is not what it must be */
export function validateRun<Ctx>(state: RunState<Ctx>, config: RunConfig<Ctx>): void {
  if (!isObject(state)) throw configError('initialState', `run: initialState: expected an object, got ${typeName(state)}.`);
  if (!isObject(config)) throw configError('config', `run: config: expected an object, got ${typeName(config)}.`);
  if (!Array.isArray(state.messages))
    throw configError('messages', `run: initialState.messages: expected an array, got ${typeName(state.messages)}.`);
  state.messages.forEach((message: unknown, index) => {
    const role = isObject(message) ? (message as { role?: unknown }).role : undefined;
    if (typeof role !== 'string')
      throw configError(
        'messages',
        `run: initialState.messages[${index}]: expected a message with a role, got ${isObject(message) ? 'no role' : typeName(message)}.`,
      );
  });
  if (typeof state.currentAgentName !== 'string') {
    throw configError(
      'currentAgentName',
      `run: initialState.currentAgentName: expected the name of an agent, got ${typeName(state.currentAgentName)}.`,
    );
  }
  if (state.runId !== undefined && (typeof state.runId !== 'string' || state.runId === '')) {
    throw configError('runId', 'run: initialState.runId: expected a non-empty string, or leave it out.');
  }
  if (!isObject(config.agentRegistry))
    throw configError('agentRegistry', `run: agentRegistry: expected agents by name, got ${typeName(config.agentRegistry)}.`);
  if (typeof config.modelProvider?.getCompletion !== 'function') {
    throw configError(
      'modelProvider',
      'run: modelProvider: expected an object with getCompletion(), e.g. createOpenAIModel() of jaf/models.',
    );
  }
  atLeast('maxTurns', config.maxTurns, 1);
  if (config.memory !== undefined) validateMemory(config);
}

function validateMemory<Ctx>({ memory, conversationId }: RunConfig<Ctx>): void {
  if (typeof memory?.provider?.getConversation !== 'function' || typeof memory.provider.appendMessages !== 'function') {
    throw configError('memory.provider', 'run: memory.provider: expected a memory provider. Did you forget to await its creation?');
  }
  if (typeof conversationId !== 'string' || conversationId === '') {
    throw configError(
      'conversationId',
      `run: conversationId: memory needs the name of a conversation, got ${conversationId === '' ? 'an empty string' : typeName(conversationId)}. Set RunConfig.conversationId.`,
    );
  }
  atLeast('memory.contextMessages', memory.contextMessages, 0);
  atLeast('memory.maxMessages', memory.maxMessages, 1);
  if (memory.onStoreError !== undefined && memory.onStoreError !== 'fail' && memory.onStoreError !== 'continue') {
    throw configError('memory.onStoreError', "run: memory.onStoreError: expected 'fail' or 'continue'.");
  }
}

function atLeast(setting: string, value: number | undefined, least: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= least)) return;
  throw configError(
    setting,
    `run: ${setting}: expected a whole number of at least ${least}, got ${typeof value === 'number' ? value : typeName(value)}.`,
  );
}
