/**
 * Deadlines of many calls on one timer: all calls of a provider have the same deadline, so they end in the order in which
 * they began. A timer per call would cost an in-memory append more than the append.
 *
 * @module
 */

/** One call's deadline; `expire` runs once when it passes. */
export interface Deadline {
  /** On the clock of `performance.now()`. */
  readonly at: number;
  readonly expire: () => void;
}

/** The deadlines of one provider. */
export class Deadlines {
  readonly #milliseconds: number;
  readonly #pending = new Set<Deadline>();
  #timer: NodeJS.Timeout | undefined;

  /** @param milliseconds - from the call to its deadline */
  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
  }

  /** Starts a deadline now. The process stays alive while one is pending. */
  start(expire: () => void): Deadline {
    const deadline = { at: performance.now() + this.#milliseconds, expire };
    this.#pending.add(deadline);
    if (!this.#timer) this.#arm(this.#milliseconds);
    else if (this.#pending.size === 1) this.#timer.ref();
    return deadline;
  }

  /** The call has ended. */
  stop(deadline: Deadline): void {
    this.#pending.delete(deadline);
    // kept for the next call, but no reason to keep the process alive
    if (this.#pending.size === 0) this.#timer?.unref();
  }

  /** Forgets the timer; for a provider that closes. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(milliseconds: number): void {
    this.#timer = setTimeout(() => this.#check(), Math.max(1, Math.ceil(milliseconds)));
  }

  #check(): void {
    this.#timer = undefined;
    // timers tick in milliseconds: what is due within this one is due
    const now = performance.now() + 1;
    for (const deadline of this.#pending) {
      if (deadline.at > now) {
        this.#arm(deadline.at - now);
        return;
      }
      this.#pending.delete(deadline);
      deadline.expire();
    }
  }
}
