// Export of a store of N conversations of 10 messages: time beside COPY and a bare cursor, and whether memory stays constant.
// What is exported is what exportLines gives (canonical JSON, a digest), one line at a time; the bare ones put their rows into
// lines without parsing them. Memory: peak of what is live (a collection every 500 lines, in a pass that is not timed), and of
// the process above its start (in those that are).
import { spawn } from 'node:child_process';
import { exportLines } from 'jaf/memory';
import { PROVIDERS, withBackend } from './lib/backends.mjs';
import { compare, UNITS } from './lib/compare.mjs';
import { programOf } from './lib/servers.mjs';
import { turnsOf } from './lib/turns.mjs';
import { count } from './lib/workloads.mjs';

export const title = 'export a store of N conversations of 10 messages';
export const providers = PROVIDERS;
export const defaults = { size: 20_000 };

const MESSAGES = 10;
const IN_FLIGHT = 128;
const PAGE = 1000;
const COLLECT_EVERY = 500;
const nameOf = (size) => `N = ${count(size)}`;
const sizeOf = (name) => Number(name.slice(4).replaceAll(',', ''));
const idOf = (n) => `conversation-${String(n).padStart(7, '0')}`;
const MB = 2 ** 20;

async function fillWith(write, size) {
  for (let from = 0; from < size; from += IN_FLIGHT) {
    const numbers = Array.from({ length: Math.min(IN_FLIGHT, size - from) }, (_, n) => from + n);
    await Promise.all(numbers.map((n) => write(idOf(n), turnsOf(MESSAGES / 2).flat())));
  }
}

const lineOf = (id, bodies) => `{"conversation_id":${JSON.stringify(id)},"messages":[${bodies.join(',')}]}`;

/** Lines from rows (id, body) in order of id. */
function* linesOf(rows, open) {
  for (const { id, body } of rows) {
    if (open.id !== id && open.id !== undefined) yield lineOf(open.id, open.bodies.splice(0));
    open.id = id;
    open.bodies.push(body);
  }
}

function provided(open) {
  const stores = new Map();
  return {
    make: async (one, size) => {
      const store = await open();
      stores.set(one, store);
      await fillWith((id, messages) => store.fill(id, messages, { userId: 'user-1' }), size);
    },
    async *lines(one) {
      let first = true;
      let last;
      for await (const line of exportLines(stores.get(one).provider)) {
        if (!first && last !== undefined) yield last;
        if (!first) last = line;
        first = false;
      }
      // the header and the last line, with count and digest, are not conversations
    },
    close: async () => {
      for (const store of stores.values()) await store.close();
    },
  };
}

const texts = (messages) => messages.map((message) => JSON.stringify(message));

const BARE = {
  memory: {
    'bare Map': () => {
      const cases = new Map();
      return {
        make: (one, size) => {
          const map = new Map();
          cases.set(one, map);
          return fillWith(async (id, messages) => void map.set(id, messages), size);
        },
        async *lines(one) {
          for (const [id, messages] of cases.get(one)) yield lineOf(id, texts(messages));
        },
        close: async () => cases.clear(),
      };
    },
  },
  sqlite: {
    'bare .iterate()': ({ bareFile }) => {
      const cases = new Map();
      return {
        make: (one, size) => {
          const db = bareFile();
          db.exec('CREATE TABLE m (id TEXT NOT NULL, n INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (id, n)) WITHOUT ROWID');
          cases.set(one, db);
          const insert = db.prepare('INSERT INTO m VALUES (?, ?, ?)');
          return fillWith(async (id, messages) => texts(messages).forEach((body, n) => insert.run(id, n, body)), size);
        },
        async *lines(one) {
          const open = { bodies: [] };
          yield* linesOf(cases.get(one).prepare('SELECT id, body FROM m ORDER BY id, n').iterate(), open);
          yield lineOf(open.id, open.bodies);
        },
        close: async () => {
          for (const db of cases.values()) db.close();
        },
      };
    },
  },
  redis: {
    'bare LRANGE, 100 in a pipeline': ({ admin }) => {
      const prefix = (one) => `jaf-bench:${process.pid}:export:${one}:`;
      return {
        make: (one, size) =>
          fillWith(async (id, messages) => {
            await admin.rPush(prefix(one) + id, texts(messages));
            await admin.rPush(`${prefix(one)}all`, id);
          }, size),
        async *lines(one) {
          for (let from = 0; ; from += 100) {
            const ids = await admin.lRange(`${prefix(one)}all`, from, from + 99);
            if (ids.length === 0) return;
            const all = await Promise.all(ids.map((id) => admin.lRange(prefix(one) + id, 0, -1)));
            for (const [n, bodies] of all.entries()) yield lineOf(ids[n], bodies);
          }
        },
        close: async () => undefined,
      };
    },
  },
  postgres: {
    'bare cursor': ({ admin, schema }) => ({
      make: async (one, size) => {
        const table = `${schema}."export ${one}"`;
        await admin.query(`CREATE TABLE ${table} (id text COLLATE "C", n bigint, body text NOT NULL, PRIMARY KEY (id, n))`);
        const text = `INSERT INTO ${table} SELECT $1, ordinality, body FROM unnest($2::text[]) WITH ORDINALITY AS m (body, ordinality)`;
        // one connection: a client of pg does not want a statement while another is under way
        for (let n = 0; n < size; n++)
          await admin.query({ name: `export ${one}`, text, values: [idOf(n), texts(turnsOf(MESSAGES / 2).flat())] });
      },
      async *lines(one) {
        const open = { bodies: [] };
        await admin.query(`BEGIN; DECLARE walk NO SCROLL CURSOR FOR SELECT id, body FROM ${schema}."export ${one}" ORDER BY id, n`);
        for (;;) {
          const { rows } = await admin.query(`FETCH ${PAGE} FROM walk`);
          if (rows.length === 0) break;
          yield* linesOf(rows, open);
        }
        await admin.query('COMMIT');
        yield lineOf(open.id, open.bodies);
      },
      close: async () => undefined,
    }),
  },
};

