// Steady load for a long time, well under the limit: do heap, connections and latency drift?
// Conversations of two kinds: long ones that keep their newest 200 messages and are deleted now and then, and short ones that
// expire, so that the store stays about as large. Calls are due at fixed times, whatever the ones before them take; before each
// sample the load pauses, what is under way ends, and garbage is collected twice, so that the heap is what is held.
import { readdirSync } from 'node:fs';
import { loadavg } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { unwrap } from 'jaf/memory';
import { PROVIDERS, withBackend } from './lib/backends.mjs';
import { describe, environment, writeResults } from './lib/results.mjs';
import { readable, summary } from './lib/statistics.mjs';
import { turnOf } from './lib/turns.mjs';

export const title = 'steady load for a long time: heap, connections, latency';
export const providers = PROVIDERS;
export const defaults = { seconds: 600 };
export const byName = true;

/** Calls a second. */
const RATE = { memory: 2000, sqlite: 150, redis: 400, postgres: 200 };
const LONG = 300;
const SHORT = 100;
/** Messages a long conversation keeps. */
const KEPT = 200;
/** Seconds after which short conversations expire, and after which new ones take their place. */
const TTL = 10;
const GENERATION = 5;
/** What drifts less over the second half is no drift: shares of the median. */
const LIMITS = { heap: 0.1, p50: 0.25 };

