// What statements cost in a store of 100,000 conversations: no table is walked, and the pages touched stay few. And a
// conversation of a million messages.
import { randomBytes } from 'node:crypto';
import { textOf, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StorageDriver, Write } from '../../src/memory/driver.js';
import { createPostgresDriver } from '../../src/memory/providers/postgres/driver.js';
import { quoteText } from '../../src/memory/providers/postgres/names.js';
import { usePostgres } from '../support/postgres.js';

const TRIP = { timeout: 60_000 };
const SCHEMA = `jaf_test_plans_${process.pid}`;
const COUNT = 100_000;
const START = 1_705_312_800_000;

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly Plan[];
}

interface Sent {
  readonly name?: string;
  readonly text: string;
  readonly values?: unknown[];
}

const sent: Sent[] = [];
/** Remembers what is sent. */
class Recording extends pg.Client {
  override query(...args: never[]): never {
    const [first] = args as unknown[] as [Sent];
    if (typeof first === 'object' && 'text' in first) sent.push(first);
    return (super.query as (...all: never[]) => never).apply(this, args);
  }
}

let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Client;
let pool: pg.Pool;
let driver: StorageDriver;

beforeAll(async () => {
  server = await usePostgres();
  admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  pool = new pg.Pool({ connectionString: server.url, Client: Recording });
  pool.on('error', () => undefined);
  driver = createPostgresDriver({ schema: SCHEMA }, pool);
  await driver.open();
  await admin.query(`SET search_path = ${SCHEMA}`);
  // 1,000 owners; every 50th has an expiry, every 100th is a tombstone
  await admin.query(
    `INSERT INTO conversations SELECT 'chat-' || n, CASE WHEN n % 100 > 0 THEN 'user-' || n % 1000 END, NULL, 1, $1::bigint + n, $1::bigint + n, $1::bigint + n * 2, NULL,
      CASE WHEN n % 50 = 1 THEN $1::bigint + n * 1000 END, CASE WHEN n % 100 = 0 THEN $1::bigint END, 1, 4, 1, 1202, 2, 0, false, 0, '{w}', ARRAY[1, $1::bigint, 1, 6], '{}'
    FROM generate_series(1, ${COUNT}) n`,
    [START],
  );
  await admin.query(
    `INSERT INTO conversations_messages SELECT 'chat-' || n, 1, seq, repeat('x', 400) FROM generate_series(1, ${COUNT}) n, generate_series(1, 3) seq`,
  );
  await admin.query(
    `INSERT INTO conversations_segments SELECT 'chat-' || n, 0, 1, 3, repeat('x', 100) FROM generate_series(1, ${COUNT}) n`,
  );
  await admin.query('ANALYZE conversations, conversations_messages, conversations_segments, conversations_leftovers');
}, 240_000);
afterAll(async () => {
  await driver?.close();
  await pool?.end();
  await admin?.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${SCHEMA}" CASCADE`);
  await admin?.end();
  await server?.destroy();
});

function nodes(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodes)];
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (Array.isArray(value)) return quoteText(`{${value.map((item) => JSON.stringify(String(item))).join(',')}}`);
  return typeof value === 'string' ? quoteText(value) : JSON.stringify(value);
}

/** Runs what the work sends once more under EXPLAIN, and takes it back. */
async function cost(work: () => Promise<unknown>): Promise<{ walked: string[]; rows: number; pages: number }> {
  sent.length = 0;
  await work();
  const statement = sent.findLast(({ text }) => text.includes('conversations'));
  // the plan that does not know the values: what a prepared statement settles on
  const values = (statement?.values ?? []).map(literal).join(', ');
  await admin.query(`BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; PREPARE cost AS ${statement?.text}`);
  const { rows } = await admin.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
    `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE cost (${values})`,
  );
  await admin.query('DEALLOCATE cost; ROLLBACK');
  const plan = rows[0]?.['QUERY PLAN'][0].Plan as Plan;
  const tables = nodes(plan).filter((node) =>
    ['conversations', 'conversations_messages', 'conversations_segments'].includes(node['Relation Name'] ?? ''),
  );
  expect(tables.length).toBeGreaterThan(0);
  return {
    walked: tables.filter((node) => node['Node Type'].includes('Seq Scan')).map((node) => node['Relation Name'] ?? ''),
    rows: Math.max(
      ...tables.map((node) => ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) * (node['Actual Loops'] ?? 1)),
    ),
    pages: (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0),
  };
}

let counter = 0;
function append(id: string, fields: Partial<Write> = {}): Write {
  return {
    kind: 'append',
    id,
    now: START * 2 + ++counter,
    writer: { id: 'plans', counter },
    retry: false,
    scoped: false,
    create: true,
    bodies: [
      { text: 'x', bytes: 1 },
      { text: 'y', bytes: 1 },
    ],
    ...fields,
  };
}

