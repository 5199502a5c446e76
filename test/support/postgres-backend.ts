/**
 * A backend of the conformance kit over PostgreSQL. All drivers are on one pool, and all cases in one schema that is emptied
 * in between: making tables takes longer than most cases, and prepared statements are as old as they get in production.
 */
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
  /** Prepares the schema before a driver opens a store in it. */
  readonly prepare?: (admin: pg.Pool, schema: string) => Promise<void>;
  /** Every driver has a pool of its own, as a provider made from settings has; nothing is counted then. */
  readonly ownPools?: boolean;
  /** What drivers connect through, when it is not the server itself. */
  readonly through?: (serverUrl: string) => Promise<{ readonly url: string; destroy(): Promise<void> }>;
}

/**
 * Makes the backend; its server starts before all tests of the file and ends after them.
 *
 * @param options - see {@link PostgresBackendOptions}
 */
export function postgresBackend({ name, capabilities, config = {}, bodies, prepare, ownPools, through }: PostgresBackendOptions): Backend {
  let server: Awaited<ReturnType<typeof usePostgres>>;
  let admin: pg.Pool;
  /** What the drivers share: every statement that leaves is counted. */
  let pool: pg.Pool;
  let between: { readonly url: string; destroy(): Promise<void> } | undefined;
  const schema = `jaf_test_${name.replaceAll('-', '_')}_${process.pid}`;
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
    between = await through?.(server.url);
    pool = new pg.Pool({ connectionString: (between ?? server).url, Client: Counting });
    pool.on('error', () => undefined);
    await prepare?.(admin, schema);
  });
  afterAll(async () => {
    await pool?.end();
    await admin?.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    await admin?.end();
    await between?.destroy();
    await server?.destroy();
  });

  const driver = (): ReturnType<typeof createPostgresDriver> =>
    ownPools
      ? createPostgresDriver({ schema, deadline: 60_000, connectionString: server.url, ...config })
      : createPostgresDriver({ schema, deadline: 60_000, ...config }, pool);
  return {
    name,
    capabilities,
    create: async () => driver(),
    reopen: async () => driver(),
    ...(ownPools ? {} : { roundTrips: () => trips }),
    bodies: async () => {
      const { rows } = await admin.query<{ n: string }>(bodies(schema));
      return Number(rows[0]?.n);
    },
    destroy: async () => {
      const { rows } = await admin.query<{ name: string }>(
        "SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
        [schema],
      );
      const emptied = rows
        .filter((row) => !/_(?:migrations|settings)$/.test(row.name))
        .map((row) => `DELETE FROM "${schema}"."${row.name}"`);
      if (emptied.length === 0) return;
      await admin.query([...emptied, `DELETE FROM "${schema}".conversations_settings WHERE name <> 'key'`].join('; '));
    },
  };
}

/** Bodies of the layout `rows`. */
export const rowsBodies = (schema: string): string =>
  `SELECT (SELECT count(*) FROM "${schema}".conversations_messages) + (SELECT count(*) FROM "${schema}".conversations_segments) AS n`;