const userOf = (n) => `user-${n % 20}`;
let at = 1;
/** The next number below n, the same sequence in every run. */
const below = (n) => Math.floor(((at = (at * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648) * n);

/** Calls by name with their share of the load. */
function callsOf(provider) {
  const short = (from = 0) => {
    const n = below(SHORT);
    return { id: `short-${Math.floor(performance.now() / 1000 / GENERATION) - from}-${n}`, userId: userOf(n), ttl: TTL };
  };
  const long = () => {
    const n = below(LONG);
    return { id: `long-${n}`, userId: userOf(n), maxMessages: KEPT };
  };
  const append = async ({ id, ...options }) =>
    unwrap(await provider.appendMessages(id, turnOf(), undefined, { ...options, createIfMissing: true }));
  return [
    ['append to a long one', 0.4, () => append(long())],
    ['append to a short one', 0.2, () => append(short())],
    ['newest 50', 0.3, () => provider.getRecentMessages(below(2) ? long().id : short(1).id, 50)],
    ['a user’s 20 newest', 0.095, () => provider.findConversations({ userId: userOf(below(20)), limit: 20, messageLimit: 0 })],
    ['delete', 0.005, () => provider.deleteConversation(long().id)],
  ];
}

/** Open connections and files, as the server or the system counts them. */
const CONNECTIONS = {
  memory: async () => 0,
  sqlite: async () => readdirSync('/proc/self/fd').length,
  redis: async ({ admin }) => (await admin.sendCommand(['CLIENT', 'LIST'])).trim().split('\n').length,
  postgres: async ({ admin }) =>
    Number((await admin.query('SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()')).rows[0].n),
};

/** Theil and Sen's slope: the median of the slopes between all pairs, which a few outliers do not move. */
function slope(points) {
  const slopes = points.flatMap(([x, y], n) => points.slice(n + 1).map(([x2, y2]) => (y2 - y) / (x2 - x)));
  return summary(slopes).median;
}

/** What a figure drifts over the second half of the samples, as a share of its median there. */
function drift(samples, figure) {
  const half = samples.slice(samples.length >> 1);
  const { median } = summary(half.map((sample) => sample[figure]));
  return (slope(half.map((sample) => [sample.seconds, sample[figure]])) * (half.at(-1).seconds - half[0].seconds)) / median;
}

/** Makes a call and notes how long it took from when it was due, not from when there was time for it. */
async function timed(call, due, latencies, errors) {
  try {
    await call();
  } catch (error) {
    const name = error.code ?? error.message;
    errors.set(name, (errors.get(name) ?? 0) + 1);
  }
  latencies.push(performance.now() - due);
}

/** Runs it with one provider. */
export async function run({ provider: name, seconds }) {
  await withBackend(name, async (backend) => {
    const [[label, open]] = Object.entries(backend.jaf);
    const events = new Map();
    const { provider, close } = await open({
      ...(name === 'sqlite' || name === 'postgres' ? { sweep: { every: 5 } } : {}),
      onEvent: ({ type }) => events.set(type, (events.get(type) ?? 0) + 1),
    });
    const calls = callsOf(provider);
    const pick = () => {
      let point = below(1000) / 1000;
      return calls.find(([, share]) => (point -= share) < 0) ?? calls[0];
    };
    for (let n = 0; n < LONG; n++)
      unwrap(await provider.storeMessages(`long-${n}`, Array.from({ length: KEPT / 2 }, turnOf).flat(), undefined, { userId: userOf(n) }));
    const started = environment(backend.versions);
    const every = Math.max(1, Math.min(5, seconds / 60)) * 1000;
    const lag = monitorEventLoopDelay({ resolution: 5 });
    const samples = [];
    const errors = new Map();
    const underWay = new Set(); // of the sample
    const from = performance.now();
    for (let next = from; next - from < seconds * 1000; ) {
      const latencies = [];
      const begun = performance.now();
      lag.reset();
      lag.enable();
      for (let due = 0; due < (every * RATE[name]) / 1000; ) {
        const should = ((performance.now() - begun) * RATE[name]) / 1000;
        for (; due < should && due < (every * RATE[name]) / 1000; due++) {
          const [, , call] = pick();
          const at = begun + (due * 1000) / RATE[name];
          const done = timed(call, at, latencies, errors);
          underWay.add(done);
        }
        await sleep(1);
      }
      await Promise.all(underWay);
      underWay.clear();
      lag.disable();
      const ms = performance.now() - begun;
      globalThis.gc();
      globalThis.gc();
      const { heapUsed, rss, external } = process.memoryUsage();
      const sorted = latencies.sort((a, b) => a - b);
      samples.push({
        seconds: (performance.now() - from) / 1000,
        heap: heapUsed,
        rss,
        external,
        connections: await CONNECTIONS[name](backend),
        rate: (latencies.length * 1000) / ms,
        p50: sorted[sorted.length >> 1],
        p99: sorted[Math.floor(sorted.length * 0.99)],
        loopDelay: lag.percentile(99) / 1e6,
      });
      next = performance.now();
    }
    const { totalConversations, totalMessages } = await provider.getStats();
    const closing = performance.now();
    await close();
    const drifts = Object.fromEntries(['heap', 'rss', 'p50', 'p99', 'loopDelay'].map((figure) => [figure, drift(samples, figure)]));
    const connections = samples.slice(samples.length >> 1).map((sample) => sample.connections);
    const verdict = {
      ...Object.fromEntries(Object.entries(LIMITS).map(([figure, limit]) => [figure, drifts[figure] <= limit])),
      connections: Math.max(...connections) <= Math.max(...samples.slice(0, samples.length >> 1).map((sample) => sample.connections)),
      errors: errors.size === 0,
    };
    const run = {
      format: 1,
      name: 'soak',
      title,
      provider: name,
      contender: label,
      ...started,
      loadAfter: loadavg(),
      seconds,
      rate: RATE[name],
      calls: Object.fromEntries(calls.map(([call, share]) => [call, share])),
      stored: { conversations: totalConversations, messages: totalMessages },
      events: Object.fromEntries(events),
      errors: Object.fromEntries(errors),
      closedIn: performance.now() - closing,
      samples,
      drifts,
      limits: LIMITS,
      verdict,
    };
    console.log(`soak, ${name}: ${label}, ${RATE[name]} calls a second for ${seconds} s\n${describe(run)}`);
    const shown = (sample) => ({
      seconds: Math.round(sample.seconds),
      'heap MB': (sample.heap / 1e6).toFixed(2),
      'rss MB': (sample.rss / 1e6).toFixed(1),
      connections: sample.connections,
      'calls/s': Math.round(sample.rate),
      'p50 ms': sample.p50.toFixed(2),
      'p99 ms': sample.p99.toFixed(2),
      'loop delay p99 ms': sample.loopDelay.toFixed(2),
    });
    console.table(samples.filter((_, n) => n % Math.ceil(samples.length / 12) === 0).map(shown));
    const percent = (value) => `${value > 0 ? '+' : ''}${(value * 100).toFixed(1)} %`;
    console.log(
      `over the second half: ${Object.entries(drifts)
        .map(([figure, value]) => `${figure} ${percent(value)}`)
        .join(
          ', ',
        )}; stored ${readable(totalConversations)} conversations, ${readable(totalMessages)} messages; events ${JSON.stringify(run.events)}; errors ${JSON.stringify(run.errors)}`,
    );
    for (const [figure, held] of Object.entries(verdict)) console.log(`${held ? '✓' : '✗'} ${figure}`);
    console.log(`→ ${writeResults(`soak-${name}`, run)}\n`);
  });
}
