// Reads of one conversation, compared: what `recent` and `whole` have in common.
import { compare } from './compare.mjs';
import { withBackend } from './backends.mjs';
import { count, expectHeld, expectNewest, fill } from './workloads.mjs';

const SLICES = 5;
const TAIL = 50;
const nameOf = (size) => `N = ${count(size)}`;
const sizeOf = (name) => Number(name.slice(4).replaceAll(',', ''));

/**
 * Compares a read of a conversation of each size on every store of a backend.
 *
 * @param {{
 *   name: string, title: string, provider: string, repetitions?: number,
 *   sizes: readonly number[], unit: object, reads: (size: number) => number,
 *   read: (store: object, id: string) => Promise<readonly object[]>, expected: (size: number) => number,
 *   goals: (name: string) => object, takes?: (name: string, size: number) => boolean,
 * }} options - `reads`: in a slice of a sample; `expected`: messages a read returns; `goals`: of a store, by its name
 */
export async function compareReads({ name, title, provider, repetitions, sizes, unit, reads, read, expected, goals, takes = () => true }) {
  await withBackend(provider, async (backend) => {
    // durability does not change a read, and one reader needs no pool
    const stores = Object.entries({ ...backend.jaf, ...backend.bare }).filter(([store]) => !/\(full\)|Pool/.test(store));
    await compare({
      name,
      title,
      provider,
      what: 'read',
      unit,
      ratio: 'cost',
      cases: sizes.map(nameOf),
      contenders: stores.map(([opened, open]) => {
        const contender = opened.replace('bare INSERT (normal)', 'bare SELECT').replace('jaf (normal)', 'jaf');
        return {
          name: contender,
          ...goals(contender),
          operations: (one) => reads(sizeOf(one)) * SLICES,
          cases: (one) => takes(contender, sizeOf(one)),
          open: async () => {
            const store = await open();
            const newest = new Map();
            const done = new Map();
            return {
              fill: async (one) => {
                newest.set(one, await fill(store, one, sizeOf(one)));
                done.set(one, 0);
              },
              work: async (one, operations) => {
                const length = expected(sizeOf(one));
                for (let n = 0; n < operations; n++) {
                  const found = await read(store, one);
                  if (found.length !== length) throw new Error(`${contender}, ${one}: read ${found.length} messages of ${length}`);
                }
                done.set(one, done.get(one) + operations);
              },
              check: async (one, operations) => {
                if (done.get(one) !== operations) throw new Error(`${contender}, ${one}: ${done.get(one)} reads of ${operations}`);
                await expectHeld(store, one, sizeOf(one));
                const tail = newest.get(one).slice(-TAIL);
                await expectNewest(store, one, tail);
                const last = (await read(store, one)).at(-1);
                if (last.content !== tail.at(-1).content) throw new Error(`${contender}, ${one}: the newest message is not the last`);
              },
              close: () => store.close(),
            };
          },
        };
      }),
      settle: backend.settle,
      slices: SLICES,
      repetitions,
      servers: backend.versions,
    });
  });
}

/** The bare client each store is compared with in reads. */
export const BARE = {
  jaf: ['bare Map', 'bare SELECT'],
  'jaf (own client)': ['bare node-redis'],
  'jaf (ioredis client)': ['bare ioredis'],
  'jaf (rows)': ['bare pg'],
  'jaf (document)': ['bare pg'],
};
