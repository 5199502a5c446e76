// `jaf-memory migrate --to rows`: three shapes of documents with awkward content come out as they went in; interrupted,
// with writers beside it, and tampered with.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import {
  assistant,
  type ConversationMemory,
  createPostgresProvider,
  eraseUser,
  type MemoryProvider,
  type PostgresConfig,
  textOf,
  unwrap,
  user,
} from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Session } from '../../src/memory/providers/postgres/client.js';
import type { ConvertReport } from '../../src/memory/providers/postgres/convert-move.js';
import { convertDocuments } from '../../src/memory/providers/postgres/convert.js';
import { storeNames } from '../../src/memory/providers/postgres/names.js';
import { usePostgres } from '../support/postgres.js';
import { cli, type Ran, ROOT } from './cli-run.js';

let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Pool;
const used: string[] = [];

async function fresh(...statements: string[]): Promise<string> {
  const schema = `jaf_test_move${process.pid}_${used.length}`;
  used.push(schema);
  await admin.query(`CREATE SCHEMA "${schema}"`);
  for (const statement of statements) await admin.query(statement.replaceAll('{t}', `"${schema}".conversations`));
  return schema;
}

function open(config: PostgresConfig): Promise<MemoryProvider> {
  return createPostgresProvider({ connectionString: server.url, sweep: false, deadline: 60_000, ...config });
}

const migrate = (schema: string, ...args: string[]): Promise<Ran> =>
  cli(['migrate', '--provider', server.url, '--schema', schema, ...args]);

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

const DOCUMENT = `CREATE TABLE {t} (id SERIAL PRIMARY KEY, conversation_id VARCHAR(255) UNIQUE NOT NULL, user_id VARCHAR(255),
  messages JSONB NOT NULL, metadata JSONB, created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(), updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW())`;
const TYPESCRIPT = `CREATE TABLE {t} (conversation_id VARCHAR(255) PRIMARY KEY, user_id VARCHAR(255), messages JSONB NOT NULL, metadata JSONB,
  created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, last_activity TIMESTAMPTZ); CREATE INDEX conversations_updated ON {t} (updated_at)`;
const PYTHON = 'CREATE TABLE {t} (conversation_id TEXT PRIMARY KEY, user_id TEXT, messages JSONB, metadata JSONB)';

/** Rows of other programs: nulls, parts, attachments, reused call ids, local times, metadata that is no object. */
const FOREIGN_MESSAGES = JSON.stringify([
  { role: 'user', content: 'one', tool_calls: null, tool_call_id: null, attachments: null, message_id: 'msg_1_0a0b0c0d' },
  {
    role: 'assistant',
    content: '',
    tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a": 1.50}' } }],
  },
  { role: 'tool', content: 'résumé 😀', tool_call_id: 'call_1' },
  {
    role: 'user',
    content: [
      { type: 'text', text: 'look' },
      { type: 'image_url', image_url: { url: 'https://example.com/x.png' } },
    ],
    attachments: [{ kind: 'image', url: 'https://example.com/x.png' }],
  },
]);
const FOREIGN: Record<string, (id: string) => string> = {
  document: (id) =>
    `INSERT INTO {t} (conversation_id, user_id, messages, metadata, created_at, updated_at) VALUES ($$${id}$$, 'ann', $$${FOREIGN_MESSAGES}$$, '{"topic":"x","traceId":"t1","n":1.50}', '2024-01-15T10:00:00.123Z', '2024-01-16T10:00:00.456Z')`,
  typescript: (id) =>
    `INSERT INTO {t} VALUES ($$${id}$$, 'ann', $$${FOREIGN_MESSAGES}$$, '{"topic":"x","traceId":"t1","createdAt":"2020-01-01T00:00:00Z","totalMessages":2}', '2024-01-15T10:00:00.123Z', '2024-01-16T10:00:00.456Z', '2024-01-17T10:00:00.456Z')`,
  python: (id) =>
    `INSERT INTO {t} VALUES ($$${id}$$, 'ann', $$${FOREIGN_MESSAGES}$$, '{"topic":"x","trace_id":"t1","user_id":"ann","total_messages":2,"created_at":"2024-01-15T10:00:00.123456","updated_at":"2024-07-16T10:00:00.456000","last_activity":"2024-07-16T10:00:00.456000"}'),
      ($$${id} without$$, NULL, NULL, NULL), ($$${id} list$$, '', '[]', '[1]')`,
};
const IDS = ['plain', `it's "quoted"; DROP TABLE x --`, '😀 emoji:*?[', 'x'.repeat(255), '\u00e4'.repeat(255), '%_\\'];
const AWKWARD = 'nul \0, high \ud800, low \udc00, sub \u001a \u001a0000, pair \ud83d\ude00, escape \\u0000';

