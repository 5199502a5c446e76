/**
 * What the offline model knows: the facts stated in the messages it was given, and nothing else.
 *
 * @module
 */
import { isInterruptedResult } from '../memory/repair.js';
import { textOf } from '../memory/message.js';
import type { Message } from '../memory/types.js';
import { fits, isQuestion, plainWords, sentences, topicWords } from './offline-words.js';

/** Something a message states. */
export interface Fact {
  /** What it is about, e.g. `confirmation code`; `''` for a sentence taken as a whole. */
  readonly label: string;
  readonly value: string;
  readonly from: 'user' | 'assistant' | 'tool';
  /** Name of the tool that returned it. */
  readonly tool?: string;
  readonly labelWords: ReadonlySet<string>;
  readonly contextWords: ReadonlySet<string>;
}

interface Origin {
  readonly from: Fact['from'];
  readonly tool?: string;
}

function makeFact(label: string, value: string, context: string, origin: Origin): Fact {
  return {
    label,
    value,
    ...origin,
    labelWords: new Set(topicWords(label === '' ? value : label)),
    contextWords: new Set(topicWords(context)),
  };
}

/** Every fact in the messages, oldest first. Results put in by a repair state nothing. */
export function factsIn(messages: readonly Message[]): Fact[] {
  return messages.flatMap((message) => {
    const text = textOf(message);
    if (message.role === 'user') return textFacts(text, '', { from: 'user' });
    if (message.role === 'assistant') return textFacts(text, '', { from: 'assistant' }).filter((f) => f.label !== '');
    if (message.role !== 'tool' || isInterruptedResult(message)) return [];
    const tool = message.name ?? 'the tool';
    return resultFacts(text, { from: 'tool', tool });
  });
}

/** Facts of a tool result: JSON by its keys, anything else as text. */
function resultFacts(text: string, origin: Origin): Fact[] {
  const context = origin.tool ?? '';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return textFacts(text, context, origin);
  }
  if (typeof value !== 'object' || value === null) return textFacts(String(value), context, origin);
  const facts: Fact[] = [];
  const walk = (node: unknown, path: readonly string[]): void => {
    const state = (stated: string): void => {
      facts.push(makeFact(plainWords(path.at(-1) ?? 'result').join(' '), stated, [context, ...path].join(' '), origin));
    };
    if (typeof node === 'number' || typeof node === 'boolean' || (typeof node === 'string' && node !== '')) state(String(node));
    else if (Array.isArray(node) && node.every((item) => typeof item !== 'object')) state(node.join(', '));
    else if (typeof node === 'object' && node !== null) {
      for (const [key, item] of Object.entries(node)) walk(item, Array.isArray(node) ? path : [...path, key]);
    }
  };
  walk(value, []);
  return facts;
}

const MY = /\bmy ([\p{L}\p{N} '_-]{2,40}?)(?: is| are| was|:| =) (.+)/iu;
const NAME = /\b(?:i am|i['’]m|call me) (\p{Lu}[\p{L}'-]*(?: \p{Lu}[\p{L}'-]*)*)/iu;
const PLAIN = /^(?:your |the |our |an? )?([\p{L}\p{N} '_-]{2,40}?)(?: is| are| was|:| =) (.+)/iu;

/** A bare token with digits and capitals, as reservation systems hand them out. */
const CODE = /^(?=.*\d)(?=.*[A-Z])[A-Z0-9-]{4,}$/;

function textFacts(text: string, context: string, origin: Origin): Fact[] {
  if (origin.from === 'tool' && CODE.test(text.trim())) return [makeFact('code', text.trim(), context, origin)];
  return sentences(text).flatMap((sentence) => {
    if (isQuestion(sentence)) return [];
    const said = sentence.replace(/[.!]+$/, '');
    const stated = MY.exec(said) ?? (origin.from === 'user' ? undefined : PLAIN.exec(said));
    if (stated?.[1] && stated[2])
      return [
        makeFact(
          stated[1].trim().replace(/^\p{Lu}(?=\p{Ll})/u, (c) => c.toLowerCase()),
          clip(stated[2]),
          context,
          origin,
        ),
      ];
    const name = origin.from === 'user' ? NAME.exec(said)?.[1] : undefined;
    // the pattern ignores case for "I am", so the capital letter has to be looked at again
    if (name && /^\p{Lu}/u.test(name)) return [makeFact('name', name, context, origin), makeFact('', said, context, origin)];
    return [makeFact('', said, context, origin)];
  });
}

/** "Ana and my seat is 4A": the value ends where the next statement begins. */
function clip(value: string): string {
  return value.split(/,? and my |; /i)[0]?.trim() ?? value;
}

/**
 * The fact a question asks for.
 *
 * @param question - the user's words
 * @param facts - oldest first; among equals the newest wins
 * @returns undefined when nothing fits well enough
 */
export function findFact(question: string, facts: readonly Fact[]): Fact | undefined {
  const wanted = topicWords(question);
  const head = wanted.at(-1);
  if (head === undefined) return undefined;
  let best: { fact: Fact; score: number } | undefined;
  for (const fact of facts) {
    let inLabel = 0;
    let covered = 0;
    for (const word of wanted) {
      const label = fits(word, fact.labelWords);
      inLabel += label;
      covered += Math.max(label, fits(word, fact.contextWords));
    }
    const answersHead = fact.label !== '' && fact.labelWords.has(head);
    if (inLabel === 0 || (covered / wanted.length < 0.75 && !answersHead)) continue;
    const score = inLabel * 2 + covered + (fact.from === 'assistant' ? 0 : 0.5) + (fact.label === '' ? 0 : 0.25);
    if (!best || score >= best.score) best = { fact, score };
  }
  return best?.fact;
}

/** A fact as an answer. */
export function tellFact({ label, value, from, tool }: Fact): string {
  if (from === 'user') return label === '' ? `You told me: "${value}".` : `Your ${label} is ${value}, as you told me.`;
  if (from === 'assistant') return `Your ${label} is ${value}, as I said earlier.`;
  return label === '' ? `${tool ?? 'The tool'} answered: ${value}` : `Your ${label} is ${value}, according to ${tool ?? 'the tool'}.`;
}
