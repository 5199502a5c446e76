/**
 * Canonical JSON (RFC 8785): the same value is always the same text, so that texts can be compared and digested.
 *
 * @module
 */
import { createHash } from 'node:crypto';

/**
 * Serialises a JSON value with sorted keys and no white space. Lone surrogates are written as escapes (the RFC leaves them out).
 *
 * @param value - anything JSON can hold; `undefined` in objects is dropped
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item: unknown) => canonicalJson(item ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const item = (value as Record<string, unknown>)[key];
    if (item !== undefined) fields.push(`${JSON.stringify(key)}:${canonicalJson(item)}`);
  }
  return `{${fields.join(',')}}`;
}

/**
 * SHA-256 (hex) of a JSON value's canonical text.
 *
 * @param value - as for {@link canonicalJson}
 */
export function digestOf(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}
