// 64 callers at once, each with a conversation of its own and one turn under way: turns a second, and what the server spends.
import { compare, UNITS } from './lib/compare.mjs';
import { openPgbench, openRedisBenchmark } from './lib/generators.mjs';
import { PROVIDERS, withBackend } from './lib/backends.mjs';
import { Callers } from './lib/workloads.mjs';

export const title = '64 callers append turns, each to a conversation of its own and with one turn under way';
export const providers = PROVIDERS;

const CALLERS = 64;
const ALL = `${CALLERS} in flight`;
/** Turns in a sample, and its slices: long ones, as callers that have finished leave the others alone at the end of each. */
const TURNS = { memory: CALLERS * 200, sqlite: CALLERS * 20, redis: CALLERS * 60, postgres: CALLERS * 30 };
const SLICES = 2;

const GOALS = {
  jaf: { goal: { min: 250_000 }, against: { 'bare Map': {} } },
  'jaf (normal)': { against: { 'jaf (normal), one after the other': {} } },
  'jaf (full)': { against: { 'jaf (full), one after the other': { min: 4 } } },
  'jaf (own client)': { against: { 'bare ioredis': { min: 0.4 }, 'bare node-redis': {} } },
  'jaf (ioredis client)': { against: { 'bare ioredis': { min: 0.4 } } },
  'jaf (rows)': { against: { 'bare pg Pool of 10': { min: 2 } } },
  'jaf (document)': { against: { 'bare pg Pool of 10': {} } },
};

/** Microseconds the server spends on a turn: in RPUSH, or in the scripts (whose own RPUSH is in the script's time already). */
function serverTime(before, after, turns, scripts) {
  const commands = scripts ? ['evalsha', 'eval', 'fcall'] : ['rpush'];
  const grown = (what) =>
    commands.reduce((sum, command) => sum + (after.get(command)?.[what] ?? 0) - (before.get(command)?.[what] ?? 0), 0);
  return {
    'server µs a turn': grown('usec') / turns,
    'server µs a call': grown('usec') / grown('calls'),
    'turns a call': turns / grown('calls'),
  };
}

function calling(backend, name, open, { callers = CALLERS, operations = TURNS[backend.provider] } = {}) {
  return {
    name,
    ...GOALS[name],
    operations,
    open: async () => {
      const store = await open();
      const work = new Callers(store, callers);
      let before;
      return {
        fill: () => work.fill(),
        prepare: async (_one, turns) => {
          work.prepare(turns);
          before = await backend.commandStats?.();
        },
        work: () => work.append(),
        after: async (_one, turns) => (before ? serverTime(before, await backend.commandStats(), turns, name.startsWith('jaf')) : {}),
        check: (_one, turns) => work.check(turns),
        close: () => store.close(),
      };
    },
  };
}

/** Runs it with one provider. */
export async function run({ provider, repetitions }) {
  await withBackend(provider, async (backend) => {
    const stores = Object.entries({ ...backend.jaf, ...backend.bare }).filter(([name]) => name !== 'bare pg');
    const contenders = stores.map(([name, open]) =>
      calling(backend, name, open, name === 'jaf (document)' ? { operations: CALLERS * 4 } : {}),
    );
    if (provider === 'sqlite') {
      for (const [name, open] of Object.entries(backend.jaf))
        contenders.push(calling(backend, `${name}, one after the other`, open, { callers: 1, operations: 100 }));
    }
    const operations = TURNS[provider] * 4;
    if (provider === 'postgres') {
      for (const clients of [10, CALLERS])
        contenders.push({
          name: `pgbench, ${clients} clients`,
          operations,
          whole: true,
          open: () => openPgbench(backend, clients, Number),
        });
    }
    if (provider === 'redis')
      contenders.push({
        name: `redis-benchmark, ${CALLERS} clients`,
        operations,
        open: () => openRedisBenchmark(backend, CALLERS, Number),
      });
    await compare({
      name: 'inflight',
      title,
      provider,
      what: 'turn',
      unit: UNITS.rate,
      ratio: 'speed',
      cases: [ALL],
      contenders,
      settle: backend.settle,
      slices: SLICES,
      repetitions,
      servers: backend.versions,
    });
  });
}
