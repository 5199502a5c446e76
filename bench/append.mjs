// Appending turns one after the other to conversations that hold N messages: how far from the bare client, and is it flat in N?
import { compare, UNITS } from './lib/compare.mjs';
import { openPgbench, openRedisBenchmark } from './lib/generators.mjs';
import { PROVIDERS, withBackend } from './lib/backends.mjs';
import { Conversations, count } from './lib/workloads.mjs';

export const title = 'append a turn (2 messages of about 400 bytes) to a conversation of N messages, one after the other';
export const providers = PROVIDERS;

/** The document layout writes the whole document again with each turn: it is for short conversations. */
const DOCUMENT_LIMIT = 1000;
const SIZES = [10, 1000, 100_000];

/** Turns in a sample, and its slices. */
const TURNS = { memory: 4000, sqlite: 250, redis: 250, postgres: 200 };
const SLICES = 5;

const FLAT = { max: 1.2 };
const GOALS = {
  jaf: { goal: { max: 4 }, against: { 'bare Map': {} }, flat: FLAT },
  'jaf (normal)': { against: { 'bare INSERT (normal)': { min: 0.5 } }, flat: FLAT },
  'jaf (full)': { against: { 'bare INSERT (full)': { min: 0.5 } }, flat: FLAT },
  'jaf (own client)': { against: { 'bare node-redis': { min: 0.75 } }, flat: FLAT },
  'jaf (ioredis client)': { against: { 'bare ioredis': { min: 0.75 } }, flat: FLAT },
  'jaf (rows)': { against: { 'bare pg': { min: 0.65 } }, flat: FLAT },
  'jaf (document)': { against: { 'bare pg': {} } },
};

/** A store that appends turns to conversations of each size. */
function appending(name, open, operations) {
  return {
    name,
    ...GOALS[name],
    operations,
    cases: (one) => name !== 'jaf (document)' || sizeOf(one) <= DOCUMENT_LIMIT,
    open: async () => {
      const store = await open();
      const cases = new Map();
      return {
        fill: async (one, turns) => {
          cases.set(one, new Conversations(store, one, sizeOf(one)));
          await cases.get(one).fill(turns);
        },
        prepare: (one, turns) => cases.get(one).prepare(turns),
        work: (one) => cases.get(one).append(),
        check: (one, turns) => cases.get(one).check(turns),
        close: () => store.close(),
      };
    },
  };
}

const nameOf = (size) => `N = ${count(size)}`;
const sizeOf = (name) => Number(name.slice(4).replaceAll(',', ''));

/** Runs it with one provider. */
export async function run({ provider, size, repetitions }) {
  await withBackend(provider, async (backend) => {
    const turns = TURNS[provider];
    const stores = Object.entries({ ...backend.jaf, ...backend.bare }).filter(([name]) => name !== 'bare pg Pool of 10');
    const contenders = stores.map(([name, open]) => appending(name, open, name === 'jaf (document)' ? turns / 10 : turns));
    // a list or table that is as long does not slow them down: they run beside the first size
    const micros = (rate) => 1e6 / rate;
    const generator = { operations: turns * 4, whole: true, cases: (one) => one === nameOf(SIZES[0]) };
    if (provider === 'postgres') contenders.push({ ...generator, name: 'pgbench, 1 client', open: () => openPgbench(backend, 1, micros) });
    if (provider === 'redis')
      contenders.push({ ...generator, name: 'redis-benchmark, 1 client', open: () => openRedisBenchmark(backend, 1, micros) });
    await compare({
      name: 'append',
      title,
      provider,
      what: 'turn',
      unit: UNITS.micros,
      ratio: 'speed',
      cases: [...SIZES.filter((one) => one < size), size].map(nameOf),
      contenders,
      settle: backend.settle,
      slices: SLICES,
      repetitions,
      servers: backend.versions,
    });
  });
}

export const defaults = { size: 100_000 };
