// npm run bench -- postgres-partitions: what hash partitions cost. The same calls on a store as the provider makes it and on
// one with 16 partitions, turn about. Needs JAF_TEST_POSTGRES_URL, a server where schemas may be made; they are dropped.
import { execFileSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { createPostgresProvider, unwrap } from 'jaf/memory';
import pg from 'pg';
import { turnOf } from './turns.mjs';

const CONVERSATIONS = 200;
const REPETITIONS = 9;
const CALLS = 200;
const url = process.env.JAF_TEST_POSTGRES_URL;
if (!url) {
  console.error('Set JAF_TEST_POSTGRES_URL to a server this benchmark may use.');
  process.exit(2);
}
const schema = `jaf_bench_${process.pid}`;
const admin = new pg.Client({ connectionString: url });
await admin.connect();
await admin.query(`CREATE SCHEMA ${schema}`);
const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
await admin.query(
  execFileSync(process.execPath, [cli, 'schema', '--schema', schema, '--table', 'cut', '--partitions', '16'], { encoding: 'utf8' }),
);

const open = (tableName) => createPostgresProvider({ connectionString: url, schema, tableName, sweep: false });
const stores = { 'one table': await open('whole'), '16 partitions': await open('cut') };
for (const store of Object.values(stores)) {
  for (let n = 0; n < 20; n++) {
    const writes = Array.from({ length: CONVERSATIONS }, (_, c) =>
      store.appendMessages(`c${c}`, turnOf(), undefined, { createIfMissing: true, userId: `u${c % 20}` }),
    );
    for (const result of await Promise.all(writes)) unwrap(result);
  }
}
await admin.query(`VACUUM ANALYZE`);
const calls = {
  'append a turn': (store, n) => store.appendMessages(`c${n % CONVERSATIONS}`, turnOf()).then(unwrap),
  'newest 20 messages': (store, n) => store.getRecentMessages(`c${n % CONVERSATIONS}`, 20),
  'a user’s newest 10 headers': (store, n) => store.findConversations({ userId: `u${n % 20}`, limit: 10, messageLimit: 0 }),
};
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const times = Object.fromEntries(
  Object.keys(calls).map((call) => [call, Object.fromEntries(Object.keys(stores).map((store) => [store, []]))]),
);
for (let repetition = 0; repetition < REPETITIONS; repetition++) {
  const order = repetition % 2 === 0 ? Object.entries(stores) : Object.entries(stores).reverse();
  for (const [call, work] of Object.entries(calls)) {
    for (const [name, store] of order) {
      const started = performance.now();
      for (let n = 0; n < CALLS; n++) await work(store, n);
      times[call][name].push((performance.now() - started) / CALLS);
    }
  }
}
for (const store of Object.values(stores)) await store.close();
const [{ version }] = (await admin.query(`SELECT current_setting('server_version') AS version`)).rows;
await admin.query(`SET client_min_messages = warning; DROP SCHEMA ${schema} CASCADE`);
await admin.end();
console.log(
  `PostgreSQL ${version}, node ${process.version}, load ${loadavg()[0].toFixed(1)}; milliseconds a call, medians of ${REPETITIONS}`,
);
console.table(
  Object.entries(times).map(([call, byStore]) => {
    const [whole, cut] = Object.values(byStore).map(median);
    return { call, 'one table': whole.toFixed(2), '16 partitions': cut.toFixed(2), ratio: (cut / whole).toFixed(2) };
  }),
);
