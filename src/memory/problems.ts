/**
 * What is wrong with the arguments of a call. Every problem is collected, so that one error names all.
 *
 * @module
 */
import { MemoryValidationError } from './errors.js';
import { type CallContext, describeCall } from './retry.js';

/** One thing that is wrong: where and why. */
export interface Problem {
  readonly path: string;
  readonly reason: string;
}

/** Collects problems and throws them as one error. */
export class Problems {
  readonly found: Problem[] = [];

  add(path: string, reason: string): void {
    this.found.push({ path, reason });
  }

  /** @throws MemoryValidationError when anything was found */
  throwIfAny(call: CallContext): void {
    if (this.found.length === 0) return;
    const shown = this.found.slice(0, 5).map((p) => `${p.path}: ${p.reason}`);
    if (this.found.length > shown.length) shown.push(`and ${this.found.length - shown.length} more`);
    throw new MemoryValidationError(`${describeCall(call)}: ${shown.join('; ')}. Nothing was written.`, {
      provider: call.provider,
      issues: this.found,
    });
  }
}

/** What a value is, for an error text; never the value itself. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (typeof value !== 'object') return value === undefined ? 'undefined' : `a ${typeof value}`;
  const name = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null)?.constructor?.name;
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `a ${name}` : 'an object';
}
