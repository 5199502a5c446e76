// The whole kit through PgBouncer in transaction mode: every statement may be carried out by another connection of the server.
import { type Backend } from 'jaf/memory/testing';
import pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { createPostgresDriver } from '../../src/memory/providers/postgres/driver.js';
import { checkPostgresConfig } from '../../src/memory/config.js';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.js';
import { usePostgres } from '../support/postgres.js';
import { conformance } from './conformance.js';

let server: Awaited<ReturnType<typeof usePostgres>>;
let pooler: PgBouncer;
let admin: pg.Pool;
/** What the drivers share: every statement that leaves is counted. */
let pool: pg.Pool;
let stores = 0;
let schema = '';
let trips = 0;

class Counting extends pg.Client {
  override query(...args: never[]): never {
    trips++;
    return (super.query as (...all: never[]) => never).apply(this, args);
  }
}

beforeAll(async () => {
  server = await usePostgres();
  pooler = await startPgBouncer(server.url);
  admin = new pg.Pool({ connectionString: server.url });
  pool = new pg.Pool({ connectionString: pooler.url, Client: Counting });
  for (const each of [admin, pool]) each.on('error', () => undefined); // the server may end before the last idle connection has
});
afterAll(async () => {
  await pool?.end();
  await admin?.end();
  await pooler?.destroy();
  await server?.destroy();
});

const driver = (): ReturnType<typeof createPostgresDriver> =>
  createPostgresDriver(checkPostgresConfig({ schema, deadline: 60_000, preparedStatements: false }), pool);

const backend: Backend = {
  name: 'postgres through PgBouncer',
  capabilities: ['persistent', 'shared', 'bodies', 'roundTrips'],
  create: async () => {
    schema = `jaf_test_bouncer_${process.pid}_${++stores}`;
    return driver();
  },
  reopen: async () => driver(),
  roundTrips: () => trips,
  bodies: async () => {
    const { rows } = await admin.query<{ n: string }>(
      `SELECT (SELECT count(*) FROM "${schema}".conversations_messages) + (SELECT count(*) FROM "${schema}".conversations_segments) AS n`,
    );
    return Number(rows[0]?.n);
  },
  destroy: async () => {
    await admin.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  },
};

conformance(backend);
