/**
 * Running the cases against a backend, in any test runner or in none.
 *
 * @module
 */
import type { StorageDriver } from '../driver.js';
import { createProvider } from '../provider.js';
import type { MemoryProvider } from '../types.js';
import { keepOpen } from './around.js';
import { fail } from './assert.js';
import type { Backend } from './backend.js';
import { type Case, type CaseContext, caseId, type Topic } from './case.js';
import { allCases } from './cases/index.js';
import { fakeClock } from './clock.js';
import { Hand } from './hand.js';

/** Which cases. */
export interface CaseFilter {
  /** Only cases of these; default all. */
  readonly topics?: readonly Topic[] | undefined;
  /** Called with `topic: name`. */
  readonly filter?: ((id: string) => boolean) | undefined;
}

/** What became of a case. */
export interface CaseResult {
  /** `topic: name`. */
  readonly id: string;
  /** What the case is about. */
  readonly topic: Topic;
  /** `skipped`: the backend lacks a capability the case needs. */
  readonly status: 'passed' | 'failed' | 'skipped';
  /** Why it failed, or the capability it was skipped for. */
  readonly reason?: string | undefined;
  /** What was thrown. */
  readonly error?: unknown;
}

/** What became of all. */
export interface ConformanceReport {
  /** Its name. */
  readonly backend: string;
  /** How many passed. */
  readonly passed: number;
  /** Those that failed, with the reason. */
  readonly failed: readonly CaseResult[];
  /** Those that were skipped, with the capability they need. */
  readonly skipped: readonly CaseResult[];
  /** All, in the order they ran. */
  readonly results: readonly CaseResult[];
}

/**
 * All cases, or those of a filter, to register in a test runner.
 *
 * @param options - see {@link CaseFilter}
 * @example
 * for (const one of conformanceCases()) {
 *   it.skipIf(isSkipped(backend, one))(caseId(one), () => runCase(backend, one));
 * }
 */
export function conformanceCases(options: CaseFilter = {}): readonly Case[] {
  return allCases.filter((one) => (options.topics?.includes(one.topic) ?? true) && (options.filter?.(caseId(one)) ?? true));
}

/** Whether a backend lacks what a case needs. */
export function isSkipped(backend: Backend, one: Case): boolean {
  return one.needs !== undefined && !backend.capabilities.includes(one.needs);
}

/**
 * Runs one case on a fresh store.
 *
 * @param backend - the backend
 * @param one - the case
 * @throws what the case throws: an `AssertionError`, or what the driver threw
 */
export async function runCase(backend: Backend, one: Case): Promise<void> {
  const clock = fakeClock();
  const drivers: StorageDriver[] = [];
  const providers: MemoryProvider[] = [];
  const opened = async (made: Promise<StorageDriver>): Promise<StorageDriver> => {
    const driver = await made;
    drivers.push(driver);
    await driver.open();
    return driver;
  };
  try {
    const driver = await opened(backend.create(clock));
    const context: CaseContext = {
      clock,
      driver,
      provider: (options = {}, under = driver) => {
        const made = createProvider(keepOpen(under), { clock: clock.now, deadline: 60_000, ...options });
        const provider = backend.decorate?.(made, clock) ?? made;
        providers.push(provider);
        return provider;
      },
      hand: (under = driver) => new Hand(under, clock),
      reopen: () => (backend.reopen ? opened(backend.reopen(clock)) : fail(`backend ${backend.name} declares no reopen()`)),
      roundTrips: () => backend.roundTrips?.() ?? fail(`backend ${backend.name} declares no roundTrips()`),
      bodies: () => backend.bodies?.() ?? fail(`backend ${backend.name} declares no bodies()`),
    };
    await one.run(context);
  } finally {
    await Promise.allSettled(providers.map((provider) => provider.close()));
    await Promise.allSettled(drivers.map((driver) => driver.close()));
    await backend.destroy();
  }
}

/**
 * Runs the cases one after the other.
 *
 * @param backend - the backend
 * @param options - which cases; `onResult` is called after each
 * @returns what became of each; nothing is thrown for a case that fails
 * @example
 * const report = await runConformance(backend);
 * for (const { id, reason } of report.failed) console.error(`${id}\n  ${reason}`);
 */
export async function runConformance(
  backend: Backend,
  options: CaseFilter & { readonly onResult?: ((result: CaseResult) => void) | undefined } = {},
): Promise<ConformanceReport> {
  const results: CaseResult[] = [];
  for (const one of conformanceCases(options)) {
    const result = await resultOf(backend, one);
    results.push(result);
    options.onResult?.(result);
  }
  const having = (status: CaseResult['status']): CaseResult[] => results.filter((result) => result.status === status);
  return { backend: backend.name, passed: having('passed').length, failed: having('failed'), skipped: having('skipped'), results };
}

async function resultOf(backend: Backend, one: Case): Promise<CaseResult> {
  const named = { id: caseId(one), topic: one.topic };
  if (isSkipped(backend, one)) return { ...named, status: 'skipped', reason: `needs ${one.needs}` };
  try {
    await runCase(backend, one);
    return { ...named, status: 'passed' };
  } catch (error) {
    return { ...named, status: 'failed', reason: error instanceof Error ? error.message : String(error), error };
  }
}
