import { createPostgresProvider, MemoryConfigError, type MemoryProvider, type PostgresConfig, textOf, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usePostgres } from '../support/postgres.js';

let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Pool;
let schemas = 0;
const used: string[] = [];
const opened: MemoryProvider[] = [];

async function fresh(...statements: string[]): Promise<string> {
  const schema = `jaf_test_doc${process.pid}_${++schemas}`;
  used.push(schema);
  await admin.query(`CREATE SCHEMA "${schema}"`);
  for (const statement of statements) await admin.query(statement.replaceAll('{t}', `"${schema}".conversations`));
  return schema;
}

async function open(config: PostgresConfig, client?: Parameters<typeof createPostgresProvider>[1]): Promise<MemoryProvider> {
  const provider = await createPostgresProvider({ ...(client ? {} : { connectionString: server.url }), sweep: false, ...config }, client);
  opened.push(provider);
  return provider;
}

async function textsOf(provider: MemoryProvider, id: string): Promise<string[]> {
  return ((await provider.getConversation(id))?.messages ?? []).map(textOf);
}

beforeAll(async () => {
  server = await usePostgres();
  admin = new pg.Pool({ connectionString: server.url });
  admin.on('error', () => undefined); // the server may end before the last idle connection has
});
afterAll(async () => {
  for (const provider of opened) await provider.close();
  for (const schema of used) await admin?.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  await admin?.end();
  await server?.destroy();
});

const DOCUMENT = `CREATE TABLE {t} (id SERIAL PRIMARY KEY, conversation_id VARCHAR(255) UNIQUE NOT NULL, user_id VARCHAR(255),
  messages JSONB NOT NULL, metadata JSONB, created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(), updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW())`;
const TYPESCRIPT = `CREATE TABLE {t} (conversation_id VARCHAR(255) PRIMARY KEY, user_id VARCHAR(255), messages JSONB NOT NULL, metadata JSONB,
  created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, last_activity TIMESTAMPTZ)`;
const PYTHON = 'CREATE TABLE {t} (conversation_id TEXT PRIMARY KEY, user_id TEXT, messages JSONB, metadata JSONB)';
const TALK = `'[{"role":"user","content":"one"},{"role":"assistant","content":"two","tool_calls":null,"tool_call_id":null}]'`;

describe('a table of documents', () => {
  it('is made as the document says, also by 20 at once', async () => {
    const schema = await fresh();
    await Promise.all(Array.from({ length: 20 }, () => open({ schema, layout: 'document', poolMaxSize: 1 })));
    const { rows } = await admin.query<{ column_name: string; data_type: string; is_nullable: string }>(
      "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'conversations' ORDER BY ordinal_position",
      [schema],
    );
    expect(rows.map((c) => `${c.column_name} ${c.data_type} ${c.is_nullable}`)).toEqual([
      'id integer NO',
      'conversation_id character varying NO',
      'user_id character varying YES',
      'messages jsonb NO',
      'metadata jsonb YES',
      'created_at timestamp with time zone YES',
      'updated_at timestamp with time zone YES',
    ]);
    const indexes = await admin.query<{ indexname: string }>(
      "SELECT indexname FROM pg_indexes WHERE schemaname = $1 AND tablename = 'conversations'",
      [schema],
    );
    expect(indexes.rows.map((i) => i.indexname)).toEqual(
      expect.arrayContaining(['idx_conversations_user_id', 'idx_conversations_created_at']),
    );
  });

  it('is found by auto, and refused as rows', async () => {
    const schema = await fresh(DOCUMENT);
    await expect(open({ schema, layout: 'rows' })).rejects.toThrow(MemoryConfigError);
    const provider = await open({ schema });
    unwrap(await provider.storeMessages('c', [user('hi')], { topic: 'x', $jaf: 'mine' }, { userId: 'ann' }));
    const { rows } = await admin.query(
      `SELECT conversation_id, user_id, messages, metadata ->> 'topic' AS topic FROM "${schema}".conversations`,
    );
    expect(rows).toEqual([{ conversation_id: 'c', user_id: 'ann', messages: [{ role: 'user', content: 'hi' }], topic: 'x' }]);
    expect((await provider.getConversation('c'))?.metadata).toEqual({ topic: 'x', $jaf: 'mine' });
  });

  for (const [name, ddl, insert] of [
    [
      'the document',
      DOCUMENT,
      `INSERT INTO {t} (conversation_id, user_id, messages, metadata, created_at, updated_at) VALUES ('c', 'ann', ${TALK}, '{"topic":"x","traceId":"t1"}', '2024-01-15T10:00:00.123Z', '2024-01-16T10:00:00.456Z')`,
    ],
    [
      'the TypeScript implementation',
      TYPESCRIPT,
      `INSERT INTO {t} VALUES ('c', 'ann', ${TALK}, '{"topic":"x","traceId":"t1","createdAt":"2020-01-01T00:00:00Z","totalMessages":2}', '2024-01-15T10:00:00.123Z', '2024-01-16T10:00:00.456Z', '2024-01-16T10:00:00.456Z')`,
    ],
    [
      'the Python implementation',
      PYTHON,
      `INSERT INTO {t} VALUES ('c', 'ann', ${TALK}, '{"topic":"x","trace_id":"t1","user_id":"ann","total_messages":2,"created_at":"{created}","updated_at":"{updated}","last_activity":"{updated}"}')`,
    ],
  ] as const) {
    it(`of ${name} is read right and goes on`, async () => {
      const local = (iso: string): string => {
        const at = new Date(iso);
        return `${new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, -1)}000`;
      };
      const created = '2024-01-15T10:00:00.123Z';
      const updated = '2024-01-16T10:00:00.456Z';
      const schema = await fresh(ddl, insert.replaceAll('{created}', local(created)).replaceAll('{updated}', local(updated)));
      const provider = await open({ schema });
      const found = await provider.getConversation('c');
      expect(found?.metadata).toEqual({ topic: 'x' });
      expect(found).toMatchObject({ userId: 'ann', messageCount: 2, createdAt: new Date(created), updatedAt: new Date(updated) });
      expect(found?.messages).toEqual([
        { role: 'user', content: 'one' },
        { role: 'assistant', content: 'two' },
      ]);
      expect((await provider.findConversations({ userId: 'ann', until: new Date(updated) })).map((c) => c.conversationId)).toEqual(['c']);
      unwrap(await provider.appendMessages('c', [user('three')], { more: 1 }));
      expect(await textsOf(provider, 'c')).toEqual(['one', 'two', 'three']);
      expect(await provider.getConversation('c')).toMatchObject({
        userId: 'ann',
        createdAt: new Date(created),
        metadata: { topic: 'x', more: 1 },
      });
    });
  }
});

