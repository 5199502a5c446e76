/**
 * What a case is and what it works with.
 *
 * @module
 */
import type { StorageDriver } from '../driver.js';
import type { MemoryProvider, ProviderOptions } from '../types.js';
import type { Capability } from './backend.js';
import type { FakeClock } from './clock.js';
import type { Hand } from './hand.js';

/** The topics, one file of cases each. */
export const TOPICS = [
  'write',
  'read',
  'window',
  'list',
  'iterate',
  'stats',
  'owner',
  'hold',
  'expiry',
  'limits',
  'versions',
  'retries',
  'operations',
  'epochs',
  'packing',
  'restore',
  'remove',
  'purge',
  'fidelity',
  'concurrency',
  'trips',
] as const;
/** What a case is about. */
export type Topic = (typeof TOPICS)[number];

/** What a case works with: a fresh, empty store. */
export interface CaseContext {
  /** The clock of every provider and hand of the case. */
  readonly clock: FakeClock;
  /** The backend's driver, open. Closing it is left to the kit. */
  readonly driver: StorageDriver;
  /**
   * A provider on the driver (or on another, e.g. a faulty one around it), with the case's clock and a deadline of a
   * minute. Each has its own writer id. Closed by the kit.
   */
  provider(options?: ProviderOptions, driver?: StorageDriver): MemoryProvider;
  /** A writer that speaks to the driver directly. */
  hand(driver?: StorageDriver): Hand;
  /** Another driver on the same store, open; closed by the kit (`persistent`, `shared`). */
  reopen(): Promise<StorageDriver>;
  /** See {@link Backend.roundTrips}. */
  roundTrips(): number;
  /** See {@link Backend.bodies}. */
  bodies(): Promise<number>;
}

/** One statement about a store that is true or not. */
export interface Case {
  /** What it is about. */
  readonly topic: Topic;
  /** Says what must be so. */
  readonly name: string;
  /** Skipped unless the backend declares it. */
  readonly needs?: Capability | undefined;
  /** Throws when it is not so. */
  readonly run: (context: CaseContext) => Promise<void>;
}

/** The statements of a topic: what must be so → how it is tried. */
export type CaseTable = Readonly<Record<string, Case['run'] | { readonly needs: Capability; readonly run: Case['run'] }>>;

/** Makes the cases of a topic. */
export function defineCases(topic: Topic, table: CaseTable): readonly Case[] {
  return Object.entries(table).map(([name, entry]) =>
    typeof entry === 'function' ? { topic, name, run: entry } : { topic, name, needs: entry.needs, run: entry.run },
  );
}

/** `retries: a lost reply …`: how results and broken drivers name a case. */
export function caseId(one: Pick<Case, 'topic' | 'name'>): string {
  return `${one.topic}: ${one.name}`;
}
