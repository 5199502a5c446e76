import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  assistant,
  createPostgresProvider,
  MemoryConfigError,
  MemoryConnectionError,
  type MemoryProvider,
  type PostgresConfig,
  textOf,
  toolResult,
  unwrap,
  user,
} from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPostgresDriver } from '../../src/memory/providers/postgres/driver.js';
import { schemaStatements } from '../../src/memory/providers/postgres/migrate.js';
import { storeNames } from '../../src/memory/providers/postgres/names.js';
import { usePostgres } from '../support/postgres.js';

let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Pool;
let schemas = 0;
const used: string[] = [];

function fresh(): string {
  const schema = `jaf_test_${process.pid}_${++schemas}`;
  used.push(schema);
  return schema;
}

function open(config: PostgresConfig = {}, client?: Parameters<typeof createPostgresProvider>[1]): Promise<MemoryProvider> {
  return createPostgresProvider({ ...(client ? {} : { connectionString: server.url }), sweep: false, ...config }, client);
}

async function textsOf(provider: MemoryProvider, id: string): Promise<string[]> {
  return ((await provider.getConversation(id))?.messages ?? []).map(textOf);
}

async function failure<E>(work: Promise<unknown>, type: new (...args: never[]) => E): Promise<E> {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(type);
  return error as E;
}

const worker = fileURLToPath(new URL('./postgres-worker.mjs', import.meta.url));
function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [worker, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (err += data.toString()));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

