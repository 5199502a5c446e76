/**
 * JSON text that jsonb can hold. Three things it cannot: U+0000, half a surrogate pair, and telling our escape from the
 * same characters in the data. Each such UTF-16 unit becomes U+001A and four hexadecimal digits; U+001A itself as well, so
 * that the way back is exact. Keys and values alike; everything else stays as it is, and can be queried.
 *
 * @module
 */

/** What may need an escape; JSON text that has none of it is the rule. */
const SUSPECT = /\\u(?:0000|001a|d[89a-f])/i;
/** An escape sequence of JSON: a pair of surrogates, one UTF-16 unit, or a single character. */
const SEQUENCE = /\\(?:u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|u([0-9a-f]{4})|.)/gi;
/** Our escape as PostgreSQL writes it. */
const ESCAPED = /\\(?:u001a([0-9a-f]{4})|.)/gi;

/**
 * Escapes JSON text.
 *
 * @param json - as `JSON.stringify` writes it: lone surrogates and control characters are escape sequences
 * @returns JSON text for jsonb
 */
export function escapeJson(json: string): string {
  const text = json.isWellFormed()
    ? json
    : json.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g, (c) => (c.length > 1 ? c : `\\u${c.charCodeAt(0).toString(16)}`));
  if (!SUSPECT.test(text)) return text;
  return text.replace(SEQUENCE, (sequence, high: string | undefined, _low: string | undefined, unit: string | undefined) => {
    if (high !== undefined || unit === undefined) return sequence;
    return /^(?:0000|001a|d[89a-f])/i.test(unit) ? `\\u001a${unit.toLowerCase()}` : sequence;
  });
}

/**
 * Takes {@link escapeJson} back.
 *
 * @param json - as PostgreSQL writes jsonb
 */
export function unescapeJson(json: string): string {
  if (!json.includes('\\u001a')) return json;
  return json.replace(ESCAPED, (sequence, unit: string | undefined) => (unit === undefined ? sequence : `\\u${unit}`));
}
