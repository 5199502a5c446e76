// Bytes a message takes after turn-by-turn writing, by length of the conversation, beside the least a store could take: a row
// (id, number, text) or a list entry for each message. PostgreSQL: whole relations with TOAST and indexes, vacuumed every 200
// messages of a conversation, as autovacuum does on a store that grows more slowly. Redis: growth of used_memory, so nobody else
// may use the server. SQLite: the file after it is closed, and what of it is free.
import { statSync } from 'node:fs';
import { withBackend } from './lib/backends.mjs';
import { compare, UNITS } from './lib/compare.mjs';
import { turnOf } from './lib/turns.mjs';
import { count } from './lib/workloads.mjs';

export const title = 'bytes a message takes, written turn by turn (messages of 400 characters)';
export const providers = ['sqlite', 'redis', 'postgres'];

/** Name → [conversations, messages of each]. */
const SHAPES = { '2 messages': [2000, 2], '50 messages': [200, 50], '2,000 messages': [10, 2000] };
const IN_FLIGHT = 500;
const header = (c) => ({ userId: `user-${c % 1000}` });
const idOf = (c) => `user-${c % 1000}:conversation-${c}`;

/** Writes conversations turn by turn; `vacuum` comes every 200 messages of each. */
async function write(store, conversations, messages, vacuum) {
  for (let held = 0; held < messages; held += 2) {
    if (held % 200 === 198) await vacuum?.();
    for (let from = 0; from < conversations; from += IN_FLIGHT) {
      const ids = Array.from({ length: Math.min(IN_FLIGHT, conversations - from) }, (_, n) => from + n);
      await Promise.all(ids.map((c) => (store.provider ? appendTo(store.provider, c) : store.fill(idOf(c), turnOf()))));
    }
  }
  for (const c of [0, conversations - 1]) {
    const held = await store.count(idOf(c));
    if (held !== messages) throw new Error(`${idOf(c)} holds ${held} messages of ${messages}`);
  }
}

async function appendTo(provider, c) {
  const result = await provider.appendMessages(idOf(c), turnOf(), { topic: 'booking' }, { createIfMissing: true, ...header(c) });
  if (!result.ok) throw result.error;
}

/** Bytes that storing something takes, by backend: opens a store, lets it be written and closes it. */
const MEASURES = {
  async sqlite({ DatabaseSync }, open, writing) {
    const store = await open();
    await writing(store);
    await store.close();
    const db = new DatabaseSync(store.path);
    const { bytes } = db.prepare('SELECT freelist_count * page_size AS bytes FROM pragma_freelist_count, pragma_page_size').get();
    db.close();
    return [statSync(store.path).size, bytes];
  },
  async redis({ admin }, open, writing) {
    const used = async () => Number(/used_memory:(\d+)/.exec(await admin.info('memory'))[1]);
    const store = await open();
    await store.fill('warm', turnOf()); // scripts and buffers of connections are not what is measured
    const before = await used();
    await writing(store);
    const bytes = (await used()) - before;
    await store.close();
    return bytes;
  },
  async postgres({ admin, schema }, open, writing) {
    const store = await open();
    const tables = (store.tables ?? [store.table]).map((table) => (table.includes('.') ? table : `${schema}.${table}`));
    const vacuum = () => admin.query(`VACUUM ANALYZE ${tables.join(', ')}`);
    await writing(store, vacuum);
    await store.close(); // packing that is under way ends with it
    await vacuum();
    const { rows } = await admin.query(`SELECT ${tables.map((table) => `pg_total_relation_size('${table}')`).join(' + ')} AS bytes`);
    return Number(rows[0].bytes);
  },
};

const PACKED = { compressionThreshold: 100 };
const GOAL = { max: 0.5, cases: ['2,000 messages'] };

/** What is measured on a backend: name → [how it is opened, options, goal against the bare one]. The bare one comes first. */
const CONTENDERS = {
  sqlite: { 'bare rows': [], jaf: [{}], 'jaf, compressionThreshold 100': [PACKED, GOAL] },
  redis: { 'bare list': [], jaf: [{}], 'jaf, ttl': [{ ttl: 86_400 }], 'jaf, compressionThreshold 100': [PACKED, GOAL] },
  postgres: { 'bare rows': [], 'jaf (rows)': [{}], 'jaf (rows), compressionThreshold 100': [PACKED, GOAL], 'jaf (document)': [{}] },
};

/** Runs it with one provider. */
export async function run({ provider }) {
  await withBackend(provider, async (backend) => {
    const [bareName] = Object.keys(CONTENDERS[provider]);
    await compare({
      name: 'bytes',
      title,
      provider,
      what: 'message',
      unit: UNITS.bytes,
      ratio: 'cost',
      cases: Object.keys(SHAPES),
      once: true,
      contenders: Object.entries(CONTENDERS[provider]).map(([name, [options, goal = {}]]) => {
        const [open] = Object.values(
          options === undefined ? backend.bare : name.includes('document') ? { open: backend.jaf['jaf (document)'] } : backend.jaf,
        );
        return {
          name,
          ...(options === undefined ? {} : { against: { [bareName]: goal } }),
          operations: 1,
          // every append of a long document writes all of it again: minutes
          cases: (one) => !(name === 'jaf (document)' && SHAPES[one][1] > 50),
          open: async () => ({
            work: async (one) => {
              const [conversations, messages] = SHAPES[one];
              const measured = await MEASURES[provider](
                backend,
                () => open(options),
                (store, vacuum) => write(store, conversations, messages, vacuum),
              );
              const [bytes, free] = [measured].flat();
              return {
                value: bytes / conversations / messages,
                figures: {
                  'bytes a conversation': bytes / conversations,
                  ...(free === undefined ? {} : { 'of it free pages, bytes a message': free / conversations / messages }),
                },
              };
            },
            check: async () => undefined, // each writing counts what it stored
            close: async () => undefined,
          }),
        };
      }),
      notes: [
        Object.values(SHAPES)
          .map(([conversations, messages]) => `${count(conversations)} conversations of ${count(messages)}`)
          .join(', '),
      ],
      servers: backend.versions,
    });
  });
}
