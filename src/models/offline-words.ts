/**
 * Words as the offline model compares them: English, lower case, without endings and without words that carry no topic.
 *
 * @module
 */

const STOP = new Set(
  `a an the my your our his her its their i you me we us it he she they is was are were be been am do did does done have has had
  what which who whom whose where when why how of to for in on at by with from and or not no please can could would will shall
  should may tell give show say said told remind know remember recall again once more that this these those there here about now
  just get got let s t ll ve re m d want need if so as up out any some still back then ok hello hi hey thanks user called`.split(/\s+/),
);

/** Names people use for the same kind of token. */
const KEY_WORDS = new Set(['cod', 'number', 'referenc', 'ref', 'id', 'locator', 'pnr', 'key']);

function stem(word: string): string {
  let s = word;
  if (s.length > 4 && s.endsWith('ies')) s = `${s.slice(0, -3)}y`;
  else if (s.length > 3 && s.endsWith('s') && !s.endsWith('ss')) s = s.slice(0, -1);
  for (const ending of ['ation', 'ing', 'ed']) {
    if (s.length - ending.length >= 3 && s.endsWith(ending)) {
      s = s.slice(0, -ending.length);
      break;
    }
  }
  return s.length > 3 && s.endsWith('e') ? s.slice(0, -1) : s;
}

/** All words of a text or identifier (`bookingCode`, `booking_code`), lower case. */
export function plainWords(text: string): string[] {
  return (
    text
      .replace(/([\p{Ll}\d])(\p{Lu})/gu, '$1 $2')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  );
}

/** The words that carry the topic, stemmed, each once, in order. */
export function topicWords(text: string): string[] {
  return [
    ...new Set(
      plainWords(text)
        .filter((w) => !STOP.has(w))
        .map(stem),
    ),
  ];
}

/** How well a word fits a set: 1 the same, 0.5 another name for a number or code, 0 not at all. */
export function fits(word: string, set: ReadonlySet<string>): number {
  if (set.has(word)) return 1;
  return KEY_WORDS.has(word) && [...set].some((other) => KEY_WORDS.has(other)) ? 0.5 : 0;
}

/** Whether a text asks something. */
export function isQuestion(text: string): boolean {
  return (
    /\?\s*$/.test(text) ||
    /^\s*(?:what|which|who|whose|where|when|why|how|is|are|was|were|do|does|did|remind me|tell me|can you (?:tell|remind)|do you (?:know|remember))\b/i.test(
      text,
    )
  );
}

/** The sentences of a text, without their final stops. */
export function sentences(text: string): string[] {
  return text
    .split(/(?<=[.!?])\s+|\n+/)
    .map((s) => s.trim())
    .filter((s) => s !== '');
}
