/**
 * Counts and latencies per operation, for `healthCheck().metrics`.
 *
 * @module
 */

/** Latencies of the newest calls of one operation. */
interface Series {
  count: number;
  failed: number;
  total: number;
  /** A ring of the newest latencies in ms. */
  readonly newest: Float64Array;
}

/** How many of the newest latencies give the percentiles. */
const KEPT = 512;

/** Call counts and latencies of one provider. */
export class Metrics {
  readonly #series = new Map<string, Series>();

  /**
   * Counts one call.
   *
   * @param operation - method name
   * @param milliseconds - how long it took
   * @param ok - whether it succeeded
   */
  record(operation: string, milliseconds: number, ok: boolean): void {
    let series = this.#series.get(operation);
    if (!series) {
      series = { count: 0, failed: 0, total: 0, newest: new Float64Array(KEPT) };
      this.#series.set(operation, series);
    }
    series.newest[series.count % KEPT] = milliseconds;
    series.count++;
    series.total += milliseconds;
    if (!ok) series.failed++;
  }

  /** Mean over all calls in ms; undefined before the first. */
  get average(): number | undefined {
    let count = 0;
    let total = 0;
    for (const series of this.#series.values()) {
      count += series.count;
      total += series.total;
    }
    return count === 0 ? undefined : total / count;
  }

  /** `appendMessages.count`, `.failed`, `.p50`, `.p95`, `.p99` (ms over the newest 512 calls) and so on. */
  snapshot(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [operation, series] of this.#series) {
      const sorted = series.newest.slice(0, Math.min(series.count, KEPT)).sort();
      const at = (p: number): number => sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? 0;
      out[`${operation}.count`] = series.count;
      out[`${operation}.failed`] = series.failed;
      out[`${operation}.p50`] = at(0.5);
      out[`${operation}.p95`] = at(0.95);
      out[`${operation}.p99`] = at(0.99);
    }
    return out;
  }
}
