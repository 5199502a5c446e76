/**
 * Copying values that JSON can hold.
 *
 * @module
 */
import { kindOf, type Problems } from './problems.js';

/** Deepest nesting of a value: far above real data, far below where a recursive reader overflows its stack. */
const MAX_DEPTH = 1000;

/**
 * Copies a value, as `JSON.parse(JSON.stringify(value))` would, and reports what JSON would lose: NaN, Infinity, bigint,
 * function, symbol, class instance, cycle. `undefined` in an object is dropped, as JSON does. Each property is read once,
 * so what was checked is what is copied.
 *
 * @param path - of the value, for problems
 * @returns the copy, deeply frozen; of no use when a problem was added
 */
export function copyJson(path: string, value: unknown, problems: Problems): unknown {
  return copy(path, value, problems, []);
}

function copy(path: string, value: unknown, problems: Problems, above: object[]): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'undefined':
      return value;
    case 'number':
      if (!Number.isFinite(value)) problems.add(path, `JSON cannot hold ${value}`);
      return value + 0; // JSON has no -0
    case 'object':
      break;
    default:
      problems.add(path, `JSON cannot hold ${kindOf(value)}`);
      return undefined;
  }
  if (value === null) return null;
  if (above.length >= MAX_DEPTH) return problems.add(path.slice(0, 200), `nested deeper than ${MAX_DEPTH} levels`);
  if (above.includes(value)) return problems.add(path, 'a cycle');
  above.push(value);
  const copied = Array.isArray(value) ? copyArray(path, value, problems, above) : copyObject(path, value, problems, above);
  above.pop();
  return copied;
}

function copyArray(path: string, value: readonly unknown[], problems: Problems, above: object[]): readonly unknown[] {
  const items: unknown[] = [];
  for (let i = 0; i < value.length; i++) {
    const item = value[i];
    items.push(typeof item === 'string' ? item : (copy(`${path}[${i}]`, item, problems, above) ?? null));
  }
  return Object.freeze(items);
}

function copyObject(path: string, value: object, problems: Problems, above: object[]): object {
  const proto = Object.getPrototypeOf(value) as object | null;
  if (proto !== null && proto !== Object.prototype && !isForeignPlain(proto)) {
    problems.add(path, `expected a plain object, got ${kindOf(value)}`);
    return value;
  }
  const fields: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    let item = (value as Record<string, unknown>)[key];
    if (typeof item !== 'string') {
      item = copy(`${path}.${key.length > 64 ? `${key.slice(0, 64)}…` : key}`, item, problems, above);
      if (item === undefined) continue;
    }
    // assigning to this one would set the prototype
    if (key === '__proto__') Object.defineProperty(fields, key, { value: item, enumerable: true });
    else fields[key] = item;
  }
  return Object.freeze(fields);
}

/** `Object.prototype` of another realm (a vm context, a test runner). */
function isForeignPlain(proto: object): boolean {
  return Object.getPrototypeOf(proto) === null && Object.hasOwn(proto, 'hasOwnProperty') && Object.hasOwn(proto, 'isPrototypeOf');
}