/** `COPY … TO STDOUT` through psql, of the rows of the bare cursor: counts lines, and gives as many as there are conversations. */
async function openCopy({ url, schema }) {
  const psql = (await programOf('pgbench')).replace(/pgbench$/, 'psql');
  return {
    work: async (one) => {
      const copy = `COPY (SELECT id, body FROM ${schema}."export ${one}" ORDER BY id, n) TO STDOUT`;
      const child = spawn(psql, ['-X', '-q', '-c', copy, url], { stdio: ['ignore', 'pipe', 'inherit'] });
      let rows = 0;
      for await (const chunk of child.stdout) for (let at = -1; (at = chunk.indexOf(10, at + 1)) >= 0; ) rows++;
      if (rows !== sizeOf(one) * MESSAGES) throw new Error(`COPY gave ${rows} rows of ${sizeOf(one) * MESSAGES}`);
    },
    check: async () => undefined, // each COPY is counted
    close: async () => undefined,
  };
}

/** Walks lines and checks their number; `each` is called with the number of each. */
async function walk(store, one, each) {
  let lines = 0;
  let bytes = 0;
  for await (const line of store.lines(one)) {
    bytes += line.length;
    await each(++lines);
  }
  if (lines !== sizeOf(one)) throw new Error(`${one}: exported ${lines} conversations`);
  if (bytes < lines * MESSAGES * 400) throw new Error(`${one}: exported ${bytes} characters, which is too little`);
}

/** Runs it with one provider. */
export async function run({ provider, size, repetitions }) {
  await withBackend(provider, async (backend) => {
    const bare = Object.keys(BARE[provider]);
    const against = Object.fromEntries(
      [...bare, ...(provider === 'postgres' ? ['COPY through psql'] : [])].map((name) => [name, { max: 2 }]),
    );
    const kinds = [
      ...Object.entries(backend.jaf)
        .filter(([name]) => !/document|full|ioredis/.test(name))
        .map(([name, open]) => [name.replace('jaf (normal)', 'jaf'), { against }, () => provided(open)]),
      ...Object.entries(BARE[provider]).map(([name, make]) => [name, {}, () => make(backend)]),
    ];
    const contenders = kinds.map(([name, goals, make]) => ({
      name,
      ...goals,
      operations: 1,
      open: async () => {
        const store = make();
        const live = new Map();
        return {
          fill: (one) => store.make(one, sizeOf(one)),
          work: async (one) => {
            const before = process.memoryUsage.rss();
            let peak = before;
            await walk(store, one, (n) => {
              if (n % COLLECT_EVERY === 0) peak = Math.max(peak, process.memoryUsage.rss());
            });
            return {
              figures: { 'peak RSS growth, MB': (peak - before) / MB, ...(live.has(one) ? { 'peak live growth, MB': live.get(one) } : {}) },
            };
          },
          prepare: async (one) => {
            if (live.has(one)) return;
            const used = () => {
              globalThis.gc();
              const { heapUsed, external } = process.memoryUsage();
              return heapUsed + external;
            };
            const before = used();
            let peak = 0;
            await walk(store, one, (n) => {
              if (n % COLLECT_EVERY === 0) peak = Math.max(peak, used() - before);
            });
            live.set(one, peak / MB);
          },
          check: async (one) => walk(store, one, () => undefined),
          close: () => store.close(),
        };
      },
    }));
    if (provider === 'postgres') contenders.push({ name: 'COPY through psql', operations: 1, open: () => openCopy(backend) });
    await compare({
      name: 'export',
      title,
      provider,
      what: 'export',
      unit: UNITS.millis,
      ratio: 'cost',
      cases: [size / 10, size].map(nameOf),
      contenders,
      settle: backend.settle,
      repetitions: repetitions ?? 5,
      servers: backend.versions,
    });
  });
}
