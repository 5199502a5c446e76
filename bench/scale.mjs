// Everything again on a large store: so many conversations of 10 messages, beside a small store in the same run, turn about.
// Loaded through the public methods. Printed and saved: time and rate of the load, size a conversation, then each row as a ratio
// to the same row on the small store.
import { statSync } from 'node:fs';
import { exportLines, unwrap } from 'jaf/memory';
import { PROVIDERS, withBackend } from './lib/backends.mjs';
import { compare, UNITS } from './lib/compare.mjs';
import { readable } from './lib/statistics.mjs';
import { turnOf, turnsOf } from './lib/turns.mjs';
import { count } from './lib/workloads.mjs';

export const title = 'the same work on a large store and on a small one';
export const providers = PROVIDERS;
export const defaults = { size: 1_000_000 };
export const byName = true;

const SMALL = 5000;
const MESSAGES = 10;
/** Conversations of a user. */
const EACH = 100;
const IN_FLIGHT = 512;
const CALLERS = 64;
/** Turns of each caller in a sample. */
const TURNS = 10;

const idOf = (n) => `user-${Math.floor(n / EACH)}:conversation-${n}`;
const userOf = (n) => `user-${Math.floor(n / EACH)}`;

/** Bytes of everything a store has. */
const SIZES = {
  memory: async () => {
    globalThis.gc();
    return process.memoryUsage().heapUsed;
  },
  sqlite: async (_, { path }) => statSync(path).size,
  redis: async ({ admin }) => Number(/used_memory:(\d+)/.exec(await admin.info('memory'))[1]),
  postgres: async ({ admin, schema }, { tables }) => {
    const { rows } = await admin.query(
      `SELECT ${tables.map((table) => `pg_total_relation_size('${schema}.${table}')`).join(' + ')} AS bytes`,
    );
    return Number(rows[0].bytes);
  },
};

