/**
 * What a model answers: checked, and read as an output.
 *
 * @module
 */
import type { Message, ToolCall } from '../memory/types.js';
import type { ModelReply } from './agent.js';
import { RunError } from './errors.js';

/** What a model answered, if it is an assistant message. */
export function checkReply(reply: ModelReply | undefined): Message {
  const message: unknown = reply?.message;
  const wrong = (what: string): RunError => new RunError('model_reply', `run: the model's reply ${what}. Look at the modelProvider.`);
  if (typeof message !== 'object' || message === null) throw wrong('has no message (a stream must end with one)');
  const { role, tool_calls: calls } = message as { role?: unknown; tool_calls?: unknown };
  if (role !== 'assistant')
    throw wrong(`has the role ${typeof role === 'string' ? JSON.stringify(role) : typeof role}, expected "assistant"`);
  if (calls !== undefined && calls !== null && !Array.isArray(calls)) throw wrong('has tool_calls that are not an array');
  (Array.isArray(calls) ? calls : []).forEach((call: Partial<ToolCall> | null, index: number) => {
    const sound = typeof call?.id === 'string' && typeof call.function?.name === 'string' && typeof call.function.arguments === 'string';
    if (!sound) throw wrong(`lacks an id, a function name or argument text in tool_calls[${index}]`);
  });
  return message as Message;
}

/** Models like to wrap JSON in a code fence. */
export function parseOutput(text: string, agentName: string): unknown {
  const fenced = /^\s*```(?:json)?\s*([\s\S]*?)\s*```\s*$/.exec(text);
  try {
    return JSON.parse(fenced?.[1] ?? text);
  } catch {
    // the parser's message quotes the text
    throw new RunError('output_invalid', `agent "${agentName}": the reply is not JSON, which outputSchema asks for.`);
  }
}
