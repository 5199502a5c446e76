// The newest 50 messages of a conversation of N: how far from the bare read and JSON.parse, and is it flat in N?
import { compare, UNITS } from './lib/compare.mjs';
import { PROVIDERS, withBackend } from './lib/backends.mjs';
import { count, expectHeld, expectNewest, fill } from './lib/workloads.mjs';

export const title = 'read the newest 50 messages of a conversation of N';
export const providers = PROVIDERS;

const NEWEST = 50;
/** The document layout reads the whole document. */
const DOCUMENT_LIMIT = 1000;
const SIZES = [100, 10_000, 100_000];
/** Reads in a sample. */
const READS = { memory: 5000, sqlite: 200, redis: 150, postgres: 100 };

const LIMIT = { max: 1.3 };
const FLAT = { max: 1.2 };
const GOALS = {
  jaf: { goal: { max: 10 }, against: { 'bare Map': {} }, flat: FLAT },
  'jaf (normal)': { against: { 'bare SELECT (normal)': LIMIT }, flat: FLAT },
  'jaf (own client)': { against: { 'bare node-redis': LIMIT }, flat: FLAT },
  'jaf (ioredis client)': { against: { 'bare ioredis': LIMIT }, flat: FLAT },
  'jaf (rows)': { against: { 'bare pg': LIMIT }, flat: FLAT },
  'jaf (document)': { against: { 'bare pg': {} } },
};

const nameOf = (size) => `N = ${count(size)}`;
const sizeOf = (name) => Number(name.slice(4).replaceAll(',', ''));

/** Runs it with one provider. */
export async function run({ provider, size, repetitions }) {
  await withBackend(provider, async (backend) => {
    // durability does not change a read
    const stores = Object.entries({ ...backend.jaf, ...backend.bare }).filter(([name]) => !/\(full\)|Pool/.test(name));
    await compare({
      name: 'recent',
      title,
      provider,
      what: 'read',
      unit: UNITS.micros,
      ratio: 'cost',
      cases: [...SIZES.filter((one) => one < size), size].map(nameOf),
      contenders: stores.map(([name, open]) => ({
        name: name.replace('bare INSERT', 'bare SELECT'),
        ...GOALS[name],
        operations: READS[provider],
        cases: (one) => name !== 'jaf (document)' || sizeOf(one) <= DOCUMENT_LIMIT,
        open: async () => {
          const store = await open();
          const newest = new Map();
          const reads = new Map();
          return {
            fill: async (one) => {
              newest.set(one, await fill(store, one, sizeOf(one)));
              reads.set(one, 0);
            },
            work: async (one, operations) => {
              for (let read = 0; read < operations; read++) {
                const found = await store.recent(one, NEWEST);
                if (found.length !== NEWEST) throw new Error(`${name}, ${one}: read ${found.length} messages`);
              }
              reads.set(one, reads.get(one) + operations);
            },
            check: async (one, operations) => {
              if (reads.get(one) !== operations) throw new Error(`${name}, ${one}: ${reads.get(one)} reads of ${operations}`);
              await expectHeld(store, one, sizeOf(one));
              await expectNewest(store, one, newest.get(one).slice(-NEWEST));
            },
            close: () => store.close(),
          };
        },
      })),
      settle: backend.settle,
      slices: 5,
      repetitions,
      servers: backend.versions,
    });
  });
}

export const defaults = { size: 100_000 };
