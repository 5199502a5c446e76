// A whole conversation: how far from the bare read and JSON.parse?
import { PROVIDERS } from './lib/backends.mjs';
import { UNITS } from './lib/compare.mjs';
import { BARE, compareReads } from './lib/reading.mjs';

export const title = 'read a whole conversation of N messages';
export const providers = PROVIDERS;
export const defaults = { size: 10_000 };

const SIZES = [100, 10_000];

/** Runs it with one provider. */
export async function run({ provider, size, repetitions }) {
  const goal = provider === 'memory' ? {} : { max: 1.3, cases: ['N = 10,000'] };
  await compareReads({
    name: 'whole',
    title,
    provider,
    repetitions,
    sizes: [...SIZES.filter((one) => one < size), size],
    unit: UNITS.millis,
    reads: (held) => Math.max(1, Math.round((provider === 'memory' ? 20_000 : 2000) / held)),
    read: (store, id) => store.whole(id),
    expected: (held) => held,
    // the document layout takes longer than the deadline for so many
    takes: (name, held) => name !== 'jaf (document)' || held <= 1000,
    goals: (name) => (name in BARE ? { against: Object.fromEntries(BARE[name].map((bare) => [bare, goal])) } : {}),
  });
}
