// One user's 20 newest conversations of N, headers only: how far from the bare indexed query, and is it flat in N? The store
// holds as many conversations of 1,000 other users.
import { PROVIDERS, withBackend } from './lib/backends.mjs';
import { compare, UNITS } from './lib/compare.mjs';
import { turnOf } from './lib/turns.mjs';
import { count } from './lib/workloads.mjs';

export const title = "one user's 20 newest of N conversations, headers only, beside N conversations of others";
export const providers = PROVIDERS;
export const defaults = { size: 20_000 };

const SIZES = [5000, 100_000];
const LIMIT = 20;
const USER = 'user-of-many';
const OTHERS = 1000;
const IN_FLIGHT = 256;
const SLICES = 5;
/** Lists in a slice of a sample. */
const LISTS = { memory: 100, sqlite: 20, redis: 20, postgres: 20 };
const nameOf = (size) => `${LIMIT} of ${count(size)}`;
const sizeOf = (name) => Number(name.split(' of ')[1].replaceAll(',', ''));
const idOf = (n) => `conversation-${n}`;
const ownerOf = (n) => (n % 2 === 0 ? USER : `user-${n % OTHERS}`);

/** Makes the conversations; answers the ids of the user's newest, newest first. */
async function fillWith(write, size) {
  for (let from = 0; from < 2 * size; from += IN_FLIGHT) {
    const numbers = Array.from({ length: Math.min(IN_FLIGHT, 2 * size - from) }, (_, n) => from + n);
    await Promise.all(numbers.map((n) => write(idOf(n), ownerOf(n), from)));
  }
  // the newest ones are written again, one after the other, so that their order is known
  const newest = Array.from({ length: LIMIT }, (_, n) => idOf(2 * n));
  let at = 2 * size;
  for (const id of newest) {
    // not in the millisecond of what came before: equal times are in order of the ids
    await new Promise((resolve) => setTimeout(resolve, 5));
    await write(id, USER, ++at);
  }
  return newest.reverse();
}

function provided(open) {
  const stores = new Map();
  return {
    make: async (one, size) => {
      const store = await open();
      stores.set(one, store);
      return fillWith((id, userId) => store.fill(id, [turnOf()[0]], { userId }), size);
    },
    list: async (one) => {
      const found = await stores.get(one).provider.findConversations({ userId: USER, limit: LIMIT, messageLimit: 0 });
      return found.map(({ conversationId }) => conversationId);
    },
    held: async (one) => (await stores.get(one).provider.getStats(USER)).userConversations,
    close: async () => {
      for (const store of stores.values()) await store.close();
    },
  };
}