/** Loads a store with up to `size` conversations, until it has grown by `bytes`. */
async function load(backend, store, size, bytes) {
  const measure = () => SIZES[backend.provider](backend, store);
  const before = await measure();
  const started = performance.now();
  let next = 0;
  let full = false;
  let failed;
  const caller = async () => {
    while (next < size && !full && failed === undefined) {
      const n = next++;
      const result = await store.provider.storeMessages(idOf(n), turnsOf(MESSAGES / 2).flat(), undefined, { userId: userOf(n) });
      if (!result.ok) failed ??= result.error;
      // looking costs a trip: now and then
      if (bytes !== undefined && n % 10_000 === 9999) full = (await measure()) - before >= bytes;
      if (n % 100_000 === 99_999) console.log(`  ${count(n + 1)} conversations in ${readable((performance.now() - started) / 1000)} s`);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
  if (failed) throw failed;
  const seconds = (performance.now() - started) / 1000;
  // users whose conversations are all there
  const users = Math.floor(next / EACH);
  await backend.settle();
  const stored = (await measure()) - before;
  return { conversations: next, users, seconds, bytes: stored };
}

/** Rows: what a sample does, and how many operations that is. `user` counts samples down from the last user. */
const ROWS = {
  'append a turn': {
    operations: 200,
    work: async ({ provider, pick }) => {
      for (let n = 0; n < 200; n++) unwrap(await provider.appendMessages(idOf(pick()), turnOf()));
    },
  },
  '64 in flight': {
    operations: CALLERS * TURNS,
    work: async ({ provider, pick }) => {
      const from = pick();
      await Promise.all(
        Array.from({ length: CALLERS }, async (_, caller) => {
          for (let n = 0; n < TURNS; n++) unwrap(await provider.appendMessages(idOf(from + caller), turnOf()));
        }),
      );
    },
  },
  'newest 50': {
    operations: 200,
    work: async ({ provider, pick }) => {
      for (let n = 0; n < 200; n++) expected((await provider.getRecentMessages(idOf(pick()))).length >= MESSAGES);
    },
  },
  'a user’s 20 newest': {
    operations: 50,
    work: async ({ provider, pick }) => {
      for (let n = 0; n < 50; n++)
        expected((await provider.findConversations({ userId: userOf(pick()), limit: 20, messageLimit: 0 })).length === 20);
    },
  },
  '20 newest of all': {
    operations: 50,
    work: async ({ provider }) => {
      for (let n = 0; n < 50; n++) expected((await provider.findConversations({ limit: 20, messageLimit: 0 })).length === 20);
    },
  },
  'statistics of a user': {
    operations: 50,
    work: async ({ provider, pick }) => {
      for (let n = 0; n < 50; n++) expected((await provider.getStats(userOf(pick()))).totalConversations === EACH);
    },
  },
  'export of a user': {
    operations: 5 * EACH,
    work: async ({ provider, pick }) => {
      let lines = 0;
      for (let n = 0; n < 5; n++)
        for await (const line of exportLines(provider, { userId: userOf(pick()) })) lines += line.length > 0 ? 1 : 0;
      expected(lines >= 5 * EACH);
    },
  },
  'clear a user': {
    operations: EACH,
    work: async ({ provider, lastUser }) => {
      expected((await provider.clearUserConversations(lastUser())) === EACH);
    },
  },
};

function expected(held) {
  if (!held) throw new Error('not what is stored');
}

/** A loaded store as a contender. The users that are cleared are at the end, all others at the beginning. */
function contender(name, store, loaded, against, cleared) {
  let at = 1;
  let clearing = loaded.users;
  const size = (loaded.users - cleared) * EACH - CALLERS;
  const given = {
    provider: store.provider,
    pick: () => Math.floor(((at = (at * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648) * size),
    lastUser: () => userOf(--clearing * EACH),
  };
  return {
    name,
    against,
    operations: (one) => ROWS[one].operations,
    open: async () => ({
      work: (one) => ROWS[one].work(given),
      check: async () => undefined, // each sample checks what it got
      close: async () => undefined,
    }),
  };
}

/** Runs it with one provider. */
export async function run({ provider, size, repetitions = 9, bytes }) {
  await withBackend(provider, async (backend) => {
    const [[, open]] = Object.entries(backend.jaf);
    const stores = { small: await open(), large: await open() };
    const small = await load(backend, stores.small, Math.min(SMALL, size));
    const large = await load(backend, stores.large, size, bytes);
    const [nameOfSmall, nameOfLarge] = [small, large].map(({ conversations }) => `${count(conversations)} conversations`);
    const about = ({ conversations, seconds, bytes: stored }) =>
      `${count(conversations)} conversations of ${MESSAGES} messages loaded in ${readable(seconds)} s (${readable(conversations / seconds)}/s, ${IN_FLIGHT} callers), ${readable(stored / conversations)} bytes each, ${readable(stored / 1e6)} MB`;
    const notes = [about(small), about(large)];
    // a statistic of all reads every header: beside the rows, and not repeated
    for (const [name, { provider: own }] of Object.entries(stores)) {
      const started = performance.now();
      const { totalConversations } = await own.getStats();
      const ms = performance.now() - started;
      notes.push(
        `statistics of all ${count(totalConversations)} (${name}): ${readable(ms)} ms, ${readable((ms * 1000) / totalConversations)} µs a conversation`,
      );
    }
    for (const note of notes) console.log(note);
    const samples = repetitions + 1;
    try {
      await compare({
        name: 'scale',
        title: `${title}: conversations of ${MESSAGES} messages, ${EACH} of each user`,
        provider,
        what: 'operation; export and clear: conversation',
        unit: UNITS.micros,
        ratio: 'cost',
        cases: Object.keys(ROWS),
        contenders: [
          contender(nameOfSmall, stores.small, small, {}, samples),
          contender(nameOfLarge, stores.large, large, { [nameOfSmall]: { max: 1.2 } }, samples),
        ],
        repetitions,
        servers: backend.versions,
        notes,
      });
    } finally {
      for (const store of Object.values(stores)) await store.close();
    }
  });
}
