// What hash partitions cost: the same calls on a store as the provider makes it and on one with 16 partitions.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createPostgresProvider } from 'jaf/memory';
import { withBackend } from './lib/backends.mjs';
import { jafStore } from './lib/backends/jaf.mjs';
import { compare, UNITS } from './lib/compare.mjs';
import { turnOf } from './lib/turns.mjs';

export const title = 'calls on a store with 16 hash partitions against one table';
export const providers = ['postgres'];

const CONVERSATIONS = 200;
const HELD = 40;
const CALLS = 100;
const CASES = {
  'append a turn': (store, n) => store.append(`c${n % CONVERSATIONS}`, turnOf()),
  'newest 20 messages': async (store, n) => expectLength(20, await store.recent(`c${n % CONVERSATIONS}`, 20)),
  'a user’s newest 10 headers': async (store, n) =>
    expectLength(10, await store.provider.findConversations({ userId: `u${n % 20}`, limit: 10, messageLimit: 0 })),
};

function expectLength(expected, list) {
  if (list.length !== expected) throw new Error(`read ${list.length} of ${expected}`);
}

/** Runs it. */
export async function run({ provider, repetitions }) {
  await withBackend(provider, async (backend) => {
    const { url, schema, admin } = backend;
    const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
    const sql = execFileSync(process.execPath, [cli, 'schema', '--schema', schema, '--table', 'cut', '--partitions', '16'], {
      encoding: 'utf8',
    });
    await admin.query(sql);
    const stores = { 'one table': 'whole', '16 partitions': 'cut' };
    await compare({
      name: 'postgres-partitions',
      title,
      provider,
      what: 'call',
      unit: UNITS.micros,
      ratio: 'cost',
      cases: Object.keys(CASES),
      contenders: Object.entries(stores).map(([name, tableName]) => ({
        name,
        ...(name === 'one table' ? {} : { against: { 'one table': {} } }),
        operations: CALLS,
        open: async () => {
          const store = jafStore(await createPostgresProvider({ connectionString: url, schema, tableName, sweep: false }));
          let filled = false;
          let calls = 0;
          return {
            fill: async () => {
              if (filled) return;
              filled = true;
              for (let n = 0; n < HELD; n += 2) {
                const writes = Array.from({ length: CONVERSATIONS }, (_, c) => store.fill(`c${c}`, turnOf(), { userId: `u${c % 20}` }));
                await Promise.all(writes);
              }
            },
            work: async (one, operations) => {
              for (let n = 0; n < operations; n++) await CASES[one](store, calls++);
            },
            check: async (one, operations) => {
              if (one !== 'append a turn') return;
              const { totalMessages } = await store.provider.getStats();
              const expected = CONVERSATIONS * HELD + 2 * operations;
              if (totalMessages !== expected) throw new Error(`${name} holds ${totalMessages} messages of ${expected}`);
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
