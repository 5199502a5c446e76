import pg from 'pg';
import { afterAll, beforeAll, it } from 'vitest';
import { createPostgresDriver } from '../../src/memory/providers/postgres/driver.js';
import { compareWithReference } from '../support/differential.js';
import { usePostgres } from '../support/postgres.js';

let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Pool;
const schema = `jaf_test_differential_${process.pid}`;

beforeAll(async () => {
  server = await usePostgres();
  admin = new pg.Pool({ connectionString: server.url });
  admin.on('error', () => undefined); // the server may end before the last idle connection has
});
afterAll(async () => {
  await admin?.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await admin?.end();
  await server?.destroy();
});

it('answers what the reference answers, step by step', { timeout: 600_000 }, async () => {
  const mine = createPostgresDriver({ connectionString: server.url, ssl: false, schema, sweep: false });
  await mine.open();
  const tables = ['conversations', ...['messages', 'segments', 'operations', 'leftovers', 'bars'].map((part) => `conversations_${part}`)];
  try {
    await compareWithReference(mine, () =>
      admin.query(
        `TRUNCATE ${tables.map((t) => `${schema}.${t}`).join(', ')}; DELETE FROM ${schema}.conversations_settings WHERE name <> 'key'`,
      ),
    );
  } finally {
    await mine.close();
  }
});
