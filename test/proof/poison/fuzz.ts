/** What comes in from outside, at random, and the count of what became of it. JAF_PROOF_POISON: how many; JAF_PROOF_SEED: which. */
import fc from 'fast-check';
import { MemoryError } from 'jaf/memory';
import { afterAll, expect } from 'vitest';
import { found, setting } from '../support/results.js';

/** How many of a kind. */
export const RUNS = setting('POISON', 2000);
/** For fast-check. */
export const options = { numRuns: RUNS, seed: setting('SEED', 20_261_123) } as const;

/** Nothing may be left on the prototypes by what was stored and read. */
const keys = (): string => JSON.stringify([Object.prototype, Array.prototype, String.prototype].map((p) => Reflect.ownKeys(p).map(String)));
const before = keys();

const HOSTILE = [
  '__proto__',
  'constructor',
  'toString',
  'then',
  'length',
  'role',
  'content',
  'tool_calls',
  '\u0000',
  '\ud800',
  '',
  '{x}',
  "'; DROP TABLE conversations; --",
  '$jaf',
  '*',
  'a'.repeat(300),
];
/** Names of properties. */
export const key = fc.oneof(fc.constantFrom(...HOSTILE), fc.string());
/** Texts. */
export const text = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.string({ maxLength: 20 }),
);
/** Any value, of any class. */
export const anything = fc.anything({
  key,
  maxDepth: 4,
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withSparseArray: true,
  withNullPrototype: true,
  withBoxedValues: true,
  withObjectString: true,
});

/** What a file of tests counts. */
export interface Tally {
  /** Counts an outcome, e.g. `messages: refused`. */
  note(outcome: string): void;
  /**
   * What `work` answers, or undefined after a typed error. Both are counted.
   *
   * @throws any other error
   */
  answer<T>(what: string, work: () => T | Promise<T>): Promise<T | undefined>;
}

/**
 * Counts what a file of tests does, and puts it among the findings at its end.
 *
 * @param backend - where
 * @param what - what is fuzzed
 */
export function tally(backend: string, what: string): Tally {
  let calls = 0;
  let typed = 0;
  afterAll(() => {
    found({ part: 'poison', backend, what, numbers: { calls, 'typed errors': typed, 'other errors': 0 } });
    expect(keys()).toBe(before);
  });
  const note = (outcome: string): void => {
    calls++;
    if (!/: (answered|stored|named|not noticed)/.test(outcome)) typed++;
  };
  return {
    note,
    async answer(name, work) {
      try {
        const value = await work();
        note(`${name}: answered`);
        return value;
      } catch (error) {
        if (!(error instanceof MemoryError)) throw error;
        expect(error.code).not.toBe('internal');
        note(`${name}: ${error.code}`);
        return undefined;
      }
    },
  };
}
