// Bytes of a whole store: each contender has a database, or this process, to itself.
const measures = {
  memory: async () => {
    globalThis.gc();
    globalThis.gc();
    return process.memoryUsage().heapUsed;
  },
  // each key with all it holds, as the server counts it
  redis: async (url) => {
    const { createClient } = await import('redis');
    const client = await createClient({ url }).connect();
    let bytes = 0;
    for await (const keys of client.scanIterator({ COUNT: 1000 }))
      for (const key of [keys].flat()) bytes += Number(await client.sendCommand(['MEMORY', 'USAGE', key, 'SAMPLES', '0']));
    await client.quit();
    return bytes;
  },
  // tables with their TOAST and indexes, after the vacuum that autovacuum would do
  postgres: async (url) => {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query('VACUUM');
    const { rows } = await client.query(
      "SELECT sum(pg_total_relation_size(c.oid)) AS bytes FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'",
    );
    await client.end();
    return Number(rows[0].bytes);
  },
};

/** Bytes of everything in a store: `memory` (of this process), `redis` (of this database), `postgres` (of this database). */
export const sizeOf = ({ store, url }) => measures[store](url);
