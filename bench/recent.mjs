// The newest 50 messages of a conversation of N: how far from the bare read and JSON.parse, and is it flat in N?
import { PROVIDERS } from './lib/backends.mjs';
import { UNITS } from './lib/compare.mjs';
import { BARE, compareReads } from './lib/reading.mjs';

export const title = 'read the newest 50 messages of a conversation of N';
export const providers = PROVIDERS;
export const defaults = { size: 100_000 };

const NEWEST = 50;
const SIZES = [100, 10_000, 100_000];
/** Reads in a slice of a sample. */
const READS = { memory: 1000, sqlite: 40, redis: 40, postgres: 30 };
/** The document layout reads the whole document. */
const DOCUMENT_LIMIT = 1000;

function goals(name, provider) {
  if (!name.startsWith('jaf')) return {};
  const goal = provider === 'memory' || name === 'jaf (document)' ? {} : { max: 1.3 };
  return {
    ...(provider === 'memory' ? { goal: { max: 10 } } : {}),
    against: Object.fromEntries(BARE[name].map((bare) => [bare, goal])),
    ...(name === 'jaf (document)' ? {} : { flat: { max: 1.2 } }),
  };
}

/** Runs it with one provider. */
export async function run({ provider, size, repetitions }) {
  await compareReads({
    name: 'recent',
    title,
    provider,
    repetitions,
    sizes: [...SIZES.filter((one) => one < size), size],
    unit: UNITS.micros,
    reads: () => READS[provider],
    read: (store, id) => store.recent(id, NEWEST),
    expected: () => NEWEST,
    goals: (name) => goals(name, provider),
    takes: (name, held) => name !== 'jaf (document)' || held <= DOCUMENT_LIMIT,
  });
}
