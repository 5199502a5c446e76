/**
 * Tools: defining one, and serving a model's call. Whatever goes wrong with a call becomes its result, so that the model
 * can try again.
 *
 * @module
 */
import { toolResult } from '../memory/message.js';
import type { Message, ToolCall } from '../memory/types.js';
import { abortable } from './abort.js';
import type { Tool, ToolCallInfo } from './agent.js';
import { configError, RunAbortError } from './errors.js';
import { assertSchema, resolveSchema, type SchemaOutput } from './schema.js';

/** A tool before it is one; the arguments of `execute` have the type the schema gives them. */
export interface ToolDefinition<S, Ctx = unknown> {
  /** What the model calls it: 1 to 64 characters, different from the agent's other tools. */
  readonly name: string;
  /** Tells the model what the tool is for and when to call it. */
  readonly description: string;
  /** A Standard Schema (zod 4 …) or a plain JSON Schema object. Arguments that do not fit are told to the model, not to `execute`. */
  readonly parameters: S;
  execute(args: SchemaOutput<S>, context: Ctx, call?: ToolCallInfo): unknown;
}

/**
 * Defines a tool.
 *
 * @param definition - name (1 to 64 characters), description, parameters (a Standard Schema such as zod 4's, or a JSON Schema
 * object) and the function that does the work
 * @throws MemoryConfigError naming the field that is not what it must be
 * @example
 * const weather = tool({
 *   name: 'get_weather',
 *   description: 'The current weather of a city.',
 *   parameters: z.object({ city: z.string() }),
 *   execute: async ({ city }) => ({ city, celsius: 21 }),
 * });
 */
export function tool<S, Ctx = unknown>(definition: ToolDefinition<S, Ctx>): Tool<Ctx> {
  const { name, description, parameters } = definition;
  assertToolName(name, 'tool: name');
  if (typeof description !== 'string')
    throw configError('description', `tool "${name}": description: expected a string, got ${typeof description}.`);
  if (typeof definition.execute !== 'function')
    throw configError('execute', `tool "${name}": execute: expected a function, got ${typeof definition.execute}.`);
  assertSchema(parameters, `tool "${name}": parameters`);
  return {
    name,
    description,
    parameters,
    execute: (args: never, context: Ctx, call?: ToolCallInfo) => definition.execute(args, context, call),
  };
}

/** @throws MemoryConfigError when it is not 1 to 64 characters */
export function assertToolName(name: unknown, where: string): asserts name is string {
  if (typeof name !== 'string') throw configError('name', `${where}: expected a string of 1 to 64 characters, got ${typeof name}.`);
  if (name.length < 1 || name.length > 64) throw configError('name', `${where}: expected 1 to 64 characters, got ${name.length}.`);
}

/** Why a call could not be served. */
export type ToolProblem = 'unknown_tool' | 'invalid_arguments' | 'tool_failed';

/** The result of a call, and what was wrong with it, if anything. */
export interface Served {
  readonly message: Message;
  readonly problem?: ToolProblem;
}

/** A result that tells the model what went wrong. */
function problemResult(call: ToolCall, problem: ToolProblem, message: string): Served {
  return { problem, message: toolResult(call.id, call.function.name, { error: problem, message }) };
}

/**
 * Serves one call: finds the tool, checks the arguments, runs it.
 *
 * @throws RunAbortError when the signal is aborted first; nothing else
 */
export async function serveCall<Ctx>(
  call: ToolCall,
  tools: readonly Tool<Ctx>[],
  context: Ctx,
  info: { readonly runId: string; readonly signal?: AbortSignal | undefined },
): Promise<Served> {
  const found = tools.find((t) => t.name === call.function.name);
  if (!found) {
    const names = tools.map((t) => t.name).join(', ');
    return problemResult(
      call,
      'unknown_tool',
      `There is no tool "${call.function.name}". ${names ? `Available: ${names}.` : 'There are no tools.'}`,
    );
  }
  try {
    const parsed = parseArguments(call.function.arguments);
    if (!parsed.ok) return problemResult(call, 'invalid_arguments', `The arguments are not valid JSON: ${parsed.reason}`);
    const schema = await resolveSchema(found.parameters, `tool "${found.name}": parameters`);
    const checked = await schema.check(parsed.value);
    if (!checked.ok) return problemResult(call, 'invalid_arguments', `The arguments do not fit: ${checked.problems.join('; ')}`);
    const { runId, signal } = info;
    // an async function turns a synchronous throw into a rejection
    const work = (async (): Promise<unknown> =>
      found.execute(checked.value as never, context, { callId: call.id, runId, ...(signal ? { signal } : {}) }))();
    const value = await abortable(work, signal);
    return { message: toolResult(call.id, call.function.name, value) };
  } catch (error) {
    if (info.signal?.aborted) throw error instanceof RunAbortError ? error : new RunAbortError(info.signal);
    return problemResult(call, 'tool_failed', error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
}

/** Models send `''` for a call without arguments. */
function parseArguments(text: string): { ok: true; value: unknown } | { ok: false; reason: string } {
  if (text.trim() === '') return { ok: true, value: {} };
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : 'cannot be parsed' };
  }
}
