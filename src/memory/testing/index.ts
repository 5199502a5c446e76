/**
 * `jaf/memory/testing`: what a storage driver is held to, in any test runner; faults, counters and a clock for tests.
 *
 * @module
 */
export { aroundTrips, keepOpen, type Operation, OPERATIONS } from './around.js';
export type { Backend, Capability } from './backend.js';
export { inMemoryBackend } from './backends/in-memory.js';
export { sqliteBackend } from './backends/sqlite.js';
export { type BrokenDriver, brokenDrivers } from './broken/index.js';
export { type Case, type CaseContext, caseId, type Topic, TOPICS } from './case.js';
export { CLOCK_START, type FakeClock, fakeClock } from './clock.js';
export { counting, type CountingDriver } from './counting.js';
export {
  type Fault,
  faulty,
  type FaultyDriver,
  InjectedFault,
  randomLosses,
  type Schedule,
  seededRandom,
  type TripStart,
} from './faults.js';
export { type Applied, Hand, type WriteFields } from './hand.js';
export {
  type CaseFilter,
  type CaseResult,
  conformanceCases,
  type ConformanceReport,
  isSkipped,
  runCase,
  runConformance,
} from './run.js';