describe('another program that writes the same table', () => {
  it('drops our state: messages, owner and creation time stay, and the next append goes on', async () => {
    const schema = await fresh(DOCUMENT);
    const provider = await open({ schema });
    unwrap(await provider.storeMessages('c', [user('one')], { a: 1 }, { userId: 'ann', ttl: 3600 }));
    const before = await provider.getConversation('c');
    await admin.query(
      `UPDATE "${schema}".conversations SET messages = messages || '[{"role":"user","content":"theirs"}]', metadata = '{"b":2}', updated_at = now() + interval '1 second'`,
    );
    const after = await provider.getConversation('c');
    expect(after).toMatchObject({ userId: 'ann', metadata: { b: 2 }, messageCount: 2, createdAt: before?.createdAt });
    expect(after?.version).toBeGreaterThan(before?.version ?? 0);
    unwrap(await provider.appendMessages('c', [user('ours')]));
    expect(await textsOf(provider, 'c')).toEqual(['one', 'theirs', 'ours']);
  });

  it('keeps our state but changes the messages: what is in the table counts, and no sequence is given twice', async () => {
    const schema = await fresh(DOCUMENT);
    const provider = await open({ schema });
    unwrap(await provider.storeMessages('c', [user('one'), user('two')]));
    await admin.query(`UPDATE "${schema}".conversations SET messages = messages || '[{"role":"user","content":"theirs"}]'`);
    unwrap(await provider.appendMessages('c', [user('ours')]));
    expect((await provider.getMessages('c', {})).items.map(({ seq, message }) => [seq, textOf(message)])).toEqual([
      [1, 'one'],
      [2, 'two'],
      [3, 'theirs'],
      [4, 'ours'],
    ]);
    await admin.query(`UPDATE "${schema}".conversations SET messages = '[{"role":"user","content":"replaced"}]'`);
    expect((await provider.getMessages('c', {})).items.map(({ seq, message }) => [seq, textOf(message)])).toEqual([[5, 'replaced']]);
  });

  it('drops our state of a packed conversation: the packed messages stay', async () => {
    const schema = await fresh(DOCUMENT);
    const provider = await open({ schema, compressionThreshold: 10 });
    const texts = Array.from({ length: 300 }, (_, i) => `m${i + 1}`);
    unwrap(
      await provider.storeMessages(
        'c',
        texts.map((text) => user(text)),
      ),
    );
    unwrap(await provider.appendMessages('c', [user('last')]));
    const elements = async (): Promise<number> =>
      Number((await admin.query<{ n: number }>(`SELECT jsonb_array_length(messages) AS n FROM "${schema}".conversations`)).rows[0]?.n);
    await expect.poll(elements, { timeout: 10_000 }).toBe(301 - 2 * 128 + 2);
    await admin.query(
      `UPDATE "${schema}".conversations SET metadata = '{}', messages = messages || '[{"role":"user","content":"theirs"}]'`,
    );
    expect(await textsOf(provider, 'c')).toEqual([...texts, 'last', 'theirs']);
    unwrap(await provider.appendMessages('c', [user('ours')], {}, { maxMessages: 200 }));
    expect(await textsOf(provider, 'c')).toEqual([...texts, 'last', 'theirs', 'ours'].slice(-200));
  });

  it('brings back what was deleted here: it is there again', async () => {
    const schema = await fresh(DOCUMENT);
    const provider = await open({ schema });
    unwrap(await provider.storeMessages('c', [user('one')]));
    await provider.deleteConversation('c');
    expect(await provider.getConversation('c')).toBeUndefined();
    await admin.query(`UPDATE "${schema}".conversations SET messages = '[{"role":"user","content":"theirs"}]', metadata = '{}'`);
    expect(await textsOf(provider, 'c')).toEqual(['theirs']);
  });

  it('holds the row while we append: both writes are kept', async () => {
    const schema = await fresh(DOCUMENT);
    const provider = await open({ schema });
    unwrap(await provider.storeMessages('c', [user('one')]));
    const other = await admin.connect();
    try {
      await other.query('BEGIN');
      await other.query(`UPDATE "${schema}".conversations SET messages = messages || '[{"role":"user","content":"theirs"}]'`);
      const append = provider.appendMessages('c', [user('ours')]);
      // until ours waits for the row
      for (;;) {
        const { rows } = await admin.query(
          "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%' AND pid <> pg_backend_pid()",
          [schema],
        );
        if (rows.length > 0) break;
      }
      await other.query('COMMIT');
      unwrap(await append);
    } finally {
      other.release();
    }
    expect(await textsOf(provider, 'c')).toEqual(['one', 'theirs', 'ours']);
  });
});