const BARE = {
  /** A sorted array for each user. */
  memory: () => {
    const cases = new Map();
    return {
      make: (one, size) => {
        const users = new Map();
        cases.set(one, users);
        return fillWith(async (id, userId, at) => {
          if (!users.has(userId)) users.set(userId, []);
          const list = users.get(userId);
          const known = list.findIndex((header) => at > 2 * size && header.id === id);
          if (known >= 0) list.splice(known, 1);
          list.push({ id, userId, at, metadata: {} });
        }, size);
      },
      list: async (one) =>
        cases
          .get(one)
          .get(USER)
          .slice(-LIMIT)
          .reverse()
          .map(({ id }) => id),
      held: async (one) => cases.get(one).get(USER).length,
      close: async () => cases.clear(),
    };
  },
  sqlite: ({ bareFile }) => {
    const cases = new Map();
    return {
      make: async (one, size) => {
        const db = bareFile();
        db.exec(
          'CREATE TABLE c (id TEXT PRIMARY KEY, owner TEXT, at INTEGER, messages INTEGER, metadata TEXT); CREATE INDEX i ON c (owner, at, id)',
        );
        cases.set(one, { db, query: db.prepare('SELECT * FROM c WHERE owner = ? ORDER BY at DESC, id DESC LIMIT ?') });
        const insert = db.prepare("INSERT INTO c VALUES (?, ?, ?, 1, '{}') ON CONFLICT (id) DO UPDATE SET at = excluded.at");
        return fillWith(async (id, userId, at) => void insert.run(id, userId, at), size);
      },
      list: async (one) =>
        cases
          .get(one)
          .query.all(USER, LIMIT)
          .map(({ id, metadata }) => JSON.parse(metadata) && id),
      held: async (one) => cases.get(one).db.prepare('SELECT count(*) AS n FROM c WHERE owner = ?').get(USER).n,
      close: async () => {
        for (const { db } of cases.values()) db.close();
      },
    };
  },
  /** A hash for each conversation and a sorted set for each user: the set, then the hashes in one pipeline. */
  redis: ({ admin }) => {
    const prefix = (one) => `jaf-bench:${process.pid}:list:${one}:`;
    return {
      make: (one, size) =>
        fillWith(
          (id, userId, at) =>
            Promise.all([
              admin.hSet(`${prefix(one)}${id}`, { id, userId, at, messages: 1, metadata: '{}' }),
              admin.zAdd(`${prefix(one)}of:${userId}`, { score: at, value: id }),
            ]),
          size,
        ),
      list: async (one) => {
        const ids = await admin.zRange(`${prefix(one)}of:${USER}`, 0, LIMIT - 1, { REV: true });
        const headers = await Promise.all(ids.map((id) => admin.hGetAll(`${prefix(one)}${id}`)));
        return headers.map(({ id, metadata }) => JSON.parse(metadata) && id);
      },
      held: (one) => admin.zCard(`${prefix(one)}of:${USER}`),
      close: async () => undefined,
    };
  },
  postgres: ({ admin, schema }) => {
    const tables = new Map();
    return {
      make: async (one, size) => {
        const table = `${schema}.list${tables.size}`;
        tables.set(one, table);
        await admin.query(
          `CREATE TABLE ${table} (id text COLLATE "C" PRIMARY KEY, owner text, at bigint, messages bigint, metadata jsonb); CREATE INDEX ON ${table} (owner, at, id)`,
        );
        const insert = {
          name: `insert ${table}`,
          text: `INSERT INTO ${table} VALUES ($1, $2, $3, 1, '{}') ON CONFLICT (id) DO UPDATE SET at = excluded.at`,
        };
        return fillWith((id, userId, at) => admin.query({ ...insert, values: [id, userId, at] }), size);
      },
      list: async (one) => {
        const table = tables.get(one);
        const text = `SELECT * FROM ${table} WHERE owner = $1 ORDER BY at DESC, id DESC LIMIT $2`;
        return (await admin.query({ name: `list ${table}`, text, values: [USER, LIMIT] })).rows.map(({ id }) => id);
      },
      held: async (one) => Number((await admin.query(`SELECT count(*) AS n FROM ${tables.get(one)} WHERE owner = $1`, [USER])).rows[0].n),
      close: async () => undefined,
    };
  },
};
const BARE_NAMES = {
  memory: 'bare Map of arrays',
  sqlite: 'bare indexed query',
  redis: 'bare ZRANGE and HGETALL',
  postgres: 'bare indexed query',
};

/** Runs it with one provider. */
export async function run({ provider, size, repetitions }) {
  await withBackend(provider, async (backend) => {
    const bare = BARE_NAMES[provider];
    const kinds = [
      ...Object.entries(backend.jaf)
        .filter(([name]) => !/document|full|ioredis/.test(name))
        .map(([name, open]) => [name.replace('jaf (normal)', 'jaf'), () => provided(open)]),
      [bare, () => BARE[provider](backend)],
    ];
    await compare({
      name: 'list',
      title,
      provider,
      what: 'list',
      unit: UNITS.micros,
      ratio: 'cost',
      cases: [...new Set([...SIZES.filter((one) => one < size), size])].map(nameOf),
      contenders: kinds.map(([name, make]) => ({
        name,
        ...(name === bare ? {} : { against: { [bare]: provider === 'memory' ? {} : { max: 2 } }, flat: { max: 1.2 } }),
        operations: LISTS[provider] * SLICES,
        open: async () => {
          const store = make();
          const newest = new Map();
          return {
            fill: async (one) => void newest.set(one, await store.make(one, sizeOf(one))),
            work: async (one, operations) => {
              const [first] = newest.get(one);
              for (let n = 0; n < operations; n++) {
                const found = await store.list(one);
                if (found.length !== LIMIT || found[0] !== first) throw new Error(`${name}, ${one}: another list than expected`);
              }
            },
            check: async (one) => {
              const found = await store.list(one);
              if (found.join() !== newest.get(one).join())
                throw new Error(`${name}, ${one}: listed ${found.join()} and not ${newest.get(one).join()}`);
              const held = await store.held(one);
              if (held !== sizeOf(one)) throw new Error(`${name}, ${one}: the user has ${held} conversations`);
            },
            close: () => store.close(),
          };
        },
      })),
      settle: backend.settle,
      slices: SLICES,
      repetitions,
      servers: backend.versions,
    });
  });
}