describe('PostgreSQL: 100,000 conversations', () => {
  const now = START;
  const none = { kind: 'none' } as const;
  const end = { at: 9e15, id: '' };
  const cases: readonly (readonly [string, number, number, () => Promise<unknown>])[] = [
    // name, rows of one table at most, pages at most
    ['append', 2, 80, () => driver.write([append('chat-777')], TRIP)],
    [
      'append with everything',
      8,
      150,
      () =>
        driver.write(
          [
            append('chat-778', {
              operation: { hash: 'h', digest: 'd' },
              maxMessages: 3,
              owner: 'user-778',
              ownerHash: 'x',
              metadata: '{"a":1}',
            }),
          ],
          TRIP,
        ),
    ],
    ['append that is decided in full', 2, 80, () => driver.write([append('chat-777', { hold: false })], TRIP)],
    ['append that creates', 2, 80, () => driver.write([append(`new-${++counter}`)], TRIP)],
    [
      'a batch of 20 appends',
      40,
      1200,
      () =>
        driver.write(
          Array.from({ length: 20 }, (_, i) => append(`chat-${5001 + i * 7}`)),
          TRIP,
        ),
    ],
    ['put', 4, 120, () => driver.write([append('chat-779', { kind: 'put' })], TRIP)],
    [
      'remove',
      4,
      120,
      () => driver.remove({ id: 'chat-901', now, writer: { id: 'r', counter: ++counter }, retry: false, scoped: false }, TRIP),
    ],
    ['read whole', 8, 40, () => driver.read({ id: 'chat-5', now, window: { kind: 'all' } }, TRIP)],
    ['read the newest 2', 2, 40, () => driver.read({ id: 'chat-5', now, window: { kind: 'last', count: 2 } }, TRIP)],
    [
      'newest 20',
      41,
      250,
      () =>
        driver
          .list({ now, by: 'updated', direction: 'desc', limit: 20, window: { kind: 'last', count: 2 } }, TRIP)
          .then((page) => expect(page.items).toHaveLength(20)),
    ],
    [
      'newest 20 of a user',
      41,
      250,
      () =>
        driver
          .list({ now, by: 'updated', direction: 'desc', owner: 'user-7', limit: 20, window: { kind: 'last', count: 2 } }, TRIP)
          .then((page) => expect(page.items).toHaveLength(20)),
    ],
    [
      '20 of a time',
      21,
      120,
      () =>
        driver
          .list({ now, by: 'updated', direction: 'asc', since: START + 100_000, until: START + 101_000, limit: 20, window: none }, TRIP)
          .then((page) => expect(page.items).toHaveLength(20)),
    ],
    [
      'a page of a walk',
      101,
      400,
      () => driver.list({ now, by: 'created', direction: 'asc', after: { at: START + 50_000, id: '' }, limit: 100, window: none }, TRIP),
    ],
    ['a page of totals', 1000, 1200, () => driver.stats({ now, limit: 1000 }, TRIP)],
    ['totals of a user', 100, 400, () => driver.stats({ now, owner: 'user-8', limit: 1000 }, TRIP)],
    ['expired', 50, 1800, () => driver.purge({ kind: 'expired', now: START * 2, limit: 50 }, TRIP)],
    ['idle', 51, 1800, () => driver.purge({ kind: 'idle', now, until: START + 10_000, limit: 50 }, TRIP)],
    [
      'clear a user',
      50,
      1800,
      () => driver.purge({ kind: 'user', owner: 'user-9', now, upTo: end, allowHold: false, forget: false, limit: 50 }, TRIP),
    ],
    [
      'erase a user',
      300,
      4500,
      () => driver.purge({ kind: 'user', owner: 'user-11', now, upTo: end, allowHold: false, forget: true, limit: 50 }, TRIP),
    ],
    ['reap', 6000, 40_000, () => driver.purge({ kind: 'reap', now, limit: 100 }, TRIP)],
  ];
  it.each(cases)('%s uses an index and touches at most %i rows of a table and %i pages', async (_name, rows, pages, work) => {
    const found = await cost(work);
    expect(found.walked).toEqual([]);
    expect(found.rows).toBeLessThanOrEqual(rows);
    expect(found.pages).toBeLessThanOrEqual(pages);
  });

  it('prepared statements settle on a plan and keep it', async () => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    const lent = createPostgresDriver({ schema: SCHEMA }, client);
    await lent.open();
    try {
      for (let n = 0; n < 20; n++) {
        await lent.write([append('chat-780')], TRIP);
        await lent.write(
          [append('chat-780', { expectedVersion: (await lent.read({ id: 'chat-780', now, window: none }, TRIP))?.header.version })],
          TRIP,
        );
        await lent.read({ id: 'chat-780', now, window: { kind: 'last', count: 2 } }, TRIP);
        await lent.list({ now, by: 'updated', direction: 'desc', owner: 'user-7', limit: 20, window: none }, TRIP);
      }
      const { rows } = await client.query<{ name: string; generic: number; custom: number }>(
        'SELECT name, generic_plans::int AS generic, custom_plans::int AS custom FROM pg_prepared_statements',
      );
      expect(
        rows
          .filter(({ name }) => /^jaf_(append|follow|write|read)_/.test(name))
          .map(({ generic, custom }) => [generic, custom])
          .sort(),
      ).toEqual([
        [0, 1], // the first append; those behind it follow a write of the same writer
        [14, 5],
        [15, 5], // write, and a read for each of two kinds of window
        [15, 5],
        [15, 5],
      ]);
    } finally {
      await client.end();
    }
  });
});

