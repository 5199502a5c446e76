/**
 * A clock that moves only when a test says so.
 *
 * @module
 */

/** A clock for tests; both methods may be passed on without their object. */
export interface FakeClock {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Moves it by so many milliseconds. */
  readonly advance: (milliseconds: number) => void;
}

/** 2024-01-15T10:00:00Z: in the past of every real clock, so that what is over by this clock is over by a server's, too. */
export const CLOCK_START = 1_705_312_800_000;

/**
 * Makes a clock that stands still.
 *
 * @param start - milliseconds since 1970; default {@link CLOCK_START}
 * @example
 * const clock = fakeClock();
 * const provider = createProvider(driver, { clock: clock.now });
 * clock.advance(60_000);
 */
export function fakeClock(start: number = CLOCK_START): FakeClock {
  let time = start;
  return {
    now: () => time,
    advance: (milliseconds) => {
      time += milliseconds;
    },
  };
}
