// `jaf-memory schema`: the printed DDL leaves what migrations leave, a role without DDL rights works with it, and with
// hash partitions an append and a read look into one of them.
import { execFileSync } from 'node:child_process';
import { createPostgresProvider, eraseUser, type MemoryProvider, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Write } from '../../src/memory/driver.js';
import { Appends } from '../../src/memory/providers/postgres/append.js';
import { storeNames } from '../../src/memory/providers/postgres/names.js';
import { Reads } from '../../src/memory/providers/postgres/reads.js';
import { type SchemaOptions, schemaText } from '../../src/memory/providers/postgres/schema.js';
import { psql, usePostgres } from '../support/postgres.js';
import { cli } from './cli-run.js';

let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Client;
const used: string[] = [];
const roles: string[] = [];

function fresh(): string {
  const schema = `jaf_test_ddl${process.pid}_${used.length}`;
  used.push(schema);
  return schema;
}

async function open(schema: string, config: Parameters<typeof createPostgresProvider>[0] = {}): Promise<MemoryProvider> {
  return await createPostgresProvider({ connectionString: server.url, schema, sweep: false, ...config });
}

beforeAll(async () => {
  server = await usePostgres();
  admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
});
afterAll(async () => {
  await admin?.query('SET client_min_messages = warning');
  for (const schema of used) await admin?.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  for (const role of roles) await admin?.query(`DROP OWNED BY "${role}"; DROP ROLE "${role}"`);
  await admin?.end();
  await server?.destroy();
});

/** Everything the catalog says about the relations of a schema, without the schema's name. */
async function catalog(schema: string): Promise<string[]> {
  const { rows } = await admin.query<{ line: string }>(
    `SELECT concat_ws(' | ', c.relname, c.relkind, c.reloptions, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation::regcollation,
        pg_get_expr(d.adbin, d.adrelid), CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END) AS line
      FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
      WHERE c.relnamespace = $1::regnamespace ORDER BY 1`,
    [`"${schema}"`],
  );
  return rows.map(({ line }) => line.replaceAll(`"${schema}"`, 'S').replaceAll(schema, 'S'));
}

/** An append of one message with nothing else to decide. */
function plainWrite(id: string): Write {
  const bodies = [{ text: '1x', bytes: 2 }];
  return { kind: 'append', id, now: 1, writer: { id: 'w', counter: 1 }, retry: false, scoped: false, create: true, bodies };
}