describe('PostgreSQL: statements of an append', () => {
  const names = (): string[] => sent.map(({ name = '' }) => name.split('_')[1] ?? '');

  it('one writer: the short one from the second append on; two who take turns: rarely in vain', async () => {
    const two = createPostgresDriver({ schema: SCHEMA }, pool);
    await two.open();
    sent.length = 0;
    for (let n = 0; n < 5; n++) await driver.write([append('alone', { writer: { id: 'one', counter: ++counter } })], TRIP);
    expect(names()).toEqual(['append', 'follow', 'follow', 'follow', 'follow']);
    sent.length = 0;
    for (let n = 0; n < 34; n++) {
      await driver.write([append('shared', { writer: { id: 'one', counter: ++counter } })], TRIP);
      await two.write([append('shared', { writer: { id: 'two', counter: ++counter } })], TRIP);
    }
    const follows = names().filter((name) => name === 'follow').length;
    // each writer's first guess is wrong, and one of every 17 afterwards
    expect(follows).toBeGreaterThan(0);
    expect(follows).toBeLessThanOrEqual(6);
    expect(names().filter((name) => name === 'append')).toHaveLength(68);
    const stored = await driver.read({ id: 'shared', now: START * 3, window: { kind: 'all' } }, TRIP);
    expect(stored?.bodies.map(({ seq }) => seq)).toEqual(Array.from({ length: 136 }, (_, n) => n + 1));
  });
});

describe('PostgreSQL: a conversation of 1,000,000 messages', () => {
  const load = async (id: string): Promise<void> => {
    await admin.query(`INSERT INTO conversations_messages SELECT $1, 5, seq, repeat('x', 100) FROM generate_series(1, 1000000) seq`, [id]);
    await admin.query(
      `INSERT INTO conversations SELECT $1, NULL, NULL, 5, $2::bigint, $2::bigint, $2::bigint, NULL, NULL, NULL, 1, 1000001, 1, 100000002, 2, 0, false, 0, '{w}', ARRAY[1, $2::bigint, 1, 6], '{}'`,
      [id, START],
    );
  };

  it('is deleted, replaced and trimmed within the deadline, and reaped in bounded batches', { timeout: 300_000 }, async () => {
    const { createPostgresProvider } = await import('jaf/memory');
    await using provider = await createPostgresProvider({ connectionString: server.url, schema: SCHEMA, sweep: false, deadline: 5000 });
    for (const id of ['deleted', 'replaced', 'trimmed']) await load(id);
    await admin.query('ANALYZE conversations_messages');
    expect(await provider.deleteConversation('deleted')).toBe(true);
    expect(unwrap(await provider.storeMessages('replaced', [user('new')])).messageCount).toBe(1);
    expect(unwrap(await provider.appendMessages('trimmed', [user('new')], undefined, { maxMessages: 1 })).messageCount).toBe(1);
    for (const id of ['replaced', 'trimmed']) expect((await provider.getRecentMessages(id)).map(textOf)).toEqual(['new']);
    expect(await provider.getConversation('deleted')).toBeUndefined();
    const first = await driver.purge({ kind: 'reap', now: START, limit: 100 }, TRIP);
    expect(first.more).toBe(true);
    expect(first.messages).toBeLessThanOrEqual(5000);
    for (let batches = 1; ; batches++) {
      expect(batches).toBeLessThan(1000);
      if (!(await driver.purge({ kind: 'reap', now: START, limit: 100 }, { timeout: 5000 })).more) break;
    }
    expect(
      (
        await admin.query(
          `SELECT count(*)::int AS n FROM conversations_messages WHERE conversation_id IN ('deleted', 'replaced', 'trimmed')`,
        )
      ).rows,
    ).toEqual([{ n: 2 }]);
    expect((await admin.query('SELECT 1 FROM conversations_leftovers')).rowCount).toBe(0);
  });
});

describe('PostgreSQL, layout document: a conversation of 1,000 messages', () => {
  it('is unpacked a few times by a read, not once for each message', async () => {
    const { createPostgresProvider } = await import('jaf/memory');
    const schema = `${SCHEMA}_document`;
    await using provider = await createPostgresProvider({ schema, layout: 'document' }, pool);
    try {
      // text that does not compress
      const messages = Array.from({ length: 1000 }, () => user(randomBytes(150).toString('base64')));
      unwrap(await provider.storeMessages('long', messages));
      const whole = (await cost(() => provider.getConversation('long'))).pages;
      expect(whole).toBeGreaterThan(50);
      const { pages } = await cost(() => provider.getRecentMessages('long', 50));
      expect(pages).toBeLessThan(whole * 3);
    } finally {
      await admin.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    }
  });
});
