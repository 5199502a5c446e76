/**
 * How the offline model uses tools: which one a request means, and with which arguments.
 *
 * @module
 */
import type { ModelRequest } from '../engine/agent.js';
import type { Fact } from './offline-facts.js';
import { fits, plainWords, topicWords } from './offline-words.js';

type OfferedTool = ModelRequest['tools'][number];

/**
 * The tool a request means: half of the topic words of its name, or two thirds of the request's words in its name and
 * description.
 */
export function matchTool(text: string, tools: readonly OfferedTool[]): OfferedTool | undefined {
  const said = topicWords(text);
  let best: { tool: OfferedTool; score: number } | undefined;
  for (const tool of tools) {
    const name = new Set(topicWords(tool.name));
    const description = new Set([...name, ...topicWords(tool.description)]);
    const inName = said.filter((word) => name.has(word)).length;
    const inAll = said.filter((word) => fits(word, description) > 0).length;
    const byName = name.size > 0 && inName / name.size >= 0.5;
    const byDescription = inAll >= 2 && inAll / said.length >= 2 / 3;
    const score = inName * 2 + inAll;
    if ((byName || byDescription) && score > (best?.score ?? 0)) best = { tool, score };
  }
  return best?.tool;
}

interface Property {
  readonly type?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
}

/**
 * Arguments for a call, from the user's words and the known facts.
 *
 * @param tool - the tool
 * @param text - what the user said
 * @param facts - what is known from the conversation
 * @returns the arguments, and the required ones nothing was found for
 */
export function fillArguments(
  tool: OfferedTool,
  text: string,
  facts: readonly Fact[],
): { args: Record<string, unknown>; missing: string[] } {
  const { properties = {}, required = [] } = tool.jsonSchema as { properties?: Record<string, Property>; required?: readonly string[] };
  const args: Record<string, unknown> = {};
  const missing: string[] = [];
  for (const [name, property] of Object.entries(properties)) {
    const needed = required.includes(name) && property.default === undefined;
    const value = valueFor(name, property, text, facts, needed);
    if (value !== undefined) args[name] = value;
    else if (needed) missing.push(name);
  }
  return { args, missing };
}

/** What an argument may be called, and where in the text its value stands. */
const PLACES: readonly (readonly [RegExp, RegExp])[] = [
  [/e-?mail/i, /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/],
  [/date|day/i, /\b\d{4}-\d{2}-\d{2}\b/],
  [/id$|code|number|reference|locator|pnr/i, /\b(?=[A-Z0-9-]*\d)[A-Z0-9][A-Z0-9-]{2,}\b/],
  [/^from$|origin|departure/i, /\bfrom (\p{Lu}[\p{L}'-]*(?: \p{Lu}[\p{L}'-]*)*)/u],
  [/^to$|destination|arrival/i, /\bto (\p{Lu}[\p{L}'-]*(?: \p{Lu}[\p{L}'-]*)*)/u],
  [/city|location|place|town|country|where/i, /\b(?:in|for|at|of|to) (\p{Lu}[\p{L}'-]*(?: \p{Lu}[\p{L}'-]*)*)/u],
  [/name|user|customer|passenger/i, /\b(?:for|named|called|i am|i['’]m|name is) (\p{Lu}[\p{L}'-]*(?: \p{Lu}[\p{L}'-]*)*)/iu],
];

function valueFor(name: string, property: Property, text: string, facts: readonly Fact[], needed: boolean): unknown {
  if (property.enum) {
    const said = new Set(plainWords(text));
    return property.enum.find((option) => plainWords(String(option)).every((word) => said.has(word)));
  }
  switch (property.type) {
    case 'number':
    case 'integer': {
      const found = /-?\d+(?:\.\d+)?/.exec(text)?.[0];
      return found === undefined ? undefined : property.type === 'integer' ? Math.trunc(Number(found)) : Number(found);
    }
    case 'boolean':
      return needed ? topicWords(name).every((word) => topicWords(text).includes(word)) : undefined;
    case 'string':
      return textFor(name, text, facts, needed);
    default:
      return undefined;
  }
}

function textFor(name: string, text: string, facts: readonly Fact[], needed: boolean): string | undefined {
  if (needed && /^(?:q|query|question|text|input|message|prompt|search)$/i.test(name)) return text;
  for (const [called, place] of PLACES) {
    const found = called.test(name) ? place.exec(text) : null;
    if (found) return found[1] ?? found[0];
  }
  const quoted = /["“']([^"”']+)["”']/.exec(text)?.[1];
  if (quoted !== undefined && needed) return quoted;
  const wanted = topicWords(name);
  return facts.findLast((fact) => fact.label !== '' && wanted.length > 0 && wanted.every((word) => fact.labelWords.has(word)))?.value;
}