describe('the printed DDL', () => {
  it.each(['rows', 'document'] as const)('of the layout %s leaves exactly what a provider would', async (layout) => {
    const [own, printed] = [fresh(), fresh()];
    await (await open(own, { layout })).close();
    const { stdout, code } = await cli(['schema', '--schema', printed, '--layout', layout]);
    expect(code).toBe(0);
    await admin.query(stdout);
    expect(await catalog(printed)).toEqual(await catalog(own));
    if (layout === 'rows') {
      const ledger = async (schema: string): Promise<unknown> =>
        (await admin.query(`SELECT version FROM "${schema}".conversations_migrations`)).rows;
      expect(await ledger(printed)).toEqual(await ledger(own));
    }
    const keys = await admin.query<{ value: string }>(`SELECT value FROM "${printed}".conversations_settings WHERE name = 'key'`);
    expect(keys.rows.map(({ value }) => /^[0-9a-f]{64}$/.test(value))).toEqual([true]);
  });

  it('is all or nothing, and does not take a store for a new one', async () => {
    const schema = fresh();
    const text = schemaText(storeNames('conversations', schema), { layout: 'rows' });
    await admin.query(text);
    await expect(admin.query(text)).rejects.toThrow(/already exists|duplicate key/);
    await admin.query('ROLLBACK');
    await using provider = await open(schema);
    expect(await provider.getStats()).toMatchObject({ totalConversations: 0 });
  });

  it.each([
    ['rows', { layout: 'rows' }],
    ['rows in partitions', { layout: 'rows', partitions: 16 }],
    ['document', { layout: 'document' }],
  ] as const)('lets a role without DDL rights work (%s), run by psql', async (_name, options: SchemaOptions) => {
    const schema = fresh();
    const role = `jaf-role.${process.pid}@${roles.length}`;
    roles.push(role);
    await admin.query(`CREATE ROLE "${role}" LOGIN`);
    await admin.query(`CREATE SCHEMA "${schema}"`);
    const url = new URL(server.url);
    url.username = encodeURIComponent(role);
    const config = { connectionString: url.href, tableName: 'Chat$1', layout: options.layout };
    // which grant or statement is missing
    await expect(open(schema, config)).rejects.toThrow(`GRANT USAGE ON SCHEMA "${schema}" TO "${role}"`);
    await admin.query(`GRANT USAGE ON SCHEMA "${schema}" TO "${role}"`);
    await expect(open(schema, config)).rejects.toThrow(
      options.layout === 'rows' ? `GRANT USAGE, CREATE ON SCHEMA "${schema}" TO "${role}"` : 'Run as an owner: CREATE TABLE',
    );
    const { stdout } = await cli([
      'schema',
      '--table',
      `${schema}.Chat$1`,
      '--layout',
      options.layout,
      '--role',
      role,
      ...(options.partitions ? ['--partitions', String(options.partitions)] : []),
    ]);
    execFileSync(psql(), ['-q', '-X', '-v', 'ON_ERROR_STOP=1', server.url], { input: stdout, stdio: ['pipe', 'ignore', 'pipe'] });
    const { rows } = await admin.query('SELECT has_schema_privilege($1, $2, $3) AS ddl', [role, schema, 'CREATE']);
    expect(rows).toEqual([{ ddl: false }]);
    await using provider = await open(schema, { ...config, compressionThreshold: 10, ttl: 3600 });
    unwrap(await provider.storeMessages('c', [user('1')], { a: 1 }, { userId: 'ann', operationId: 'x', maxMessages: 1 }));
    unwrap(
      await provider.appendMessages(
        'c',
        Array.from({ length: 300 }, (_, n) => user(`m${n}`)),
      ),
    );
    unwrap(await provider.appendMessages('c', [user('last')]));
    expect((await provider.getConversation('c'))?.messages).toHaveLength(302);
    unwrap(await provider.storeMessages('d', [user('1')], undefined, { ttl: 0.01, userId: 'bob' }));
    await expect.poll(() => provider.purgeExpired()).toBe(1);
    expect(await provider.deleteConversation('c')).toBe(true);
    expect(await provider.clearUserConversations('ann')).toBe(0);
    await eraseUser(provider, 'bob', { audit: { append: async () => ({ hash: 'x' }) } });
    expect(await provider.healthCheck()).toMatchObject({ healthy: true });
  });

  it('grants in the schema of search_path when none is named', async () => {
    const schema = fresh();
    const role = `jaf-role.${process.pid}@${roles.length}`;
    roles.push(role);
    await admin.query(`CREATE ROLE "${role}" LOGIN; CREATE SCHEMA "${schema}"`);
    const text = schemaText(storeNames(), { layout: 'rows', role });
    await admin.query(`SET search_path = "${schema}"`);
    await admin.query(text);
    await admin.query('RESET search_path');
    const { rows } = await admin.query('SELECT has_schema_privilege($1, $2, $3) AS usage', [role, schema, 'USAGE']);
    expect(rows).toEqual([{ usage: true }]);
  });

  it('says which option is wrong', async () => {
    for (const [args, text] of [
      [['--table', 'x; DROP TABLE y'], '--table must be the name of a table'],
      [['--table', 'a.b.c'], '--table must be'],
      [['--schema', 'x"y'], '--schema must be'],
      [['--role', "x'y"], '--role must be'],
      [['--partitions', '1'], '--partitions must be an integer from 2 to 16'],
      [['--partitions', '16', '--layout', 'document'], '--partitions is for the layout rows'],
      [['--table', 'a.b', '--schema', 'c'], 'another schema'],
      [['--layout', 'table'], 'choices are rows, document'],
    ] as const) {
      const { code, stdout, stderr } = await cli(['schema', ...args]);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain(text);
    }
    expect(() => schemaText(storeNames('n'.repeat(48)), { layout: 'rows', partitions: 1024 })).toThrow('longer than 63 bytes');
  });

  it('takes table, schema and layout of the configured store, and connects to nothing', async () => {
    const env = {
      JAF_MEMORY_TYPE: 'postgres',
      JAF_POSTGRES_CONNECTION_STRING: 'postgresql://u:secret@127.0.0.1:1/x',
      JAF_POSTGRES_TABLE_NAME: 'app.chats',
      JAF_POSTGRES_LAYOUT: 'document',
    };
    const { code, stdout } = await cli(['schema', '--json'], { env });
    expect(code).toBe(0);
    const { sql } = JSON.parse(stdout) as { sql: string };
    expect(sql).toContain('CREATE TABLE "app"."chats" (\n    id SERIAL PRIMARY KEY');
    expect((await cli(['schema', '--schema', 'other'], { env })).stdout).toContain('"other"."chats"');
    expect((await cli(['schema'], { env: {} })).stdout).toContain('CREATE TABLE "conversations" (');
  });
});

