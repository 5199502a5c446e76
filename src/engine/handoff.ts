/**
 * Handoffs: the agents an agent may hand over to, offered to the model as tools.
 *
 * @module
 */
import type { ToolCall } from '../memory/types.js';
import type { Agent, RunConfig } from './agent.js';
import { configError } from './errors.js';

/** A tool that hands the conversation over. */
export interface Handoff {
  readonly toolName: string;
  /** Name of the agent in the registry. */
  readonly to: string;
}

/** Arguments of every handoff tool: none. */
export const HANDOFF_SCHEMA: object = { type: 'object', properties: {}, additionalProperties: false };

type Registry<Ctx> = RunConfig<Ctx>['agentRegistry'];

/** The agent of that name, or undefined; `constructor` and the like are no agents. */
function findAgent<Ctx>(registry: Registry<Ctx>, name: string): Agent<Ctx> | undefined {
  if (registry instanceof Map) return registry.get(name) as Agent<Ctx> | undefined;
  return Object.hasOwn(registry, name) ? ((registry as Readonly<Record<string, Agent<Ctx>>>)[name] ?? undefined) : undefined;
}

/**
 * The agent of that name.
 *
 * @param where - who asks, for the error
 * @throws MemoryConfigError when the registry has none
 */
export function requireAgent<Ctx>(registry: Registry<Ctx>, name: string, where: string): Agent<Ctx> {
  const agent = findAgent(registry, name);
  if (agent) return agent;
  const names = registry instanceof Map ? [...(registry.keys() as Iterable<string>)] : Object.keys(registry);
  throw configError('agentRegistry', `${where}: no agent "${name}" in agentRegistry. Known: ${names.join(', ') || 'none'}.`);
}

/**
 * The handoff tools of an agent: `transfer_to_<name>`, with characters that tool names may not have replaced.
 *
 * @throws MemoryConfigError when a name is not in the registry, or collides with a tool of the agent
 */
export function handoffsOf<Ctx>(agent: Agent<Ctx>, registry: Registry<Ctx>): readonly Handoff[] {
  const taken = new Set((agent.tools ?? []).map((t) => t.name));
  return (agent.handoffs ?? []).map((to) => {
    requireAgent(registry, to, `agent "${agent.name}": handoffs`);
    const toolName = `transfer_to_${to.replace(/[^A-Za-z0-9_-]/g, '_')}`.slice(0, 64);
    if (taken.has(toolName)) {
      throw configError('handoffs', `agent "${agent.name}": handoffs: the tool name "${toolName}" is taken. Rename the tool or the agent.`);
    }
    taken.add(toolName);
    return { toolName, to };
  });
}

/** The first handoff among the calls: it decides. */
export function findTransfer(
  calls: readonly ToolCall[],
  handoffs: readonly Handoff[],
): { call: ToolCall; callId: string; to: string } | undefined {
  for (const call of calls) {
    const handoff = handoffs.find((h) => h.toolName === call.function.name);
    if (handoff) return { call, callId: call.id, to: handoff.to };
  }
  return undefined;
}
