/**
 * A model without a network, for trying things out: a few rules for English, and an answer only where the messages it was
 * given hold one.
 *
 * @module
 */
import type { ModelProvider, ModelRequest } from '../engine/agent.js';
import { RunAbortError } from '../engine/errors.js';
import { isInterruptedResult } from '../memory/repair.js';
import { assistant, textOf } from '../memory/message.js';
import type { Message } from '../memory/types.js';
import { isResult } from '../memory/window.js';
import { type Fact, factsIn, findFact, tellFact } from './offline-facts.js';
import { fillArguments, matchTool } from './offline-tools.js';
import { isQuestion } from './offline-words.js';

const WHO = 'I am the offline model of jaf: a few rules and no network.';

/**
 * A rule-based model that needs no key and no network. It greets, calls a tool whose name or description fits the request,
 * and answers questions with facts stated earlier in the messages it is given (by the user, or in tool results). What it
 * does not find there it says it does not know. English only; the same messages always get the same answer.
 *
 * @returns a model for `RunConfig.modelProvider`; streams word by word
 * @example
 * const { outcome } = await run(
 *   { messages: [user('My name is Ada.'), user('What is my name?')], currentAgentName: 'Helper', context: {} },
 *   { agentRegistry: { Helper: { name: 'Helper', instructions: () => '' } }, modelProvider: createOfflineModel() },
 * ); // "Your name is Ada, as you told me."
 */
export function createOfflineModel(): ModelProvider {
  return {
    async getCompletion(request) {
      if (request.signal?.aborted) throw new RunAbortError(request.signal);
      return { message: answer(request) };
    },
    async *streamCompletion(request) {
      const message = answer(request);
      for (const textDelta of textOf(message).match(/\s*\S+/g) ?? []) {
        if (request.signal?.aborted) throw new RunAbortError(request.signal);
        yield { textDelta };
      }
      yield { reply: { message } };
    },
  };
}

function answer(request: ModelRequest): Message {
  const { messages, tools } = request;
  const last = messages.at(-1);
  if (last && isResult(last)) return assistant(reportResults(messages));
  if (last?.role !== 'user') return assistant(`Hello! ${introduce(request)}`);
  const text = textOf(last).trim();
  const facts = factsIn(messages.slice(0, -1));
  const asked = askedFor(messages, request);
  if (asked) return callTool(request, asked.tool, `${text} ${asked.earlier}`, [...facts, ...asked.given(text)]);
  const social = smallTalk(text, request);
  if (social) return assistant(social);
  const known = findFact(text, facts);
  const tool = matchTool(text, tools);
  if (isQuestion(text)) {
    if (known) return assistant(tellFact(known));
    return tool ? callTool(request, tool, text, facts) : assistant(`I do not know: nothing in our conversation says so. ${WHO}`);
  }
  if (tool) return callTool(request, tool, text, facts);
  const stated = factsIn([last]).find((fact) => fact.label !== '');
  if (stated) return assistant(`Noted: your ${stated.label} is ${stated.value}.`);
  if (/^\s*(?:i|we|my|our|the|it|he|she|they|there)\b/i.test(text)) return assistant('Noted. You can ask me about it later.');
  return assistant(known ? tellFact(known) : `I cannot help with that. ${WHO}`);
}

function introduce({ tools }: ModelRequest): string {
  const uses = tools.length > 0 ? `call ${tools.map((t) => t.name).join(', ')} and ` : '';
  return `${WHO} I can ${uses}answer from what was said in this conversation.`;
}

function smallTalk(text: string, request: ModelRequest): string | undefined {
  const words = text.split(/\s+/).length;
  if (words <= 4 && /^(?:hello|hi|hey|good (?:morning|afternoon|evening)|greetings)\b/i.test(text)) return `Hello! ${introduce(request)}`;
  if (words <= 5 && /^(?:thanks|thank you|great|perfect)\b/i.test(text)) return 'You are welcome.';
  if (words <= 4 && /^(?:bye|goodbye|see you)\b/i.test(text)) return 'Goodbye.';
  if (words <= 3 && /^(?:yes|no|ok|okay|sure|fine|right)\b/i.test(text)) return 'All right.';
  return /^(?:who|what) are you\b/i.test(text) || /^what can you do\b/i.test(text) ? introduce(request) : undefined;
}

function callTool(request: ModelRequest, tool: ModelRequest['tools'][number], text: string, facts: readonly Fact[]): Message {
  const { args, missing } = fillArguments(tool, text, facts);
  if (missing.length > 0) return assistant(`To call ${tool.name} I need: ${missing.join(', ')}.`);
  // the position makes the id unique in a conversation that is sent whole
  const id = `call_${request.messages.length}`;
  return {
    role: 'assistant',
    content: null,
    tool_calls: [{ id, type: 'function', function: { name: tool.name, arguments: JSON.stringify(args) } }],
  };
}

/** When the last reply asked for an argument, the user's words are its value. */
function askedFor(
  messages: readonly Message[],
  { tools }: ModelRequest,
): { tool: ModelRequest['tools'][number]; earlier: string; given(text: string): Fact[] } | undefined {
  const reply = messages.at(-2);
  const question = reply?.role === 'assistant' ? /^To call (\S+) I need: (.+)\.$/.exec(textOf(reply)) : null;
  const tool = tools.find((t) => t.name === question?.[1]);
  const names = question?.[2]?.split(', ') ?? [];
  if (!tool) return undefined;
  const earlier = messages.slice(0, -2).findLast((m) => m.role === 'user');
  const given = (text: string): Fact[] =>
    names.length === 1 ? factsIn([{ role: 'user', content: `My ${names[0] ?? ''} is ${text}` }]) : [];
  return { tool, earlier: earlier ? textOf(earlier) : '', given };
}

/** What the tools of this turn returned, in words; a question is answered from it. */
function reportResults(messages: readonly Message[]): string {
  const start = messages.findLastIndex((m) => !isResult(m)) + 1;
  const results = messages.slice(start);
  const question = messages.findLast((m) => m.role === 'user');
  const facts = factsIn(results);
  const asked = question && isQuestion(textOf(question)) ? findFact(textOf(question), facts) : undefined;
  return asked ? tellFact(asked) : results.map(reportResult).join('\n');
}

function reportResult(message: Message): string {
  const name = message.name ?? 'The tool';
  if (isInterruptedResult(message)) return `${name} was interrupted; I do not know whether it took effect. Ask me again to try once more.`;
  const problem = problemOf(textOf(message));
  if (problem !== undefined) return `${name} failed: ${problem}`;
  const facts = factsIn([message]);
  if (facts.length === 0) return `${name} is done.`;
  return facts.every((fact) => fact.label === '')
    ? `${name} answered: ${facts.map((f) => f.value).join('. ')}`
    : `${name} found: ${facts.map((f) => (f.label === '' ? f.value : `${f.label} ${f.value}`)).join('; ')}.`;
}

/** The engine tells a failed call as `{ error, message }`. */
function problemOf(text: string): string | undefined {
  try {
    const { error, message } = JSON.parse(text) as { error?: unknown; message?: unknown };
    return typeof error === 'string' ? (typeof message === 'string' ? message : error) : undefined;
  } catch {
    return undefined;
  }
}