beforeAll(async () => {
  server = await usePostgres();
  admin = new pg.Pool({ connectionString: server.url });
  admin.on('error', () => undefined); // the server may end before the last idle connection has
});
afterAll(async () => {
  for (const schema of used) await admin?.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  await admin?.end();
  await server?.destroy();
});

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe('PostgreSQL: several writers', () => {
  it('4 processes append 250 messages each to one conversation: all are kept, once, in each one’s order', async () => {
    const schema = fresh();
    const results = await Promise.all(range(4).map((n) => run('append', server.url, schema, 'chat', `p${n}`, '250')));
    for (const result of results) expect(result).toEqual({ code: 0, out: '', err: '' });
    await using provider = await open({ schema });
    const page = await provider.getMessages('chat', { limit: 2000 });
    expect(page.items.map((item) => item.seq)).toEqual(range(1000));
    const texts = page.items.map((item) => textOf(item.message));
    for (const n of range(4)) expect(texts.filter((text) => text.startsWith(`p${n}-`))).toEqual(range(250).map((i) => `p${n}-${i}`));
  });

  it('20 processes start at once on an empty database', async () => {
    const schema = fresh();
    const results = await Promise.all(range(20).map(() => run('open', server.url, schema)));
    for (const { code, err } of results) expect([code, err]).toEqual([0, '']);
    expect((await admin.query(`SELECT version FROM "${schema}".conversations_migrations`)).rows).toEqual([{ version: 1 }]);
  });

  it('a duplicate sent while the first is in flight is answered with the first’s receipt', async () => {
    const schema = fresh();
    await using a = await open({ schema });
    await using b = await open({ schema });
    unwrap(await a.storeMessages('chat', []));
    const blocker = await admin.connect();
    try {
      await blocker.query(`BEGIN`);
      await blocker.query(`SELECT 1 FROM "${schema}".conversations WHERE conversation_id = 'chat' FOR UPDATE`);
      const options = { operationId: 'op-1' };
      const both = Promise.all([a, b].map(async (p) => unwrap(await p.appendMessages('chat', [user('once')], undefined, options))));
      await waiting(2);
      await blocker.query('COMMIT');
      const receipts = await both;
      expect(receipts.map((r) => r.duplicate).sort()).toEqual([false, true]);
      expect(new Set(receipts.map((r) => r.version)).size).toBe(1);
      expect(await textsOf(a, 'chat')).toEqual(['once']);
    } finally {
      blocker.release();
    }
  });

  it('an append that waits behind a delete finds nothing, and one that waits behind an append comes after it', async () => {
    const schema = fresh();
    await using a = await open({ schema });
    await using b = await open({ schema });
    unwrap(await a.storeMessages('chat', [user('1')]));
    const holder = new pg.Client({ connectionString: server.url });
    await holder.connect();
    try {
      await using lent = await open({ schema }, holder);
      await holder.query('BEGIN');
      expect(unwrap(await lent.appendMessages('chat', [user('2')])).messageCount).toBe(2);
      const behind = a.appendMessages('chat', [user('3')], undefined, { maxMessages: 2 });
      await waiting(1);
      await holder.query('COMMIT');
      expect(unwrap(await behind).messageCount).toBe(2);
      expect(await textsOf(b, 'chat')).toEqual(['2', '3']);

      await holder.query('BEGIN');
      expect(await lent.deleteConversation('chat')).toBe(true);
      const late = b.appendMessages('chat', [user('late')]);
      await waiting(1);
      await holder.query('COMMIT');
      const result = await late;
      expect(result.ok ? 'ok' : result.error.code).toBe('not_found');
      expect(await b.getConversation('chat')).toBeUndefined();
    } finally {
      await holder.end();
    }
  });

  it('of two creators at once one creates, the other finds it', async () => {
    const schema = fresh();
    await using a = await open({ schema });
    const holder = new pg.Client({ connectionString: server.url });
    await holder.connect();
    try {
      await using lent = await open({ schema }, holder);
      await holder.query('BEGIN');
      expect(unwrap(await lent.storeMessages('new', [user('theirs')], undefined, { expectedVersion: 0 })).created).toBe(true);
      const second = a.storeMessages('new', [user('mine')], undefined, { expectedVersion: 0 });
      const third = a.appendMessages('new', [user('appended')], undefined, { createIfMissing: true });
      await waiting(1);
      await holder.query('COMMIT');
      const result = await second;
      expect(result.ok ? 'ok' : result.error.code).toBe('version');
      expect(unwrap(await third)).toMatchObject({ created: false, messageCount: 2 });
    } finally {
      await holder.end();
    }
  });

  it('a user is barred from writes that began before, too', async () => {
    const schema = fresh();
    const driver = createPostgresDriver({ connectionString: server.url, ssl: false, schema });
    await driver.open();
    const blocker = await admin.connect();
    const write = (id: string, n: number): Parameters<typeof driver.write>[0] => [
      {
        kind: 'append',
        id,
        now: 1_705_312_800_000 + n,
        writer: { id: 'w', counter: n },
        retry: false,
        scoped: false,
        owner: 'ann',
        ownerHash: 'hash',
        create: true,
        bodies: [{ text: 'x', bytes: 1 }],
      },
    ];
    try {
      await driver.write(write('chat', 1), { timeout: 5000 });
      await blocker.query(`BEGIN`);
      await blocker.query(`SELECT 1 FROM "${schema}".conversations WHERE conversation_id = 'chat' FOR UPDATE`);
      const underWay = driver.write(write('chat', 2), { timeout: 20_000 });
      await waiting(1);
      let barred = false;
      const bar = driver.bar('hash', 1_705_312_900_000, { timeout: 20_000 }).then(() => (barred = true));
      await expect.poll(async () => (await admin.query(`SELECT 1 FROM "${schema}".conversations_bars`)).rowCount).toBe(1);
      expect(await driver.write(write('other', 3), { timeout: 5000 })).toEqual([{ kind: 'erased' }]);
      expect(barred).toBe(false);
      await blocker.query('COMMIT');
      expect((await underWay)[0]?.kind).toBe('ok');
      await bar;
      expect(await driver.write(write('chat', 4), { timeout: 5000 })).toEqual([{ kind: 'erased' }]);
    } finally {
      blocker.release();
      await driver.close();
    }
  });
});

