/**
 * Counts and latencies per operation, for `healthCheck().metrics`.
 *
 * @module
 */

/** Upper bounds of the histogram in ms, with the names they have among the metrics. A call beyond the last is in `count` only. */
const BOUNDS = [0.1, 0.5, 1, 5, 10, 50, 100, 500, 1000, 5000] as const;

/** Latencies of one operation. */
interface Series {
  failed: number;
  total: number;
  /** Calls by latency: one place for each bound, and one for what is beyond. */
  readonly buckets: Float64Array;
  count: number;
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
      series = { count: 0, failed: 0, total: 0, buckets: new Float64Array(BOUNDS.length + 1), newest: new Float64Array(KEPT) };
      this.#series.set(operation, series);
    }
    series.newest[series.count % KEPT] = milliseconds;
    series.count++;
    series.total += milliseconds;
    let place = 0;
    while (place < BOUNDS.length && milliseconds > (BOUNDS[place] as number)) place++;
    series.buckets[place] = (series.buckets[place] ?? 0) + 1;
    if (!ok) series.failed++;
  }

  /**
   * `avgResponseTime` (ms over all calls; absent before the first), and for each operation `appendMessages.count`, `.failed`,
   * `.sum` (ms), `.p50`, `.p95`, `.p99` (ms over the newest 512 calls), and `.le_5ms` …: calls that took at most so long.
   */
  snapshot(): { avgResponseTime?: number; [metric: string]: number } {
    const out: { avgResponseTime?: number; [metric: string]: number } = {};
    let calls = 0;
    let time = 0;
    for (const [operation, series] of this.#series) {
      calls += series.count;
      time += series.total;
      const sorted = series.newest.slice(0, Math.min(series.count, KEPT)).sort();
      const at = (p: number): number => sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? 0;
      out[`${operation}.count`] = series.count;
      out[`${operation}.failed`] = series.failed;
      out[`${operation}.sum`] = series.total;
      out[`${operation}.p50`] = at(0.5);
      out[`${operation}.p95`] = at(0.95);
      out[`${operation}.p99`] = at(0.99);
      let below = 0;
      BOUNDS.forEach((bound, place) => {
        below += series.buckets[place] ?? 0;
        out[`${operation}.le_${bound}ms`] = below;
      });
    }
    if (calls > 0) out.avgResponseTime = time / calls;
    return out;
  }
}
