/**
 * Alarms for trips under way. One timer for all of them, which nearly always finds them over: setting and clearing one for
 * every statement costs more than keeping a set.
 *
 * @module
 */

/** One trip's alarm. */
export interface Alarm {
  readonly at: number;
  readonly ring: () => void;
}

/** The alarms of one pool. None keeps the process alive: the connection of a trip under way does. */
export class Alarms {
  readonly #running = new Set<Alarm>();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer rings. */
  #next: number = Number.POSITIVE_INFINITY;

  /**
   * Rings once, unless it is stopped before.
   *
   * @param milliseconds - from now
   * @param ring - called then
   */
  start(milliseconds: number, ring: () => void): Alarm {
    const alarm = { at: performance.now() + milliseconds, ring };
    this.#running.add(alarm);
    if (alarm.at < this.#next) this.#set(alarm.at);
    return alarm;
  }

  stop(alarm: Alarm): void {
    this.#running.delete(alarm);
  }

  #set(at: number): void {
    clearTimeout(this.#timer);
    this.#next = at;
    this.#timer = setTimeout(() => this.#look(), Math.max(1, Math.ceil(at - performance.now()))).unref();
  }

  #look(): void {
    this.#next = Number.POSITIVE_INFINITY;
    const now = performance.now();
    const over: Alarm[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const alarm of this.#running) {
      if (alarm.at <= now) over.push(alarm);
      else next = Math.min(next, alarm.at);
    }
    if (next < Number.POSITIVE_INFINITY) this.#set(next);
    for (const alarm of over) if (this.#running.delete(alarm)) alarm.ring();
  }
}