/** Waits until so many statements wait for a lock. */
async function waiting(count: number): Promise<void> {
  await expect
    .poll(
      async () =>
        (await admin.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'jaf'")).rowCount,
      { timeout: 20_000 },
    )
    .toBeGreaterThanOrEqual(count);
}

describe('PostgreSQL: connections', () => {
  it('a Client inside of a transaction: written with it, rolled back with it', async () => {
    const schema = fresh();
    await using provider = await open({ schema });
    unwrap(await provider.storeMessages('kept', [user('1')]));
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      const lent = await open({ schema }, client);
      await client.query('BEGIN');
      const calls = [
        ...range(20).map(async (n) => unwrap(await lent.appendMessages('kept', [user(`in ${n}`)]))),
        lent.storeMessages('new', [user('x')]),
      ];
      await Promise.all(calls);
      expect(await textsOf(lent, 'kept')).toEqual(['1', ...range(20).map((n) => `in ${n}`)]);
      expect(await textsOf(provider, 'kept')).toEqual(['1']);
      await client.query('ROLLBACK');
      expect(await textsOf(lent, 'kept')).toEqual(['1']);
      expect(await lent.getConversation('new')).toBeUndefined();
      await client.query('BEGIN');
      unwrap(await lent.appendMessages('kept', [user('2')]));
      await client.query('COMMIT');
      expect(await textsOf(provider, 'kept')).toEqual(['1', '2']);
      await lent.close();
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    } finally {
      await client.end();
    }
  });

  it('a transaction that holds one conversation does not stall pooled writes to another', async () => {
    const schema = fresh();
    await using provider = await open({ schema, poolMaxSize: 3 });
    for (const id of ['held', 'free', 'third']) unwrap(await provider.storeMessages(id, []));
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      await using lent = await open({ schema }, client);
      await client.query('BEGIN');
      unwrap(await lent.appendMessages('held', [user('mine')]));
      const blocked = provider.appendMessages('held', [user('after')]);
      // in one batch with the blocked one and behind it
      const others = await Promise.all(range(30).map((n) => provider.appendMessages(n % 2 === 0 ? 'free' : 'third', [user(`n${n}`)])));
      for (const other of others) unwrap(other);
      await client.query('COMMIT');
      expect(unwrap(await blocked).messageCount).toBe(2);
      expect(await textsOf(provider, 'held')).toEqual(['mine', 'after']);
    } finally {
      await client.end();
    }
  });

  it('a Pool and a PoolClient of the caller stay open, and the pool may have parsers of its own', async () => {
    const schema = fresh();
    const types = { getTypeParser: (oid: number, format?: never): unknown => (oid === 20 ? BigInt : pg.types.getTypeParser(oid, format)) };
    const pool = new pg.Pool({ connectionString: server.url, types: types as never });
    try {
      const provider = await open({ schema }, pool);
      unwrap(await provider.appendMessages('chat', [user('1'), assistant('2')], { a: 1 }, { createIfMissing: true }));
      expect(await provider.findConversations()).toMatchObject([{ conversationId: 'chat', messageCount: 2, metadata: { a: 1 } }]);
      expect(await provider.getStats()).toMatchObject({ totalConversations: 1, totalMessages: 2 });
      await provider.close();
      const client = await pool.connect();
      const lent = await open({ schema }, client);
      expect(await textsOf(lent, 'chat')).toEqual(['1', '2']);
      await lent.close();
      client.release();
      expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    } finally {
      await pool.end();
    }
  });

  it('inside of a transaction nothing is created; outside the schema is, and the client stays usable', async () => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      const schema = fresh();
      for (const layout of ['rows', 'document'] as const) {
        await client.query('BEGIN');
        const error = await failure(open({ schema, layout }, client), MemoryConfigError);
        expect(error.message).toContain('outside of one');
        expect((await client.query('SELECT to_regnamespace($1) AS s', [schema])).rows).toEqual([{ s: null }]);
        await client.query('COMMIT');
      }
      unwrap(await (await open({ schema }, client)).storeMessages('c', [user('one')]));
      await client.query('BEGIN');
      unwrap(await (await open({ schema }, client)).appendMessages('c', [user('two')]));
      await client.query('ROLLBACK');
      expect((await (await open({ schema })).getConversation('c'))?.messageCount).toBe(1);
    } finally {
      await client.end();
    }
  });

  it('by parts, without prepared statements, with a warm pool', async () => {
    const schema = fresh();
    const url = new URL(server.url);
    const parts = { host: url.hostname, port: Number(url.port), username: url.username, database: url.pathname.slice(1) };
    await using provider = await open({
      ...parts,
      connectionString: undefined as never,
      ssl: false,
      schema,
      preparedStatements: false,
      poolMinSize: 3,
      poolMaxSize: 4,
      poolMaxQueries: 5,
    });
    expect((await provider.healthCheck()).metrics.activeConnections).toBe(3);
    await Promise.all(
      range(50).map(async (n) => unwrap(await provider.appendMessages(`c${n % 5}`, [user(`n${n}`)], undefined, { createIfMissing: true }))),
    );
    expect((await provider.getStats()).totalMessages).toBe(50);
  });

  it('a server without TLS is an error, not a connection in clear text', async () => {
    const error = await failure(
      open({ connectionString: server.url.replace('sslmode=disable', 'sslmode=require'), schema: fresh() }),
      MemoryConfigError,
    );
    expect(error.message).toContain('TLS');
  });

  it('names what cannot be reached, and what may not be done', async () => {
    const refused = await failure(open({ connectionString: 'postgresql://jaf@127.0.0.1:1/x?sslmode=disable' }), MemoryConnectionError);
    expect([refused.code, refused.outcome]).toEqual(['refused', 'not_applied']);
    const database = await failure(open({ connectionString: server.url.replace('/postgres?', '/no_such_database?') }), MemoryConfigError);
    expect(database.message).toContain('no such database');
  });
});