/** Fills a table of documents through our provider, and by another program. */
async function fill(schema: string, shape: string): Promise<void> {
  const other = async (sql: string): Promise<void> => {
    await admin.query(sql.replaceAll('{t}', `"${schema}".conversations`));
  };
  await other((FOREIGN[shape] as (id: string) => string)('foreign'));
  await using provider = await open({ schema, compressionThreshold: 10 });
  for (const [n, id] of IDS.entries()) {
    unwrap(
      await provider.storeMessages(
        id,
        [user(AWKWARD), assistant(`a${n}`)],
        { [AWKWARD]: AWKWARD, $jaf: { own: [null, 1e21] }, n },
        { userId: n % 2 ? AWKWARD.slice(0, 2) : 'bob' },
      ),
    );
    unwrap(await provider.appendMessages(id, [user('more')], { later: null }, { operationId: `op ${n}`, traceId: 't' }));
  }
  unwrap(
    await provider.storeMessages(
      'trimmed',
      Array.from({ length: 20 }, (_, n) => user(`m${n}`)),
    ),
  );
  unwrap(await provider.appendMessages('trimmed', [user('last')], undefined, { maxMessages: 5 }));
  unwrap(await provider.storeMessages('ttl', [user('x')], undefined, { ttl: 3600 }));
  unwrap(await provider.storeMessages('cleared', [user('x')], undefined, { ttl: null }));
  unwrap(await provider.storeMessages('held', [user('x')], { legalHold: true }, { ttl: 3600 }));
  unwrap(await provider.storeMessages('expired', [user('x')], undefined, { ttl: 0.001 }));
  unwrap(await provider.storeMessages('empty', []));
  unwrap(await provider.storeMessages('dead', [user('x')]));
  unwrap(await provider.storeMessages('erased', [user('x')], undefined, { userId: 'eve' }));
  await eraseUser(provider, 'eve', { audit: { append: async () => ({ hash: 'x' }) } });
  // an erasure takes the tombstones that are there
  await provider.deleteConversation('dead');
  unwrap(
    await provider.storeMessages(
      'packed',
      Array.from({ length: 300 }, (_, n) => user(`m${n} ${AWKWARD}`)),
    ),
  );
  unwrap(await provider.appendMessages('packed', [user('last')]));
  await expect
    .poll(
      async () =>
        (
          await admin.query<{ n: number }>(
            `SELECT jsonb_array_length(messages) AS n FROM "${schema}".conversations WHERE conversation_id = 'packed'`,
          )
        ).rows[0]?.n,
      { timeout: 10_000 },
    )
    .toBeLessThan(100);
  unwrap(
    await provider.storeMessages(
      'touched',
      Array.from({ length: 4 }, (_, n) => user(`m${n}`)),
      { ours: 1 },
      { ttl: 7200 },
    ),
  );
  await other(`UPDATE {t} SET messages = messages || '[{"role":"user","content":"theirs"}]' WHERE conversation_id = 'touched'`);
}

/** Everything a provider reads. */
async function everything(schema: string): Promise<{ all: ConversationMemory[]; sequences: unknown; stats: unknown }> {
  await using provider = await open({ schema });
  const all: ConversationMemory[] = [];
  const sequences: Record<string, unknown> = {};
  for await (const { conversationId } of provider.iterateConversations()) {
    all.push((await provider.getConversation(conversationId)) as ConversationMemory);
    sequences[conversationId] = (await provider.getMessages(conversationId, { limit: 1000 })).items.map(({ seq }) => seq);
  }
  const { totalConversations, totalMessages, oldestConversation, newestConversation } = await provider.getStats();
  return { all, sequences, stats: { totalConversations, totalMessages, oldestConversation, newestConversation } };
}

