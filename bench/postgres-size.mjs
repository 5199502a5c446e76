// npm run bench -- postgres-size: what conversations take on a PostgreSQL server, in bytes.
// 400-byte messages, appended turn by turn (2 messages) through the public methods, beside the least a table could take: a row
// (id, number, text) for each message, and the document's table. Sizes are of the whole relations: table, TOAST and indexes.
// Every 200 messages of a conversation the tables are vacuumed, which autovacuum does on a store that grows more slowly.
// Needs JAF_TEST_POSTGRES_URL, a server where schemas may be made; the one it makes is dropped.
import { createPostgresProvider, unwrap } from 'jaf/memory';
import pg from 'pg';
import { turnOf } from './turns.mjs';

const url = process.env.JAF_TEST_POSTGRES_URL;
if (!url) {
  console.error('Set JAF_TEST_POSTGRES_URL to a server this benchmark may use.');
  process.exit(2);
}
const schema = `jaf_bench_${process.pid}`;
const admin = new pg.Client({ connectionString: url });
await admin.connect();
await admin.query(`CREATE SCHEMA ${schema}`);

const vacuum = (tables) => admin.query(`VACUUM ANALYZE ${tables.map((t) => `${schema}.${t}`).join(', ')}`);
const sizeOf = async (...tables) => {
  await vacuum(tables);
  const { rows } = await admin.query(`SELECT ${tables.map((t) => `pg_total_relation_size('${schema}.${t}')`).join(' + ')} AS bytes`);
  return Number(rows[0].bytes);
};

/** Writes conversations of this many messages; answers bytes of all relations. */
async function provided(name, conversations, messages, options) {
  const provider = await createPostgresProvider({ connectionString: url, schema, tableName: name, sweep: false, ...options });
  const tables = options.layout === 'document' ? [name] : [name, `${name}_messages`, `${name}_segments`];
  for (let held = 0; held < messages; held += 2) {
    if (held % 200 === 198) await vacuum(tables);
    const writes = Array.from({ length: conversations }, (_, c) =>
      provider.appendMessages(
        `user-${c % 1000}:conversation-${c}`,
        turnOf(),
        { topic: 'booking' },
        { createIfMissing: true, userId: `user-${c % 1000}` },
      ),
    );
    for (const result of await Promise.all(writes)) unwrap(result);
  }
  await provider.close(); // packing that is under way ends with it
  return await sizeOf(...tables);
}

async function bareRows(name, conversations, messages) {
  await admin.query(`CREATE TABLE ${schema}.${name} (id text, n bigint, body text, PRIMARY KEY (id, n))`);
  for (let held = 0; held < messages; held += 2) {
    for (let c = 0; c < conversations; c++) {
      const [a, b] = turnOf();
      const values = [`user-${c % 1000}:conversation-${c}`, held, JSON.stringify(a), held + 1, JSON.stringify(b)];
      await admin.query({ name, text: `INSERT INTO ${schema}.${name} VALUES ($1, $2, $3), ($1, $4, $5)`, values });
    }
  }
  return await sizeOf(name);
}

const cases = [
  ['2,000 conversations of 2 messages', 2000, 2],
  ['200 conversations of 50 messages', 200, 50],
  ['10 conversations of 2,000 messages', 10, 2000],
];
const rows = [];
for (const [title, conversations, messages] of cases) {
  const name = `c${conversations}`;
  const stores = {
    'bare rows': await bareRows(`${name}_bare`, conversations, messages),
    rows: await provided(`${name}_rows`, conversations, messages, { layout: 'rows' }),
    'rows, compressionThreshold 100': await provided(`${name}_packed`, conversations, messages, {
      layout: 'rows',
      compressionThreshold: 100,
    }),
  };
  // every append writes the whole document again: long ones take minutes
  if (messages <= 50) stores['document'] = await provided(`${name}_document`, conversations, messages, { layout: 'document' });
  for (const [store, bytes] of Object.entries(stores)) {
    rows.push({
      what: title,
      store,
      'bytes per conversation': Math.round(bytes / conversations),
      'bytes per message': Math.round(bytes / conversations / messages),
      'of bare rows': (bytes / stores['bare rows']).toFixed(2),
    });
  }
}
await admin.query(`SET client_min_messages = warning; DROP SCHEMA ${schema} CASCADE`);
await admin.end();
console.table(rows);