describe('PostgreSQL: schema and roles', () => {
  it('takes names with case, reserved words and other scripts; refuses what is not a name', async () => {
    for (const [tableName, schema] of [
      ['user', 'Select'],
      ['Mixed', undefined],
      ['größe', undefined],
      ['t'.repeat(48), undefined],
      ['group', undefined],
    ] as const) {
      const own = schema ?? fresh();
      used.push(own);
      await using provider = await open({ tableName: schema ? `${own}.${tableName}` : tableName, ...(schema ? {} : { schema: own }) });
      unwrap(await provider.storeMessages('chat', [user('1')]));
      expect((await admin.query(`SELECT conversation_id FROM "${own}"."${tableName}"`)).rows).toEqual([{ conversation_id: 'chat' }]);
    }
    for (const tableName of [
      'conversations; DROP TABLE users',
      'a"b',
      "a'b",
      'a b',
      'a.b.c',
      '',
      '1a',
      'x'.repeat(49),
      'a/*',
      'public.',
      '.a',
      'a\\b',
      'a\nb',
    ]) {
      expect((await failure(open({ tableName }), MemoryConfigError)).setting, tableName).toBe('tableName');
    }
    expect((await failure(open({ schema: 'x"; DROP SCHEMA public' }), MemoryConfigError)).setting).toBe('schema');
  });

  it('keeps injection strings as data', async () => {
    await using provider = await open({ schema: fresh() });
    const evil = ["'; DROP TABLE conversations; --", '" OR 1=1', '$1', '\\', '%', '*', '{}', '{"a"}', 'NULL', '$jaf$'];
    for (const text of evil) {
      unwrap(
        await provider.appendMessages(
          text,
          [user(text), toolResult(text, text, text)],
          { [text]: text, user_id: text, trace_id: text },
          { createIfMissing: true, operationId: text },
        ),
      );
    }
    for (const text of evil) {
      const [found, ...others] = await provider.findConversations({ userId: text, traceId: text, metadata: { [text]: text } });
      expect(others).toEqual([]);
      expect(found).toMatchObject({ conversationId: text, userId: text, metadata: { [text]: text } });
      expect(found?.messages.map((m) => m.content)).toEqual([text, text]);
    }
  });

  it('refuses a newer schema and a foreign table, and says what to do', async () => {
    const schema = fresh();
    await (await open({ schema })).close();
    await admin.query(`INSERT INTO "${schema}".conversations_migrations (version) VALUES (99)`);
    const newer = await failure(open({ schema }), MemoryConfigError);
    expect(newer.code).toBe('schema_newer');
    expect(newer.message).toContain('Upgrade');
    const other = fresh();
    await admin.query(`CREATE SCHEMA "${other}"; CREATE TABLE "${other}".conversations (id int)`);
    expect((await failure(open({ schema: other }), MemoryConfigError)).message).toContain('another shape');
  });

  it('a role without DDL rights works when the schema is there, and is told what is missing when it is not', async () => {
    const schema = fresh();
    const role = `jaf_test_role_${process.pid}`;
    await admin.query(`CREATE ROLE "${role}" LOGIN`);
    const url = new URL(server.url);
    url.username = role;
    try {
      const missing = await failure(open({ connectionString: url.href, schema }), MemoryConfigError);
      expect(missing.message).toContain(`CREATE SCHEMA "${schema}" AUTHORIZATION "${role}"`);
      await admin.query(`CREATE SCHEMA "${schema}"`);
      await admin.query(schemaStatements(storeNames('conversations', schema)));
      const grant = await failure(open({ connectionString: url.href, schema }), MemoryConfigError).catch(() => undefined);
      expect(grant?.message ?? '').toContain('GRANT');
      await admin.query(
        `GRANT USAGE ON SCHEMA "${schema}" TO "${role}"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO "${role}"`,
      );
      await using provider = await open({ connectionString: url.href, schema });
      unwrap(await provider.storeMessages('chat', [user('1')], undefined, { ttl: 0.01, maxMessages: 1, operationId: 'x' }));
      expect(await provider.clearUserConversations('nobody')).toBe(0);
      await expect.poll(() => provider.purgeExpired()).toBe(1);
    } finally {
      await admin.query(`DROP OWNED BY "${role}"; DROP ROLE "${role}"`);
    }
  });
});