describe('migrate --to rows', () => {
  it.each([
    ['document', DOCUMENT],
    ['typescript', TYPESCRIPT],
    ['python', PYTHON],
  ])('moves a table of the shape %s: what is read stays the same', async (shape, ddl) => {
    const schema = await fresh(ddl);
    await fill(schema, shape);
    const before = await everything(schema);
    expect(before.all.length).toBeGreaterThan(13);
    const plan = await migrate(schema, '--to', 'rows', '--dry-run', '--json');
    expect([plan.code, plan.stderr]).toEqual([0, '']);
    const planned = JSON.parse(plan.stdout) as ConvertReport;
    expect(planned).toMatchObject({ state: 'planned', shape, tombstones: 1, expired: 1 });
    expect((await admin.query('SELECT to_regclass($1) AS t', [`"${schema}".conversations_jaf_new`])).rows).toEqual([{ t: null }]);

    const { code, stdout, stderr } = await migrate(schema, '--to', 'rows', '--json', '--batch', '3');
    expect([code, stderr]).toEqual([0, '']);
    const report = JSON.parse(stdout) as ConvertReport;
    expect(report).toMatchObject({
      state: 'moved',
      documents: planned.documents,
      messages: planned.messages,
      tombstones: 1,
      different: [],
      unreadable: [],
    });

    const after = await everything(schema);
    expect(after).toEqual(before);
    await using provider = await open({ schema });
    // the ends of lives and the notes about writes went along
    expect(
      unwrap(await provider.appendMessages('plain', [user('more')], { later: null }, { operationId: 'op 0', traceId: 't' })),
    ).toMatchObject({ duplicate: true });
    expect(await provider.appendMessages('dead', [user('late')])).toMatchObject({ ok: false, error: { code: 'not_found' } });
    expect(await provider.appendMessages('expired', [user('late')])).toMatchObject({ ok: false, error: { code: 'not_found' } });
    expect(await provider.storeMessages('erased', [user('late')], undefined, { userId: 'eve' })).toMatchObject({
      ok: false,
      error: { code: 'erased' },
    });
    await expect(provider.deleteConversation('held')).rejects.toMatchObject({ code: 'legal_hold' });
    unwrap(await provider.appendMessages('trimmed', [user('next')]));
    expect((await provider.getMessages('trimmed', {})).items.map(({ seq }) => seq)).toEqual([17, 18, 19, 20, 21, 22]);
    unwrap(await provider.appendMessages('packed', [user('again')]));
    expect((await provider.getConversation('packed'))?.messages).toHaveLength(302);
    const dead = await admin.query(
      `SELECT removed_at IS NOT NULL AS removed, cardinality(writers) AS writers FROM "${schema}".conversations WHERE conversation_id = 'dead'`,
    );
    expect(dead.rows).toEqual([{ removed: true, writers: 1 }]);
    const view = await admin.query<{ n: number }>(
      `SELECT json_array_length(messages) AS n FROM "${schema}".conversations_documents WHERE conversation_id = 'packed'`,
    );
    expect(view.rows).toEqual([{ n: 302 }]);
    const sizes = await admin.query(
      `SELECT c.conversation_id FROM "${schema}".conversations c WHERE c.removed_at IS NULL AND c.bytes <> c.metadata_bytes
        + coalesce((SELECT sum(octet_length(m.body)) FROM "${schema}".conversations_messages m WHERE m.conversation_id = c.conversation_id), 0)
        + coalesce((SELECT sum(octet_length(s.data)) FROM "${schema}".conversations_segments s WHERE s.conversation_id = c.conversation_id), 0)`,
    );
    expect(sizes.rows).toEqual([]);
  });

  it('leaves the catalog of a new store, keeps the old table under another name, and drops it when told', async () => {
    const [schema, other] = [await fresh(DOCUMENT), await fresh()];
    await fill(schema, 'document');
    const early = await migrate(schema, '--drop-old');
    expect(early.code).toBe(2);
    expect(early.stderr).toContain('was not moved');
    expect((await migrate(schema, '--to', 'rows', '--quiet')).code).toBe(0);
    await (await open({ schema: other })).close();
    const names = async (of: string): Promise<string[]> =>
      (
        await admin.query<{ line: string }>(
          `SELECT concat_ws(' ', c.relkind, c.relname, c.reloptions) AS line FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relname NOT LIKE '%before_jaf_rows%'
            AND c.relname NOT IN ('conversations_conversation_id_key', 'conversations_id_seq') ORDER BY 1`,
          [`"${of}"`],
        )
      ).rows.map(({ line }) => line);
    expect(await names(schema)).toEqual(await names(other));
    // an older writer fails loudly
    await expect(admin.query(`INSERT INTO "${schema}".conversations (conversation_id, messages) VALUES ('late', '[]')`)).rejects.toThrow(
      'messages',
    );
    await expect(open({ schema, layout: 'document' })).rejects.toThrow('has the layout rows. Leave the setting out');
    expect((await admin.query<{ n: string }>(`SELECT count(*) AS n FROM "${schema}".conversations_before_jaf_rows`)).rows[0]?.n).not.toBe(
      '0',
    );

    const again = await migrate(schema, '--to', 'rows');
    expect([again.code, again.stdout]).toEqual([0, `"${schema}"."conversations" has the layout rows already: there is nothing to do.\n`]);
    const dropped = await migrate(schema, '--drop-old');
    expect([dropped.code, dropped.stdout]).toEqual([0, `Dropped "${schema}"."conversations_before_jaf_rows".\n`]);
    expect((await admin.query('SELECT to_regclass($1) AS t', [`"${schema}".conversations_before_jaf_rows`])).rows).toEqual([{ t: null }]);
    expect((await migrate(schema, '--drop-old')).stdout).toContain('There is no old table');
  });

  it('moves 100,000 messages of one conversation and a message of 10 MB in chunks', async () => {
    const schema = await fresh(DOCUMENT);
    await admin.query(
      `INSERT INTO "${schema}".conversations (conversation_id, messages) SELECT 'long', jsonb_agg(jsonb_build_object('role', 'user', 'content', n || repeat(' x', 100)) ORDER BY n) FROM generate_series(1, 100000) n`,
    );
    await admin.query(
      `INSERT INTO "${schema}".conversations (conversation_id, messages) SELECT 'big', jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('é', 5000000)), jsonb_build_object('role', 'user', 'content', 'small'))`,
    );
    const { code, stderr } = await migrate(schema, '--to', 'rows');
    expect(code).toBe(0);
    expect(stderr).toContain('2/2 copied');
    await using provider = await open({ schema });
    const big = (await provider.getConversation('big'))?.messages ?? [];
    expect(big.map((m) => textOf(m).length)).toEqual([5_000_000, 5]);
    const rows = await admin.query(
      `SELECT count(*)::int AS n, min(seq)::int AS first, max(seq)::int AS last, bool_and(body::text LIKE '%"' || seq || ' x%') AS right FROM "${schema}".conversations_messages WHERE conversation_id = 'long'`,
    );
    expect(rows.rows).toEqual([{ n: 100_000, first: 1, last: 100_000, right: true }]);
  }, 120_000);
});

