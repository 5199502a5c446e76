/**
 * Assertions of the cases: Node's own, with the place in front of the difference. They throw in any test runner.
 *
 * @module
 */
import { AssertionError, deepStrictEqual, strictEqual } from 'node:assert';
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import type { MemoryError } from '../errors.js';
import type { Result } from '../result.js';

/** Runs an assertion and puts `what` in front of its message. */
function named(what: string, assertion: () => void): void {
  try {
    assertion();
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error;
    const { actual, expected, operator } = error;
    throw new AssertionError({ message: `${what}: ${error.message}`, actual, expected, operator });
  }
}

/** Fails the case. */
export function fail(what: string): never {
  throw new AssertionError({ message: what });
}

/** The same primitive value. */
export function equal<T>(actual: T, expected: T, what: string): void {
  named(what, () => strictEqual(actual, expected));
}

/** Deeply equal: own enumerable keys in any order, the same prototypes. */
export function same(actual: unknown, expected: unknown, what: string): void {
  named(what, () => deepStrictEqual(actual, expected));
}

/** A condition, told in words. */
export function check(condition: boolean, what: string): asserts condition {
  if (!condition) fail(what);
}

/** The value, which must be there. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) fail(`${what}: expected a value, got ${String(value)}`);
  return value;
}

type ErrorClass<E extends MemoryError> = abstract new (...args: never[]) => E;

/** A class and a code an error must have. */
function checkError<E extends MemoryError>(error: unknown, kind: ErrorClass<E>, code: string, what: string): E {
  if (!(error instanceof kind)) {
    const got = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    fail(`${what}: expected a ${kind.name} (${code}), got ${got}`);
  }
  equal(error.code, code, `${what}: code of ${error.name}`);
  return error;
}

/** A `Failure` of this class and code; returns its error. */
export function failed<E extends MemoryError>(result: Result<unknown>, kind: ErrorClass<E>, code: string, what: string): E {
  if (result.ok) fail(`${what}: expected a Failure with ${kind.name} (${code}), got a Success`);
  return checkError(result.error, kind, code, what);
}

/** A rejection of this class and code; returns its error. */
export async function rejects<E extends MemoryError>(call: Promise<unknown>, kind: ErrorClass<E>, code: string, what: string): Promise<E> {
  try {
    await call;
  } catch (error) {
    return checkError(error, kind, code, what);
  }
  return fail(`${what}: expected a rejection with ${kind.name} (${code}), got none`);
}

/** How often {@link eventually} looks. */
const LOOKS = 30_000;

/** A condition that work in the background brings about; fails when it has not after 30,000 looks. */
export async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (let n = 0; n < LOOKS; n++) {
    if (await condition()) return;
    await wait(1);
  }
  fail(`${what}: not after ${LOOKS} looks`);
}

/**
 * Lets work that nobody waits for come to an end, as far as that can be told: a healthy driver has none, so nothing that
 * passes depends on how long this takes.
 */
export async function settle(): Promise<void> {
  for (let n = 0; n < 20; n++) await nextTurn();
  await wait(20);
}
