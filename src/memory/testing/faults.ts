/**
 * Faults between the layer and the store: requests that never arrive, replies that get lost, requests that arrive late.
 *
 * @module
 */
import type { Classified, StorageDriver } from '../driver.js';
import { aroundTrips, type Operation } from './around.js';

/** A trip that is about to begin. */
export interface TripStart {
  /** The driver's method. */
  readonly operation: Operation;
  /** Counts all trips from 1. */
  readonly number: number;
  /** Counts the trips of this operation from 1. */
  readonly nth: number;
  /** What the driver's method was called with. */
  readonly args: readonly unknown[];
}

/**
 * What happens to a trip.
 * - `pass`: nothing;
 * - `fail`: the connection is refused, nothing is sent;
 * - `lose-request`: the request is lost on the way: not carried out, but the caller cannot know;
 * - `lose-reply`: carried out, and the reply is lost;
 * - `hold: 'request'`: the request arrives when `until` settles, the reply after it;
 * - `hold: 'reply'`: the request arrives at once, the reply when `until` settles;
 * - `late`: the caller sees a lost connection at once; the request arrives when `late` settles all the same.
 */
export type Fault =
  | 'pass'
  | 'fail'
  | 'lose-request'
  | 'lose-reply'
  | { readonly hold: 'request' | 'reply'; readonly until: Promise<unknown> }
  | { readonly late: Promise<unknown> };

/** Decides what happens to each trip. */
export type Schedule = (trip: TripStart) => Fault;

/** An error of {@link faulty}. */
export class InjectedFault extends Error {
  /** How the faulty driver classifies it. */
  readonly kind: 'refused' | 'lost';
  /** @param kind - how it is to be classified */
  constructor(kind: 'refused' | 'lost') {
    super(`injected fault: connection ${kind}`);
    this.kind = kind;
  }
}

/** A driver with faults. */
export interface FaultyDriver extends StorageDriver {
  /** Waits for every `late` request; answers what the store said to each, in order of sending. */
  stragglers(): Promise<readonly unknown[]>;
}

/**
 * Puts a schedule between callers and a driver. `open`, `close` and `classify` are not trips of the schedule.
 *
 * @param driver - the driver under it
 * @param schedule - what happens to each trip
 * @example
 * // the reply to the second write gets lost
 * const driver = faulty(inner, ({ operation, nth }) => (operation === 'write' && nth === 2 ? 'lose-reply' : 'pass'));
 */
export function faulty(driver: StorageDriver, schedule: Schedule): FaultyDriver {
  let number = 0;
  const counts = new Map<Operation, number>();
  const late: Promise<unknown>[] = [];
  const trip = async <R>(operation: Operation, args: readonly unknown[], send: () => Promise<R>): Promise<R> => {
    const nth = (counts.get(operation) ?? 0) + 1;
    counts.set(operation, nth);
    const fault = schedule({ operation, number: ++number, nth, args });
    if (fault === 'pass') return send();
    if (fault === 'fail') throw new InjectedFault('refused');
    if (fault === 'lose-request') throw new InjectedFault('lost');
    if (fault === 'lose-reply') {
      await send();
      throw new InjectedFault('lost');
    }
    if ('late' in fault) {
      const arrival = fault.late.then(send);
      // the caller has gone; stragglers() hands a failure to whoever asks
      arrival.catch(() => undefined);
      late.push(arrival);
      throw new InjectedFault('lost');
    }
    if (fault.hold === 'request') await fault.until;
    const reply = await send();
    if (fault.hold === 'reply') await fault.until;
    return reply;
  };
  const wire = aroundTrips(driver, trip);
  return {
    ...wire,
    // what is on its way stays as it was sent when the sender notes that it may have been applied
    write: (batch, t) =>
      wire.write(
        batch.map((write) => ({ ...write })),
        t,
      ),
    remove: (remove, t) => wire.remove({ ...remove }, t),
    classify: (error: unknown): Classified =>
      error instanceof InjectedFault ? { kind: error.kind, reason: error.message } : driver.classify(error),
    stragglers: () => Promise.all(late),
  };
}

/**
 * A schedule that loses replies and requests of writes and removals at random, the same way for the same seed.
 *
 * @param options - `seed`; `replies` and `requests`: the share (0 to 1) that gets lost; default 0
 */
export function randomLosses(options: { readonly seed: number; readonly replies?: number; readonly requests?: number }): Schedule {
  const { replies = 0, requests = 0 } = options;
  const random = seededRandom(options.seed);
  return ({ operation }) => {
    if (operation !== 'write' && operation !== 'remove') return 'pass';
    const r = random();
    if (r < replies) return 'lose-reply';
    return r < replies + requests ? 'lose-request' : 'pass';
  };
}

/**
 * Numbers from 0 to 1 that repeat for the same seed (mulberry32).
 *
 * @param seed - any whole number
 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
