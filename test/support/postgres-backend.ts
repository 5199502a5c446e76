/** A backend of the conformance kit over PostgreSQL: each store in a schema of its own, all drivers on one pool. */
import type { Backend } from 'jaf/memory/testing';
import pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { createPostgresDriver } from '../../src/memory/providers/postgres/driver.js';
import type { PostgresConfig } from '../../src/memory/types.js';
import { usePostgres } from './postgres.js';

/** What differs between backends. */
export interface PostgresBackendOptions {
  readonly name: string;
  readonly capabilities: Backend['capabilities'];
  readonly config?: PostgresConfig;
  /** Number of stored bodies, of a schema. */
  readonly bodies: (schema: string) => string;
  /** Prepares a schema before a driver opens a store in it. */
  readonly prepare?: (admin: pg.Pool, schema: string) => Promise<void>;
}

/**
 * Makes the backend; its server starts before all tests of the file and ends after them.
 *
 * @param options - see {@link PostgresBackendOptions}
 */
export function postgresBackend({ name, capabilities, config = {}, bodies, prepare }: PostgresBackendOptions): Backend {
  let server: Awaited<ReturnType<typeof usePostgres>>;
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
    admin = new pg.Pool({ connectionString: server.url });
    admin.on('error', () => undefined); // the server may end before the last idle connection has
    pool = new pg.Pool({ connectionString: server.url, Client: Counting });
    pool.on('error', () => undefined);
  });
  afterAll(async () => {
    await pool?.end();
    await admin?.end();
    await server?.destroy();
  });

  const driver = (): ReturnType<typeof createPostgresDriver> => createPostgresDriver({ schema, deadline: 60_000, ...config }, pool);
  return {
    name,
    capabilities,
    create: async () => {
      schema = `jaf_test_${name.replaceAll('-', '_')}_${process.pid}_${++stores}`;
      await prepare?.(admin, schema);
      return driver();
    },
    reopen: async () => driver(),
    roundTrips: () => trips,
    bodies: async () => {
      const { rows } = await admin.query<{ n: string }>(bodies(schema));
      return Number(rows[0]?.n);
    },
    destroy: async () => {
      await admin.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    },
  };
}

/** Bodies of the layout `rows`. */
export const rowsBodies = (schema: string): string =>
  `SELECT (SELECT count(*) FROM "${schema}".conversations_messages) + (SELECT count(*) FROM "${schema}".conversations_segments) AS n`;
