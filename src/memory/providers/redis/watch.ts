/**
 * The ends of trips on one timer: a timer for each cost more than the rest of a trip's bookkeeping.
 *
 * @module
 */

/** A trip under way. */
export interface Watched {
  /** When it began and when it ends, on the clock of `performance.now()`. */
  readonly began: number;
  readonly at: number;
  readonly expire: (began: number) => void;
}

/** Trips under way; each is told once when its time is over. */
export class Watch {
  readonly #pending = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;
  #armedAt = 0;

  /** @param timeout - ms from now */
  start(timeout: number, expire: (began: number) => void): Watched {
    const began = performance.now();
    const watched = { began, at: began + timeout, expire };
    this.#pending.add(watched);
    if (!this.#timer || watched.at < this.#armedAt) this.#arm(watched.at, timeout);
    else if (this.#pending.size === 1) this.#timer.ref();
    return watched;
  }

  /** It has ended. */
  stop(watched: Watched): void {
    this.#pending.delete(watched);
    // kept for the next one, but no reason to keep the process alive
    if (this.#pending.size === 0) this.#timer?.unref();
  }

  /** Forgets the timer; for a connection that closes. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(at: number, milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#armedAt = at;
    this.#timer = setTimeout(() => this.#check(), Math.max(1, Math.ceil(milliseconds)));
  }

  #check(): void {
    this.#timer = undefined;
    // timers tick in milliseconds: what is due within this one is due
    const now = performance.now() + 1;
    let next = Number.POSITIVE_INFINITY;
    for (const watched of this.#pending) {
      if (watched.at <= now) {
        this.#pending.delete(watched);
        watched.expire(watched.began);
      } else next = Math.min(next, watched.at);
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(next, next - now + 1);
  }
}