it('a store of 5,000 documents: writes and reads of one look it up by the unique key, a user’s by the index of users', async () => {
  const schema = await fresh(DOCUMENT, 'CREATE INDEX ON {t}(user_id)');
  await admin.query(
    `INSERT INTO "${schema}".conversations (conversation_id, user_id, messages, metadata) SELECT 'c' || n, 'u' || n % 500, '[]', '{}' FROM generate_series(1, 5000) n`,
  );
  await admin.query(`ANALYZE "${schema}".conversations`);
  const sent: { text: string; values?: unknown[] }[] = [];
  class Recording extends pg.Client {
    override query(...args: never[]): never {
      const [first] = args as unknown as [{ text: string; values?: unknown[] } | string];
      if (typeof first === 'object' && first.text.includes('conversation')) sent.push(first);
      return (super.query as (...all: never[]) => never).apply(this, args);
    }
  }
  const pool = new pg.Pool({ connectionString: server.url, Client: Recording });
  pool.on('error', () => undefined);
  try {
    const provider = await open({ schema }, pool);
    for (const work of [
      () => provider.appendMessages('c7', [user('x')]).then(unwrap),
      () => provider.getRecentMessages('c7', 2),
      () => provider.findConversations({ userId: 'u7', limit: 5 }),
      () => provider.deleteConversation('c8'),
    ]) {
      sent.length = 0;
      await work();
      expect(sent.length).toBeGreaterThan(0);
      for (const { text, values } of sent) {
        await admin.query('BEGIN');
        const { rows } = await admin.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${text}`, values);
        await admin.query('ROLLBACK');
        const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
        expect(plan).not.toMatch(/Seq Scan on conversations/);
      }
    }
  } finally {
    await pool.end();
  }
});

it('4 pools append 4 × 100 messages to one conversation: all are kept, once each', async () => {
  const schema = await fresh(DOCUMENT);
  const providers = await Promise.all(Array.from({ length: 4 }, () => open({ schema, deadline: 60_000 })));
  unwrap(await (providers[0] as MemoryProvider).storeMessages('c', []));
  const texts = providers.flatMap((provider, p) => Array.from({ length: 100 }, (_, n) => ({ provider, text: `${p}:${n}` })));
  const results = await Promise.all(texts.map(({ provider, text }) => provider.appendMessages('c', [user(text)])));
  // each was decided from what the one before had left
  const counts = results.map((result) => unwrap(result).messageCount).sort((x, y) => x - y);
  expect(counts).toEqual(texts.map((_, i) => i + 1));
  const kept = await textsOf(providers[1] as MemoryProvider, 'c');
  expect([...kept].sort()).toEqual(texts.map(({ text }) => text).sort());
});

it('a lent connection: rolled back with the caller’s transaction, kept with it', async () => {
  const schema = await fresh(DOCUMENT);
  const pooled = await open({ schema });
  unwrap(await pooled.storeMessages('c', [user('one')]));
  const client = await admin.connect();
  try {
    const lent = await open({ schema }, client);
    for (const [end, expected] of [
      ['ROLLBACK', ['one']],
      ['COMMIT', ['one', 'two', 'three']],
    ] as const) {
      await client.query('BEGIN');
      unwrap(await lent.appendMessages('c', [user('two')]));
      unwrap(await lent.appendMessages('c', [user('three')]));
      unwrap(await lent.storeMessages('new', [user('x')]));
      await client.query(end);
      expect(await textsOf(pooled, 'c')).toEqual(expected);
      expect(await textsOf(pooled, 'new')).toEqual(end === 'COMMIT' ? ['x'] : []);
    }
  } finally {
    client.release();
  }
});