/** A table with many documents of another program. */
async function many(count: number, size = 500): Promise<string> {
  const schema = await fresh(DOCUMENT);
  await admin.query(
    `INSERT INTO "${schema}".conversations (conversation_id, user_id, messages, metadata) SELECT 'c' || n, 'ann', jsonb_build_array(jsonb_build_object('role', 'user', 'content', n || repeat('x', $1::int)), jsonb_build_object('role', 'assistant', 'content', 'y')), jsonb_build_object('n', n) FROM generate_series(1, $2::int) n`,
    [size, count],
  );
  return schema;
}

async function copied(schema: string): Promise<number> {
  const [there] = (
    await admin.query<{ t: string | null }>('SELECT to_regclass($1)::text AS t', [`"${schema}".conversations_jaf_new_copied`])
  ).rows;
  if (!there?.t) return 0;
  return Number((await admin.query<{ n: string }>(`SELECT count(*) AS n FROM ${there.t} WHERE mark <> ''`)).rows[0]?.n);
}

async function checkMany(schema: string, count: number): Promise<void> {
  const { rows } = await admin.query(
    `SELECT count(*)::int AS conversations, (SELECT count(*)::int FROM "${schema}".conversations_messages) AS messages, sum((metadata ->> 'n')::int)::int AS sum FROM "${schema}".conversations`,
  );
  expect(rows).toEqual([{ conversations: count, messages: 2 * count, sum: (count * (count + 1)) / 2 }]);
}