describe('PostgreSQL: values', () => {
  it('returns metadata as JSON.parse would, and keeps it queryable', async () => {
    const schema = fresh();
    await using provider = await open({ schema });
    const metadata = {
      nul: 'a\0b',
      'key\0': 1,
      high: '\ud800',
      low: 'x\udc00y',
      '\udfff': '\ud83d\ude00',
      sub: '\u001a',
      'sub\u001a0000': '\u001a0000',
      text: '\\u0000 \\',
      numbers: [1e21, 1e-7, 5e-324, Number.MAX_VALUE, -0, 0.1, 123456789012345680000],
      __proto: null,
      deep: { a: [[], {}, [null]] },
      empty: '',
    };
    unwrap(await provider.storeMessages('chat', [], metadata));
    const read = (await provider.getConversation('chat'))?.metadata;
    expect(read).toEqual({ ...metadata, numbers: [1e21, 1e-7, 5e-324, Number.MAX_VALUE, 0, 0.1, 123456789012345680000] });
    unwrap(await provider.appendMessages('chat', [], { 'key\0': 2, more: '\0' }));
    expect((await provider.getConversation('chat'))?.metadata).toEqual({ ...read, 'key\0': 2, more: '\0' });
    expect(await provider.findConversations({ metadata: { nul: 'a\0b', deep: { a: [[], {}, [null]] } } })).toHaveLength(1);
    const { rows } = await admin.query(
      `SELECT conversation_id FROM "${schema}".conversations WHERE metadata ->> 'text' = $1 AND metadata @> '{"deep":{"a":[]}}'`,
      ['\\u0000 \\'],
    );
    expect(rows).toEqual([{ conversation_id: 'chat' }]);
  });
});

describe('PostgreSQL: in the background', () => {
  it('shows conversations as documents, packed messages too', async () => {
    const schema = fresh();
    await using provider = await open({ schema, compressionThreshold: 20 });
    const messages = Array.from({ length: 300 }, (_, n) => user(`n${n} "quoted", \n 🙂 \u0000 \ud800 [,]`));
    for (let n = 0; n < 300; n += 50)
      unwrap(
        await provider.appendMessages(
          'chat',
          messages.slice(n, n + 50),
          { topic: 'x' },
          { userId: 'ann', createIfMissing: true, maxMessages: 290 },
        ),
      );
    unwrap(await provider.storeMessages('empty', []));
    unwrap(await provider.storeMessages('gone', messages));
    await provider.deleteConversation('gone');
    const packed = async (): Promise<number> =>
      Number((await admin.query(`SELECT count(*) FROM "${schema}".conversations_segments WHERE conversation_id = 'chat'`)).rows[0].count);
    await expect.poll(packed, { timeout: 10_000 }).toBeGreaterThan(0);
    const { rows } = await admin.query<{ messages: string }>(
      `SELECT conversation_id, user_id, messages::text, metadata, updated_at >= created_at AS times FROM "${schema}".conversations_documents ORDER BY 1`,
    );
    expect(rows).toMatchObject([
      { conversation_id: 'chat', user_id: 'ann', metadata: { topic: 'x' }, times: true },
      { conversation_id: 'empty', user_id: null, messages: '[]', metadata: {} },
    ]);
    expect((JSON.parse(rows[0]?.messages ?? '') as { content: string }[]).map(({ content }) => content)).toEqual(
      messages.slice(10).map(textOf),
    );
    const { rows: options } = await admin.query(
      `SELECT reloptions FROM pg_class WHERE oid = '"${schema}".conversations_documents'::regclass AND current_setting('server_version_num')::int >= 150000`,
    );
    expect(options.every(({ reloptions }) => (reloptions as string[]).includes('security_invoker=true'))).toBe(true);
  });

  it('sweeps what has expired, with its bodies; not when it is switched off', async () => {
    const schema = fresh();
    const events: string[] = [];
    await using provider = await open({ schema, sweep: { every: 0.02 }, onEvent: ({ type }) => events.push(type) });
    unwrap(
      await provider.storeMessages(
        'short',
        range(600).map((n) => user(`${n}`)),
        undefined,
        { ttl: 0.05 },
      ),
    );
    await expect.poll(() => events.includes('swept'), { timeout: 20_000 }).toBe(true);
    await expect
      .poll(async () => (await admin.query(`SELECT 1 FROM "${schema}".conversations_messages`)).rowCount, { timeout: 20_000 })
      .toBe(0);
  });
});
