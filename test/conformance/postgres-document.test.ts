import type { Backend } from 'jaf/memory/testing';
import pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { createPostgresDriver } from '../../src/memory/providers/postgres/driver.js';
import { usePostgres } from '../support/postgres.js';
import { conformance } from './conformance.js';

let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Pool;
/** What the drivers share. */
let pool: pg.Pool;
let stores = 0;
let schema = '';

beforeAll(async () => {
  server = await usePostgres();
  admin = new pg.Pool({ connectionString: server.url });
  admin.on('error', () => undefined); // the server may end before the last idle connection has
  pool = new pg.Pool({ connectionString: server.url });
  pool.on('error', () => undefined);
});
afterAll(async () => {
  await pool?.end();
  await admin?.end();
  await server?.destroy();
});

function driver(): ReturnType<typeof createPostgresDriver> {
  return createPostgresDriver({ schema, layout: 'document', deadline: 60_000 }, pool);
}

const backend: Backend = {
  name: 'postgres-document',
  // a write is a transaction of several trips
  capabilities: ['persistent', 'shared', 'bodies'],
  create: async () => {
    schema = `jaf_test_d${process.pid}_${++stores}`;
    return driver();
  },
  reopen: async () => driver(),
  bodies: async () => {
    const { rows } = await admin.query<{ n: string }>(
      `SELECT coalesce(sum(jsonb_array_length(messages)), 0) AS n FROM "${schema}".conversations`,
    );
    return Number(rows[0]?.n);
  },
  destroy: async () => {
    await admin.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  },
};

conformance(backend);