describe('a move that is disturbed', () => {
  it.each([
    ['SIGKILL', null],
    ['SIGINT', 130],
  ] as const)(
    'goes on after %s, and nothing is doubled',
    async (signal, expected) => {
      const count = 4000;
      const schema = await many(count);
      const child = spawn(
        process.execPath,
        [join(ROOT, 'dist/cli/main.js'), 'migrate', '--provider', server.url, '--schema', schema, '--to', 'rows', '--batch', '5'],
        { stdio: 'ignore' },
      );
      const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
      await expect.poll(() => copied(schema), { timeout: 30_000, interval: 10 }).toBeGreaterThan(100);
      child.kill(signal);
      expect(await ended).toBe(expected);
      const left = await copied(schema);
      expect(left).toBeLessThan(count);
      // the documents are as they were, and in use
      expect(
        (await admin.query<{ n: number }>(`SELECT count(*)::int AS n FROM "${schema}".conversations WHERE messages IS NOT NULL`)).rows,
      ).toEqual([{ n: count }]);
      const { code, stdout } = await migrate(schema, '--to', 'rows', '--json');
      expect(code).toBe(0);
      const report = JSON.parse(stdout) as ConvertReport;
      expect(report).toMatchObject({ state: 'moved', documents: count });
      expect(report.found).toBeGreaterThanOrEqual(100);
      expect(report.found + report.copied).toBe(count);
      await checkMany(schema, count);
    },
    120_000,
  );

  it('says so when the connection is lost in the middle (4), and goes on', async () => {
    const count = 4000;
    const schema = await many(count);
    const running = migrate(schema, '--to', 'rows', '--batch', '5');
    await expect.poll(() => copied(schema), { timeout: 30_000, interval: 10 }).toBeGreaterThan(100);
    // its last statement may be a BEGIN, which names no schema
    const terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jaf' AND query LIKE $1";
    await expect.poll(async () => (await admin.query(terminate, [`%${schema}%`])).rowCount, { interval: 1 }).toBeGreaterThan(0);
    const { code, stderr } = await running;
    expect(code).toBe(4);
    expect(stderr).toContain('error: [jaf: ');
    expect((await migrate(schema, '--to', 'rows', '--quiet')).code).toBe(0);
    await checkMany(schema, count);
  }, 60_000);

  it('lets one process at a time move a table', async () => {
    const schema = await many(2000);
    const both = await Promise.all([1, 2].map(() => migrate(schema, '--to', 'rows', '--batch', '20', '--json')));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both.map(({ stdout }) => (JSON.parse(stdout) as ConvertReport).state).sort()).toEqual(['already', 'moved']);
    await checkMany(schema, 2000);
  }, 60_000);

  it('loses nothing that a writer was told is stored, and the writer fails loudly afterwards', async () => {
    const schema = await many(2000);
    await using provider = await open({ schema, layout: 'document' });
    const acknowledged: string[] = [];
    const removed: string[] = [];
    let failure = '';
    const stop = new AbortController();
    const write = async (): Promise<void> => {
      for (let n = 1; !stop.signal.aborted; n++) {
        const id = `c${((n * 7919) % 1999) + 1}`;
        try {
          if (n % 50 === 0) {
            await provider.deleteConversation('c2000');
            removed.push('c2000');
          }
          // another program deletes and inserts beside
          if (n % 20 === 0)
            await admin.query(
              `INSERT INTO "${schema}".conversations (conversation_id, messages) VALUES ($1, '[{"role":"user","content":"new"}]')`,
              [`new${n}`],
            );
          if (n % 20 === 0) acknowledged.push(`new${n} new`);
          const result = await provider.appendMessages(id, [user(`w${n}`)]);
          if (!result.ok) throw result.error;
          acknowledged.push(`${id} w${n}`);
        } catch (error) {
          failure = String(error);
          return;
        }
      }
    };
    const writing = write();
    const { code, stdout, stderr } = await migrate(schema, '--to', 'rows', '--json', '--batch', '50');
    stop.abort();
    await writing;
    expect([code, stderr]).toEqual([0, '']);
    expect((JSON.parse(stdout) as ConvertReport).copied).toBeGreaterThan(2000);
    // the first write after the switch, and not one before it
    expect(failure).toMatch(/another shape|SQLSTATE 42883|messages/);
    expect(acknowledged.length).toBeGreaterThan(20);
    await using after = await open({ schema });
    const lost: string[] = [];
    for (const one of acknowledged) {
      const [id = '', text] = one.split(' ');
      if (!(await after.getConversation(id))?.messages.some((m) => textOf(m) === text)) lost.push(one);
    }
    expect(lost).toEqual([]);
    if (removed.length > 0) expect(await after.getConversation('c2000')).toBeUndefined();
  }, 120_000);

  it('copies what was written behind its back, also while it held the table', async () => {
    const schema = await many(10);
    const client = await admin.connect();
    try {
      // with a snapshot of before the lock the last writes would not be seen
      await client.query("SET default_transaction_isolation = 'repeatable read'");
      const query: Session = async (text, values) => {
        // after the copies were verified, before the table is locked
        if (text.startsWith('LOCK TABLE')) {
          await admin.query(
            `UPDATE "${schema}".conversations SET messages = messages || '[{"role":"user","content":"late"}]' WHERE conversation_id = 'c3'`,
          );
          await admin.query(`DELETE FROM "${schema}".conversations WHERE conversation_id = 'c4'`);
          await admin.query(`INSERT INTO "${schema}".conversations (conversation_id, messages) VALUES ('c11', '[]')`);
        }
        const result = await client.query(text, values as unknown[]);
        return Array.isArray(result) ? [] : (result.rows as Record<string, unknown>[]);
      };
      const report = await convertDocuments(query, storeNames('conversations', schema), {
        batch: 100,
        dryRun: false,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      });
      expect(report).toMatchObject({ state: 'moved', documents: 10, copied: 12 });
    } finally {
      client.release(true);
    }
    await using provider = await open({ schema });
    expect((await provider.getConversation('c3'))?.messages.map(textOf).at(-1)).toBe('late');
    expect(await provider.getConversation('c4')).toBeUndefined();
    expect(await provider.getConversation('c11')).toMatchObject({ messageCount: 0 });
  });

  it.each([
    ['a body', `UPDATE {t}_messages SET body = replace(body, 'y', 'z') WHERE conversation_id = 'c5' AND seq = 2`],
    ['a missing message', `DELETE FROM {t}_messages WHERE conversation_id = 'c5' AND seq = 2`],
    [
      'one message too many',
      `INSERT INTO {t}_messages SELECT conversation_id, epoch, 3, body FROM {t}_messages WHERE conversation_id = 'c5' AND seq = 2`,
    ],
    ['an owner', `UPDATE {t} SET owner = 'eve' WHERE conversation_id = 'c5'`],
    ['a time', `UPDATE {t} SET updated_at = updated_at + 1 WHERE conversation_id = 'c5'`],
    ['an expiry', `UPDATE {t} SET expires_at = 1 WHERE conversation_id = 'c5'`],
    ['metadata', `UPDATE {t} SET metadata = '{"n": 6}' WHERE conversation_id = 'c5'`],
    ['a header', `DELETE FROM {t} WHERE conversation_id = 'c5'`],
  ])('finds a copy that differs in %s, and copies it again', async (_what, tamper) => {
    const schema = await many(10);
    const client = await admin.connect();
    const run = async (): Promise<ConvertReport> => {
      let tampered = false;
      const query: Session = async (text, values) => {
        if (!tampered && text.includes('k.digest, k.size')) {
          tampered = true;
          await admin.query(tamper.replaceAll('{t}', `"${schema}".conversations_jaf_new`));
        }
        const result = await client.query(text, values as unknown[]);
        return Array.isArray(result) ? [] : (result.rows as Record<string, unknown>[]);
      };
      return convertDocuments(query, storeNames('conversations', schema), {
        batch: 100,
        dryRun: false,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      });
    };
    try {
      const found = await run();
      expect(found).toMatchObject({ state: 'different', different: ['c5'] });
    } finally {
      client.release(true);
    }
    expect((await migrate(schema, '--to', 'rows')).code).toBe(0);
    await checkMany(schema, 10);
  });

  it('does not switch over while somebody holds the table: 4, and the next run goes on', async () => {
    const schema = await many(10);
    const client = await admin.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SELECT FROM "${schema}".conversations WHERE conversation_id = 'c1' FOR UPDATE`);
      const { code, stderr } = await migrate(schema, '--to', 'rows');
      expect(code).toBe(4);
      expect(stderr).toContain('run this again');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
    const { code, stdout } = await migrate(schema, '--to', 'rows', '--json');
    expect([code, (JSON.parse(stdout) as ConvertReport).found]).toEqual([0, 10]);
    await checkMany(schema, 10);
  }, 60_000);

  it('refuses documents that mean nothing, and names them', async () => {
    const schema = await many(5);
    await admin.query(
      `INSERT INTO "${schema}".conversations (conversation_id, messages) VALUES ('odd', '{}'), ('lost', '[{"$jaf": [1, 3, "a"]}, {"role":"user","content":"x"}, {"$jaf": [3]}]')`,
    );
    const { code, stdout, stderr } = await migrate(schema, '--to', 'rows');
    expect(code).toBe(1);
    expect(stdout).toContain('2 documents');
    expect(stdout).toContain('  odd\n');
    expect(stdout).toContain('  lost\n');
    expect(stderr).toContain('Correct or delete them');
    await admin.query(`DELETE FROM "${schema}".conversations WHERE conversation_id IN ('odd', 'lost')`);
    expect((await migrate(schema, '--to', 'rows')).code).toBe(0);
    await checkMany(schema, 5);
  });

  it('refuses a table with row security, and says which columns stay behind', async () => {
    const schema = await many(2);
    await admin.query(
      `ALTER TABLE "${schema}".conversations ENABLE ROW LEVEL SECURITY; ALTER TABLE "${schema}".conversations ADD COLUMN tenant text`,
    );
    const refused = await migrate(schema, '--to', 'rows');
    expect([refused.code, refused.stderr.includes('has row security')]).toEqual([2, true]);
    await admin.query(`ALTER TABLE "${schema}".conversations DISABLE ROW LEVEL SECURITY`);
    const { code, stdout } = await migrate(schema, '--to', 'rows', '--dry-run');
    expect(code).toBe(0);
    expect(stdout).toContain('Columns that would stay with the old table: tenant.');
    expect(stdout).toContain('Nothing was changed.');
  });

  it('keeps owner and rights, and says who may move', async () => {
    const schema = await many(3);
    const roles = ['owner', 'app', 'report'].map((name) => `jaf_test_${name}_${process.pid}`) as [string, string, string];
    const [owner, app, report] = roles;
    const as = (role: string): string => {
      const url = new URL(server.url);
      url.username = role;
      return url.href;
    };
    for (const role of roles) await admin.query(`CREATE ROLE "${role}" LOGIN; GRANT USAGE ON SCHEMA "${schema}" TO "${role}"`);
    try {
      await admin.query(
        `ALTER TABLE "${schema}".conversations OWNER TO "${owner}"; GRANT SELECT, INSERT, UPDATE, DELETE ON "${schema}".conversations TO "${app}"; GRANT SELECT ON "${schema}".conversations TO "${report}"`,
      );
      const stranger = await cli(['migrate', '--provider', as(app), '--schema', schema, '--to', 'rows']);
      expect([stranger.code, stranger.stderr.includes(`connect as "${owner}"`)]).toEqual([2, true]);
      const denied = await cli(['migrate', '--provider', as(owner), '--schema', schema, '--to', 'rows']);
      expect([denied.code, denied.stderr.includes('GRANT CREATE ON SCHEMA')]).toEqual([2, true]);
      // by a superuser: the tables are the old owner's
      expect((await migrate(schema, '--to', 'rows')).code).toBe(0);
      await using provider = await createPostgresProvider({ connectionString: as(app), schema, sweep: false });
      unwrap(await provider.appendMessages('c1', [user('x')]));
      const owners = await admin.query(
        'SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relnamespace = $1::regnamespace',
        [`"${schema}"`],
      );
      expect(owners.rows).toEqual([{ owner }]);
      const reader = new pg.Client({ connectionString: as(report) });
      await reader.connect();
      try {
        expect(
          (await reader.query(`SELECT count(*)::int AS n FROM "${schema}".conversations_documents WHERE conversation_id = 'c1'`)).rows,
        ).toEqual([{ n: 1 }]);
        await expect(reader.query(`SELECT value FROM "${schema}".conversations_settings`)).rejects.toThrow('permission denied');
      } finally {
        await reader.end();
      }
    } finally {
      for (const role of roles) await admin.query(`DROP OWNED BY "${role}" CASCADE; DROP ROLE "${role}"`);
    }
  });
});

describe('the command', () => {
  it('says what is possible, and which option or name is wrong', async () => {
    const schema = await many(1);
    for (const [args, text] of [
      [[], 'say what to do: --to rows'],
      [['--to', 'documents'], '--to must be "rows"'],
      [['--to', 'rows', '--drop-old'], 'a step of its own'],
      [['--drop-old', '--dry-run'], '--dry-run belongs to'],
      [['--to', 'rows', '--batch', '0'], '--batch must be an integer from 1 to 10000'],
      [['--to', 'rows', '--table', 'none'], 'there is no table'],
      [['--to', 'rows', '--table', 'x;y'], '--table must be'],
    ] as const) {
      const { code, stderr, stdout } = await migrate(schema, ...args);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain(text);
    }
    const sqlite = await cli(['migrate', '--to', 'rows', '--provider', 'sqlite:./x.db']);
    expect([sqlite.code, sqlite.stderr.includes('has no other layout')]).toEqual([2, true]);
    await admin.query(`CREATE TABLE "${schema}".conversations_messages (id int)`);
    const taken = await migrate(schema, '--to', 'rows');
    expect([taken.code, taken.stderr.includes('conversations_messages" is there already')]).toEqual([2, true]);
    await admin.query(`CREATE TABLE "${schema}".other (id int)`);
    const other = await migrate(schema, '--to', 'rows', '--table', `${schema}.other`);
    expect([other.code, other.stderr.includes('not a table of documents')]).toEqual([2, true]);
    const down = await cli(['migrate', '--to', 'rows', '--provider', 'postgresql://jaf@127.0.0.1:1/x']);
    expect(down.code).toBe(3);
  });

  it('works for names of 48 bytes, and prints one line per tenth in a pipe', async () => {
    const schema = await many(30);
    const table = `Order-${'é'.repeat(21)}`;
    await admin.query(`ALTER TABLE "${schema}".conversations RENAME TO "${table}"`);
    const { code, stdout, stderr } = await migrate(schema, '--to', 'rows', '--table', `${schema}.${table}`, '--batch', '3');
    expect(code).toBe(0);
    expect(stdout).toContain(`"${schema}"."${table}" has the layout rows now: 30 conversations, 60 messages`);
    expect(stderr.split('\n')).toContain('15/30 copied');
    expect(stderr.split('\n')).toContain('30/30 verified');
    await using provider = await open({ schema, tableName: table });
    expect(await provider.getStats()).toMatchObject({ totalConversations: 30 });
    expect((await migrate(schema, '--drop-old', '--table', `${schema}.${table}`)).stdout).toMatch(/^Dropped .*_before_jaf_rows"\.\n$/);
  });
});
