// Connections: what the pool settings do, clients the caller lends, and errors that arrive at a bad moment.
import { createServer, type Server, type Socket } from 'node:net';
import { createPostgresProvider, MemoryConnectionError, type MemoryProvider, type PostgresConfig, textOf, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.js';
import { connect } from '../../src/memory/providers/postgres/driver.js';
import { usePostgres } from '../support/postgres.js';

let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Pool;
let schemas = 0;
const used: string[] = [];

function fresh(): string {
  const schema = `jaf_test_conn_${process.pid}_${++schemas}`;
  used.push(schema);
  return schema;
}

/** Every provider names its connections after its schema, so that they can be told apart at the server. */
function open(config: PostgresConfig & { schema: string }, client?: Parameters<typeof createPostgresProvider>[1]): Promise<MemoryProvider> {
  const url = new URL(server.url);
  url.searchParams.set('application_name', config.schema);
  return createPostgresProvider({ ...(client ? {} : { connectionString: url.href }), sweep: false, ...config }, client);
}

/** Process ids of the backends of a provider. */
async function backends(schema: string): Promise<number[]> {
  const { rows } = await admin.query<{ pid: number }>('SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY 1', [schema]);
  return rows.map(({ pid }) => pid);
}

async function textsOf(provider: MemoryProvider, id: string): Promise<string[]> {
  return ((await provider.getConversation(id))?.messages ?? []).map(textOf);
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

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

describe('PostgreSQL: settings of the pool', () => {
  it('poolMinSize connections are opened at once and stay; what is above goes after poolMaxInactiveConnectionLifetime', async () => {
    const schema = fresh();
    await using provider = await open({ schema, poolMinSize: 2, poolMaxSize: 5, poolMaxInactiveConnectionLifetime: 1 });
    const first = await backends(schema);
    expect(first).toHaveLength(2);
    await Promise.all(range(40).map(() => provider.getConversation('chat')));
    expect((await backends(schema)).length).toBeGreaterThan(2);
    await expect.poll(async () => (await backends(schema)).length, { timeout: 10_000 }).toBe(2);
    expect((await provider.healthCheck()).metrics.activeConnections).toBe(2);
  });

  it.each(['poolMaxSize', 'maxConnections'] as const)('%s connections at most, however many calls', async (setting) => {
    const schema = fresh();
    await using provider = await open({ schema, [setting]: 3 });
    unwrap(await provider.storeMessages('held', []));
    const holder = await admin.connect();
    try {
      await holder.query('BEGIN');
      await holder.query(`SELECT 1 FROM "${schema}".conversations WHERE conversation_id = 'held' FOR UPDATE`);
      const calls = range(20).map((n) => provider.deleteConversation(n === 1 ? 'held' : `c${n}`));
      await Promise.all(calls.slice(1));
      expect((await backends(schema)).length).toBe(3);
      await holder.query('COMMIT');
      expect(await calls[0]).toBe(true);
    } finally {
      holder.release();
    }
  });

  it('tells the planner how to plan, on connections of its own', async () => {
    const url = new URL(server.url);
    url.searchParams.set('options', '-c jit=on');
    for (const [config, walks, expected] of [
      [{ connectionString: server.url }, false, ['force_generic_plan', 'off', 'off']],
      [{ connectionString: url.href }, false, ['force_generic_plan', 'on', 'off']],
      [{ connectionString: server.url, layout: 'document' }, false, ['force_generic_plan', 'off', 'on']],
      [{ connectionString: server.url }, true, ['force_generic_plan', 'off', 'on']],
    ] as const) {
      const connections = await connect(config);
      try {
        await connections.warmUp({ timeout: 5000 });
        if (walks) connections.expectWalks();
        const shown = await connections.session(
          (query) =>
            query(`SELECT current_setting('plan_cache_mode') AS a, current_setting('jit') AS b, current_setting('enable_seqscan') AS c`),
          { timeout: 5000 },
        );
        expect(Object.values(shown[0] ?? {})).toEqual(expected);
      } finally {
        await connections.close();
      }
    }
  });

  it('poolMaxQueries: a connection is replaced after so many uses', async () => {
    const schema = fresh();
    await using provider = await open({ schema, poolMaxSize: 1, poolMaxQueries: 5 });
    const seen = new Set<number>();
    for (const _ of range(20)) {
      await provider.getConversation('chat');
      for (const pid of await backends(schema)) seen.add(pid);
    }
    // opening took one use: 4, 5, 5, 5 and 1 reads
    expect(seen.size).toBeGreaterThanOrEqual(4);
    expect(seen.size).toBeLessThanOrEqual(6);
  });

  it('no statement runs at the server longer than the deadline', async () => {
    const schema = fresh();
    const holder = await admin.connect();
    try {
      await using provider = await open({ schema, deadline: 700 });
      unwrap(await provider.storeMessages('held', []));
      await holder.query('BEGIN');
      await holder.query(`SELECT 1 FROM "${schema}".conversations WHERE conversation_id = 'held' FOR UPDATE`);
      const result = await provider.appendMessages('held', [user('late')]);
      expect(result.ok ? undefined : result.error).toBeInstanceOf(MemoryConnectionError);
      // nothing of it waits at the server for ever
      const waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'";
      await expect.poll(async () => (await admin.query(waiting, [schema])).rowCount, { timeout: 5000 }).toBe(0);
      await holder.query('COMMIT');
      expect(await textsOf(provider, 'held')).toEqual([]);
    } finally {
      holder.release();
    }
  });
});

describe('PostgreSQL: a connection the caller lends', () => {
  let client: pg.Client;
  let errors: Error[] = [];
  async function lend(): Promise<pg.Client> {
    errors = [];
    client = new pg.Client({ connectionString: server.url });
    client.on('error', (error) => errors.push(error));
    await client.connect();
    return client;
  }
  afterEach(async () => {
    await client?.end();
  });

  it('a failed statement leaves the caller’s transaction aborted, and calls say so until it is rolled back', async () => {
    const schema = fresh();
    await using provider = await open({ schema });
    unwrap(await provider.storeMessages('chat', [user('1')]));
    await using lent = await open({ schema }, await lend());
    await client.query('BEGIN');
    unwrap(await lent.appendMessages('chat', [user('in vain')]));
    await expect(client.query('SELECT 1/0')).rejects.toThrow('division');
    const write = await lent.appendMessages('chat', [user('2')]);
    expect(write.ok ? '' : write.error.message).toContain('roll it back');
    expect(write.ok ? '' : write.error.outcome).toBe('not_applied');
    await expect(lent.getConversation('chat')).rejects.toThrow('roll it back');
    expect((await client.query('ROLLBACK')).command).toBe('ROLLBACK');
    expect(await textsOf(lent, 'chat')).toEqual(['1']);
    expect(unwrap(await lent.appendMessages('chat', [user('2')])).messageCount).toBe(2);
  });

  it('a savepoint takes back what came after it, and no more', async () => {
    const schema = fresh();
    await using provider = await open({ schema });
    await using lent = await open({ schema }, await lend());
    await client.query('BEGIN');
    unwrap(await lent.appendMessages('chat', [user('before')], undefined, { createIfMissing: true }));
    await client.query('SAVEPOINT one');
    unwrap(await lent.appendMessages('chat', [user('after')]));
    unwrap(await lent.storeMessages('other', [user('x')]));
    await client.query('ROLLBACK TO SAVEPOINT one');
    expect(await textsOf(lent, 'chat')).toEqual(['before']);
    unwrap(await lent.appendMessages('chat', [user('again')]));
    await client.query('COMMIT');
    expect(await textsOf(provider, 'chat')).toEqual(['before', 'again']);
    expect(await provider.getConversation('other')).toBeUndefined();
  });

  it('sends one statement at a time, each alone, and nothing of its own around them', async () => {
    const schema = fresh();
    await (await open({ schema })).close();
    const lender = await lend();
    const sent: string[] = [];
    let underWay = 0;
    let most = 0;
    const watched = {
      async query(config: { text: string; values?: unknown[] }): Promise<pg.QueryResult> {
        sent.push(config.text);
        most = Math.max(most, ++underWay);
        try {
          return await lender.query(config);
        } finally {
          underWay--;
        }
      },
    };
    await using lent = await createPostgresProvider({ schema, sweep: { every: 0.01 }, ttl: 3600 }, watched);
    sent.length = 0;
    const writes = range(12).map((n) => lent.appendMessages(`c${n % 3}`, [user(`${n}`)], undefined, { createIfMissing: true }));
    await Promise.all([...writes.map(async (write) => unwrap(await write)), lent.getStats(), lent.findConversations()]);
    expect(most).toBe(1);
    expect(sent.filter((text) => /^\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|SET|CREATE|ALTER|LOCK)\b/i.test(text))).toEqual([]);
    // a statement per write and the two reads; a conversation that is not there costs a write a second one
    expect(sent.length).toBeGreaterThanOrEqual(14);
    expect(sent.length).toBeLessThanOrEqual(14 + 3);
  });

  it('a deadline does not cut the connection off: the statement ends at the server, the next call comes after it', async () => {
    const schema = fresh();
    await using provider = await open({ schema });
    unwrap(await provider.storeMessages('chat', []));
    await using lent = await open({ schema, deadline: 300 }, await lend());
    const holder = await admin.connect();
    try {
      await holder.query('BEGIN');
      await holder.query(`SELECT 1 FROM "${schema}".conversations WHERE conversation_id = 'chat' FOR UPDATE`);
      const started = performance.now();
      const late = await lent.appendMessages('chat', [user('late')]);
      expect(performance.now() - started).toBeLessThan(5000);
      expect(late.ok ? undefined : late.error).toMatchObject({ code: 'timeout', outcome: 'unknown' });
      await holder.query('COMMIT');
    } finally {
      holder.release();
    }
    await expect.poll(() => textsOf(lent, 'chat')).toEqual(['late']);
    expect(unwrap(await lent.appendMessages('chat', [user('next')])).messageCount).toBe(2);
  });

  it('a connection that has died says so, and that nothing was sent', async () => {
    const schema = fresh();
    await using provider = await open({ schema });
    unwrap(await provider.storeMessages('chat', []));
    await using lent = await open({ schema }, await lend());
    const [row] = (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows;
    await admin.query('SELECT pg_terminate_backend($1)', [row?.pid]);
    await expect.poll(() => errors.length).toBeGreaterThan(0);
    const write = await lent.appendMessages('chat', [user('x')]);
    expect(write.ok ? undefined : write.error).toMatchObject({ code: 'refused', outcome: 'not_applied' });
    expect(await textsOf(provider, 'chat')).toEqual([]);
  });

  it('a pool of one whose only connection is taken: an error that says so, and nothing sent', async () => {
    const schema = fresh();
    await (await open({ schema })).close();
    const pool = new pg.Pool({ connectionString: server.url, max: 1 });
    let held: pg.PoolClient | undefined;
    try {
      await using provider = await open({ schema, deadline: 1000 }, pool);
      unwrap(await provider.storeMessages('chat', [user('1')]));
      held = await pool.connect();
      await held.query('BEGIN');
      const write = await provider.appendMessages('chat', [user('2')]);
      expect(write.ok ? undefined : write.error).toMatchObject({ outcome: 'not_applied', retryable: true });
      expect(write.ok ? '' : write.error.message).toContain('no connection of the pool was free');
      await using lent = await open({ schema }, held);
      unwrap(await lent.appendMessages('chat', [user('3')]));
      await held.query('COMMIT');
      held.release();
      held = undefined;
      unwrap(await provider.appendMessages('chat', [user('4')]));
      expect(await textsOf(provider, 'chat')).toEqual(['1', '3', '4']);
    } finally {
      // the pool would wait for it
      held?.release(true);
      await pool.end();
    }
  });

  it('leaves no listener behind on the caller’s pool and clients', async () => {
    const schema = fresh();
    const pool = new pg.Pool({ connectionString: server.url, max: 2 });
    try {
      const before = pool.eventNames().map((name) => [name, pool.listenerCount(name)]);
      const provider = await open({ schema }, pool);
      await Promise.all(range(10).map((n) => provider.getConversation(`c${n}`)));
      await provider.close();
      expect(pool.eventNames().map((name) => [name, pool.listenerCount(name)])).toEqual(before);
      const held = await pool.connect();
      expect(held.listenerCount('error')).toBe(0);
      held.release();
    } finally {
      await pool.end();
    }
  });
});

describe('PostgreSQL behind PgBouncer in transaction mode', () => {
  let pooler: PgBouncer;
  beforeAll(async () => {
    pooler = await startPgBouncer(server.url, 4);
  });
  afterAll(async () => {
    await pooler?.destroy();
  });
  const through = (config: PostgresConfig & { schema: string }): Promise<MemoryProvider> =>
    open({ connectionString: pooler.url, preparedStatements: false, ...config });

  it('works over a pool of our own, leaves nothing behind in the sessions of the server', async () => {
    const schema = fresh();
    await using provider = await through({ schema, poolMinSize: 3, poolMaxSize: 8, compressionThreshold: 10 });
    await Promise.all(
      range(200).map(async (n) => unwrap(await provider.appendMessages(`c${n % 8}`, [user(`${n}`)], undefined, { createIfMissing: true }))),
    );
    expect((await provider.getStats()).totalMessages).toBe(200);
    const client = new pg.Client({ connectionString: pooler.url });
    await client.connect();
    try {
      for (const _ of range(12)) {
        const { rows } = await client.query(
          `SELECT (SELECT count(*)::int FROM pg_prepared_statements) AS prepared,
            (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory') AS locks,
            (SELECT count(*)::int FROM pg_settings WHERE source = 'session' AND name NOT IN ('client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings', 'application_name')) AS settings`,
        );
        expect(rows).toEqual([{ prepared: 0, locks: 0, settings: 0 }]);
      }
    } finally {
      await client.end();
    }
  });

  it('with prepared statements left on the error says which setting to change', async () => {
    const schema = fresh();
    const failures: string[] = [];
    try {
      await using provider = await through({ schema, preparedStatements: true, poolMaxSize: 8, deadline: 2000 });
      const calls = range(200).map((n) => provider.appendMessages(`c${n % 20}`, [user(`${n}`)], undefined, { createIfMissing: true }));
      for (const result of await Promise.all(calls)) if (!result.ok) failures.push(result.error.message);
    } catch (error) {
      failures.push((error as Error).message);
    }
    expect(failures.length).toBeGreaterThan(0);
    for (const message of failures) expect(message).toContain('preparedStatements: false');
  });

  it('killed and restarted under load: goes on, every acknowledged write is there, once', async () => {
    const schema = fresh();
    await using provider = await through({ schema, deadline: 20_000, poolMaxSize: 6 });
    const acknowledged: string[][] = range(4).map(() => []);
    const unknown = new Set<string>();
    const run = { ended: false };
    const writers = acknowledged.map(async (texts, c) => {
      for (let n = 1; !run.ended; n++) {
        const text = `c${c}-${n}`;
        const result = await provider.appendMessages(`chat-${c}`, [user(text)], undefined, { createIfMissing: true });
        if (result.ok) texts.push(text);
        else if (result.error.outcome === 'unknown') unknown.add(text);
      }
    });
    const count = (): number => acknowledged.reduce((sum, texts) => sum + texts.length, 0);
    for (const _ of range(3)) {
      const before = count();
      await expect.poll(count, { timeout: 20_000, interval: 5 }).toBeGreaterThan(before + 50);
      await pooler.kill();
      await pooler.start();
    }
    const before = count();
    await expect.poll(count, { timeout: 20_000, interval: 5 }).toBeGreaterThan(before + 50);
    run.ended = true;
    await Promise.all(writers);
    for (const [c, texts] of acknowledged.entries()) {
      const stored = await textsOf(provider, `chat-${c}`);
      expect(new Set(stored).size, 'doubled').toBe(stored.length);
      expect(
        stored.filter((text) => !unknown.has(text)),
        'acknowledged, in order',
      ).toEqual(texts);
    }
  });
});

/** Bytes of a message of the protocol. */
function message(type: string, ...parts: readonly (string | number | Buffer)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : typeof part === 'number' ? Buffer.from([part]) : part)),
  );
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
}
const ready = message('Z', 'I'.charCodeAt(0));
const greeting = Buffer.concat([message('R', Buffer.alloc(4)), message('S', 'server_version', '15.0'), ready]);
const farewell = message('E', Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0'), 0);
const row = Buffer.concat([message('1'), message('2'), message('n'), message('C', 'SELECT 0'), ready]);

/** A server that says these things: at the start, then to each message of the client. */
async function speaker(...says: readonly Buffer[]): Promise<{ url: string; server: Server; connections: () => number }> {
  let connections = 0;
  const sockets = new Set<Socket>();
  const fake = createServer((socket) => {
    connections++;
    sockets.add(socket);
    let n = 0;
    socket.on('error', () => undefined);
    socket.on('data', () => {
      const next = says[Math.min(n++, says.length - 1)];
      if (next) socket.write(next);
    });
  });
  fake.on('close', () => sockets.forEach((socket) => socket.destroy()));
  await new Promise<void>((resolve) => fake.listen(0, '127.0.0.1', resolve));
  const address = fake.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return { url: `postgresql://jaf@127.0.0.1:${port}/x?sslmode=disable`, server: fake, connections: () => connections };
}

describe('PostgreSQL: an error nobody asked for', () => {
  // an error event that nobody hears ends the process; here vitest reports it
  it.each([
    ['in the packet that completes the connection', [Buffer.concat([greeting, farewell])]],
    ['in the packet of an answer', [greeting, Buffer.concat([row, farewell])]],
    ['twice, in the packet of an answer', [greeting, Buffer.concat([row, farewell, farewell])]],
    ['instead of an answer, twice', [greeting, Buffer.concat([farewell, farewell])]],
    ['while connecting, twice', [Buffer.concat([farewell, farewell])]],
  ] as const)('%s, ends neither process nor pool', async (_, says) => {
    const fake = await speaker(...says);
    const theirs = new pg.Pool({ connectionString: fake.url });
    try {
      const list = fake.url.replace('/x?', ',127.0.0.1:1/x?');
      for (const [config, client] of [
        [{ connectionString: fake.url }],
        [{ connectionString: list }],
        [{ connectionString: `${list}&target_session_attrs=any` }],
        [{}, theirs],
      ] as const) {
        const before = fake.connections();
        const opening = await createPostgresProvider({ ...config, sweep: false, deadline: 300 }, client).then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(opening).toBeInstanceOf(Error);
        expect(fake.connections()).toBeGreaterThan(before);
      }
    } finally {
      await theirs.end();
      await new Promise((resolve) => {
        fake.server.close(resolve);
        fake.server.emit('close');
      });
    }
  });
});
