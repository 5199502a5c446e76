// PostgreSQL: the provider in both layouts, and prepared statements on a bare table (id, number, text) through one client and
// through a pool of 10.
import { createPostgresProvider } from 'jaf/memory';
import pg from 'pg';
import { postgresUrl } from '../servers.mjs';
import { jafStore, PATIENT } from './jaf.mjs';

/** Opens the backend: tables in a schema of their own, dropped at the end. */
export async function openPostgres() {
  const url = postgresUrl();
  const schema = `jaf_bench_${process.pid}`;
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  await admin.query(`CREATE SCHEMA ${schema}`);
  const [{ version }] = (await admin.query(`SELECT current_setting('server_version') AS version`)).rows;
  const [{ fsync }] = (await admin.query(`SELECT current_setting('fsync') AS fsync`)).rows;
  let tables = 0;
  const provided = (layout) => async (options) => {
    const tableName = `jaf${++tables}`;
    const provider = await createPostgresProvider({
      connectionString: url,
      schema,
      tableName,
      layout,
      sweep: false,
      ...PATIENT,
      ...options,
    });
    return {
      ...jafStore(provider),
      tables: layout === 'rows' ? [tableName, `${tableName}_messages`, `${tableName}_segments`] : [tableName],
    };
  };
  const bare = (connect, end) => async () => {
    const table = `${schema}.bare${++tables}`;
    await admin.query(`CREATE TABLE ${table} (id text COLLATE "C", n bigint, body text NOT NULL, PRIMARY KEY (id, n))`);
    const client = await connect();
    return { ...bareTable(client, table, end), table, client };
  };
  return {
    provider: 'postgres',
    versions: { PostgreSQL: `${String(version).split(' ')[0]} (fsync ${fsync})` },
    url,
    schema,
    admin,
    jaf: { 'jaf (rows)': provided('rows'), 'jaf (document)': provided('document') },
    bare: {
      'bare pg': bare(
        async () => {
          const client = new pg.Client({ connectionString: url });
          await client.connect();
          return client;
        },
        (client) => client.end(),
      ),
      'bare pg Pool of 10': bare(
        async () => new pg.Pool({ connectionString: url, max: 10 }),
        (pool) => pool.end(),
      ),
    },
    settle: async () => {
      const { rows } = await admin.query('SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = $2', [
        schema,
        'r',
      ]);
      for (const { relname } of rows) await admin.query(`VACUUM ANALYZE ${schema}."${relname}"`);
      await admin.query('CHECKPOINT');
    },
    close: async () => {
      await admin.query(`SET client_min_messages = warning; DROP SCHEMA ${schema} CASCADE`);
      await admin.end();
    },
  };
}

function bareTable(client, table, end) {
  const next = new Map();
  const insert = { name: `insert ${table}`, text: `INSERT INTO ${table} VALUES ($1, $2, $3), ($1, $4, $5)` };
  const last = { name: `last ${table}`, text: `SELECT body FROM ${table} WHERE id = $1 ORDER BY n DESC LIMIT $2` };
  const all = { name: `all ${table}`, text: `SELECT body FROM ${table} WHERE id = $1 ORDER BY n` };
  const take = (id, count) => {
    const n = next.get(id) ?? 0;
    next.set(id, n + count);
    return n;
  };
  const parsed = ({ rows }) => rows.map(({ body }) => JSON.parse(body));
  return {
    fill: async (id, messages) => {
      const n = take(id, messages.length);
      await client.query(
        `INSERT INTO ${table} SELECT $1, $2 + ordinality, body FROM unnest($3::text[]) WITH ORDINALITY AS m (body, ordinality)`,
        [id, n - 1, messages.map((message) => JSON.stringify(message))],
      );
    },
    append: (id, [first, second]) => {
      const n = take(id, 2);
      return client.query({ ...insert, values: [id, n, JSON.stringify(first), n + 1, JSON.stringify(second)] });
    },
    recent: async (id, limit) => parsed(await client.query({ ...last, values: [id, limit] })).reverse(),
    whole: async (id) => parsed(await client.query({ ...all, values: [id] })),
    count: async (id) => Number((await client.query(`SELECT count(*) AS n FROM ${table} WHERE id = $1`, [id])).rows[0].n),
    close: async () => void (await end(client)),
  };
}