describe('16 hash partitions', () => {
  it('an append and a read look into one partition, and the size counts them all', async () => {
    const schema = fresh();
    const names = storeNames('conversations', schema);
    await admin.query(schemaText(names, { layout: 'rows', partitions: 16 }));
    await using provider = await open(schema);
    unwrap(
      await provider.storeMessages(
        'c',
        Array.from({ length: 50 }, () => user('x'.repeat(1000))),
      ),
    );
    const tables = await admin.query<{ n: string }>(
      `SELECT count(DISTINCT tableoid) AS n FROM (SELECT tableoid FROM "${schema}".conversations UNION ALL SELECT tableoid FROM "${schema}".conversations_messages) t`,
    );
    expect(Number(tables.rows[0]?.n)).toBe(2);
    const health = await provider.healthCheck();
    expect(health.healthy && Number(health.metrics?.['memoryUsage'])).toBeGreaterThan(50_000);

    const append = new Appends(names).one(plainWrite('c'))?.statement.text ?? '';
    const read = new Reads(names).one({ id: 'c', now: 1, window: { kind: 'last', count: 20 } }, true).statement.text;
    const touched = async (text: string, values: string): Promise<string[]> => {
      await admin.query(`BEGIN; PREPARE cost AS ${text}`);
      const { rows } = await admin.query<{ 'QUERY PLAN': [{ Plan: object }] }>(`EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE cost (${values})`);
      await admin.query('DEALLOCATE cost; ROLLBACK');
      const found: string[] = [];
      JSON.stringify(rows[0]?.['QUERY PLAN'][0].Plan, (_key, value: unknown) => {
        const node = value as { 'Relation Name'?: string; 'Actual Loops'?: number } | null;
        if (typeof node === 'object' && node?.['Relation Name'] && node['Actual Loops'] !== 0) found.push(node['Relation Name']);
        return value;
      });
      return [...new Set(found.filter((name) => /_p\d+$/.test(name)))].sort();
    };
    for (const mode of ['force_custom_plan', 'force_generic_plan']) {
      await admin.query(`SET plan_cache_mode = ${mode}`);
      const reads = await touched(read, "'c', 1, 20");
      // one of each table that is read: headers, messages; segments only where there are packed messages
      expect(reads.map((name) => name.replace(/_p\d+$/, ''))).toEqual(['conversations_messages', 'conversations']);
      const appends = await touched(append, "'c', 1, 'w', 1, 1, 2, NULL, NULL, NULL, NULL, false, '1x'");
      expect(appends.filter((name) => /^conversations_p\d+$/.test(name)).length).toBeLessThanOrEqual(1);
    }
    await admin.query('RESET plan_cache_mode');
  });
});
