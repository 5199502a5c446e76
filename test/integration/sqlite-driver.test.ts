import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSqliteProvider, unwrap, user } from 'jaf/memory';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  type Body,
  OPERATIONS_KEPT,
  type Purge,
  type PurgeOutcome,
  type StorageDriver,
  TOMBSTONE_MS,
  type Write,
  type WriteOutcome,
} from '../../src/memory/driver.js';
import { connect, type Database, loadSqlite } from '../../src/memory/providers/sqlite/client.js';
import { createSqliteDriver } from '../../src/memory/providers/sqlite/driver.js';
import { Statements, statementTexts } from '../../src/memory/providers/sqlite/statements.js';

const folder = mkdtempSync(join(tmpdir(), 'jaf-sqlite-driver-'));
const module = await loadSqlite();
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const trip = { timeout: 5000 };
let files = 0;
const file = (): string => join(folder, `driver-${++files}.db`);
let now = 1_700_000_000_000;

async function driverOn(path: string): Promise<StorageDriver> {
  const driver = createSqliteDriver({ path, clock: () => now });
  await driver.open();
  open.push(driver);
  return driver;
}

/** A connection beside the driver's. */
function besides(path: string): Database {
  const db = connect(module, path);
  open.push(db);
  return db;
}

function countIn(db: Database, table: string): number {
  return (db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n;
}

function messagesIn(db: Database): number {
  return (db.prepare('SELECT coalesce(sum(next - (id & 4294967295)), 0) AS n FROM messages').get() as { n: number }).n;
}

let counter = 0;
const bodiesOf = (texts: readonly string[]): Body[] => texts.map((text) => ({ text, bytes: Buffer.byteLength(text) }));
function write(id: string, texts: readonly string[], more: Partial<Write> = {}): Write {
  return {
    kind: 'append',
    id,
    now,
    writer: { id: 'w1', counter: ++counter },
    retry: false,
    scoped: false,
    create: true,
    bodies: bodiesOf(texts),
    ...more,
  };
}
async function send(driver: StorageDriver, ...batch: Write[]): Promise<readonly WriteOutcome[]> {
  return driver.write(batch, trip);
}
async function textsOf(driver: StorageDriver, id: string): Promise<string[] | undefined> {
  return (await driver.read({ id, now, window: { kind: 'all' } }, trip))?.bodies.map((b) => b.body.text);
}
async function purgeAll(driver: StorageDriver, purge: Purge): Promise<PurgeOutcome[]> {
  const outcomes: PurgeOutcome[] = [];
  let next = purge;
  for (;;) {
    const outcome = await driver.purge(next, trip);
    outcomes.push(outcome);
    if (!outcome.more) return outcomes;
    if (next.kind === 'user') next = { ...next, after: outcome.cursor ?? next.after };
    expect(outcomes.length).toBeLessThan(1000);
  }
}
const range = (count: number, prefix = 'm'): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);

describe('the SQLite driver', () => {
  it('never works from what it remembers when another connection has written', async () => {
    const path = file();
    const [a, b] = [await driverOn(path), await driverOn(path)];
    await send(a, write('c', ['a1']));
    await send(b, write('c', ['b1'], { writer: { id: 'w2', counter: 1 } }));
    await send(a, write('c', ['a2'], { metadata: '{"x":1}' }));
    await send(b, write('c', ['b2'], { writer: { id: 'w2', counter: 2 }, metadata: '{"y":2}' }));
    expect(await textsOf(a, 'c')).toEqual(['a1', 'b1', 'a2', 'b2']);
    expect((await a.read({ id: 'c', now, window: { kind: 'none' } }, trip))?.header.metadata).toBe('{"x":1,"y":2}');
    await b.remove({ id: 'c', now, writer: { id: 'w2', counter: 3 }, retry: false, scoped: false }, trip);
    expect(await send(a, write('c', ['a3'], { create: false }))).toEqual([{ kind: 'missing' }]);
  });

  it('forgets a batch that failed, whole', async () => {
    const driver = await driverOn(file());
    await send(driver, write('c', ['m1']));
    const bad = { text: {} as string, bytes: 2 };
    const failure: unknown = await send(driver, write('c', ['m2']), write('d', ['x']), { ...write('e', []), bodies: [bad] }).catch(
      (e: unknown) => e,
    );
    expect(failure).toBeInstanceOf(Error);
    expect(driver.classify(failure).kind).toBe('storage');
    expect(await send(driver, write('c', ['m3']))).toMatchObject([{ kind: 'ok', receipt: { messageCount: 2 } }]);
    expect(await textsOf(driver, 'c')).toEqual(['m1', 'm3']);
    expect(await textsOf(driver, 'd')).toBeUndefined();
  });

  it('calls a file that another process has locked retryable, and a provider waits for it', async () => {
    const path = file();
    const driver = await driverOn(path);
    await send(driver, write('c', ['m1']));
    const other = besides(path);
    other.exec('BEGIN IMMEDIATE');
    const failure: unknown = await send(driver, write('c', ['m2'])).catch((e: unknown) => e);
    expect(driver.classify(failure)).toEqual({ kind: 'retryable', reason: 'the database is locked by another writer' });
    expect(await textsOf(driver, 'c'), 'reads go on').toEqual(['m1']);
    other.exec('ROLLBACK');

    const retried = new Promise<void>((resolve) => {
      void createSqliteProvider({ path, sweep: false, deadline: 60_000, onEvent: (event) => event.type === 'retried' && resolve() }).then(
        async (provider) => {
          open.push(provider);
          other.exec('BEGIN IMMEDIATE');
          waiting = provider.appendMessages('d', [user('hello')], undefined, { createIfMissing: true });
        },
      );
    });
    let waiting: ReturnType<Awaited<ReturnType<typeof createSqliteProvider>>['appendMessages']> | undefined;
    await retried;
    other.exec('COMMIT');
    expect(unwrap((await waiting) ?? expect.fail('no append was sent')).messageCount).toBe(1);
  });

  it('deletes few leftovers at once, and many in bounded batches of a reap', async () => {
    const path = file();
    const driver = await driverOn(path);
    const db = besides(path);
    await send(driver, write('few', range(200)));
    await send(driver, write('few', ['last'], { maxMessages: 1 }));
    expect([messagesIn(db), countIn(db, 'leftovers')]).toEqual([1, 0]);

    await send(driver, write('many', range(5000)));
    expect(await send(driver, write('many', ['last'], { maxMessages: 1 }))).toMatchObject([{ kind: 'ok', trimmed: 5000 }]);
    await send(driver, write('gone', range(3000)));
    await driver.remove({ id: 'gone', now, writer: { id: 'w1', counter: ++counter }, retry: false, scoped: false }, trip);
    // a life of the same conversation after its end: the reap must tell them apart
    await send(driver, write('gone', ['second life']));
    expect([messagesIn(db), countIn(db, 'leftovers')]).toEqual([8003, 2]);

    const outcomes = await purgeAll(driver, { kind: 'reap', now, limit: 500 });
    expect(outcomes.length).toBeGreaterThanOrEqual(4);
    for (const { messages, removed } of outcomes) expect([removed, messages <= 2000 + 64]).toEqual([0, true]);
    expect(outcomes.reduce((sum, o) => sum + o.messages, 0)).toBe(8000);
    expect([messagesIn(db), countIn(db, 'leftovers')]).toEqual([3, 0]);
    expect([await textsOf(driver, 'few'), await textsOf(driver, 'many'), await textsOf(driver, 'gone')]).toEqual([
      ['last'],
      ['last'],
      ['second life'],
    ]);
  });

  it('keeps a tombstone for its time and until its bodies are gone', async () => {
    const path = file();
    const driver = await driverOn(path);
    const db = besides(path);
    await send(driver, write('c', range(5000)));
    await driver.remove({ id: 'c', now, writer: { id: 'w1', counter: ++counter }, retry: false, scoped: false }, trip);
    const removedAt = now;
    now = removedAt + TOMBSTONE_MS - 1;
    await purgeAll(driver, { kind: 'reap', now, limit: 10 });
    expect([countIn(db, 'conversations'), messagesIn(db)]).toEqual([1, 0]);
    // over by the caller's clock, not yet by the driver's
    await purgeAll(driver, { kind: 'reap', now: now + 1_000_000, limit: 10 });
    expect(countIn(db, 'conversations')).toBe(1);
    now = removedAt + TOMBSTONE_MS;
    await purgeAll(driver, { kind: 'reap', now, limit: 10 });
    expect(countIn(db, 'conversations')).toBe(0);

    await send(driver, write('d', range(5000)));
    await driver.remove({ id: 'd', now, writer: { id: 'w1', counter: ++counter }, retry: false, scoped: false }, trip);
    now += TOMBSTONE_MS;
    await driver.purge({ kind: 'reap', now, limit: 10 }, trip);
    expect([countIn(db, 'conversations'), messagesIn(db) > 0]).toEqual([1, true]);
    await purgeAll(driver, { kind: 'reap', now, limit: 10 });
    expect([countIn(db, 'conversations'), messagesIn(db)]).toEqual([0, 0]);
  });

  it('forgets a user in bounded batches, counts each conversation once, and leaves nothing readable in the file', async () => {
    const path = file();
    const driver = await driverOn(path);
    const db = besides(path);
    const secret = 'the-secret-of-ann';
    const owned = { owner: 'ann', operation: { hash: 'h', digest: 'd' } };
    await send(
      driver,
      write('ann-1', range(5000, `${secret}-`), owned),
      write('ann-2', [secret], { ...owned, metadata: `{"note":"${secret}"}` }),
    );
    await send(driver, write('ann-2', [secret], { kind: 'put', owner: 'ann' }), write('bob', ['b1'], { owner: 'bob' }));
    expect(readFileSync(`${path}-wal`).includes(secret)).toBe(true);

    const purge: Purge = {
      kind: 'user',
      owner: 'ann',
      upTo: { at: Number.MAX_SAFE_INTEGER, id: '' },
      allowHold: true,
      forget: true,
      now,
      limit: 500,
    };
    const first = await driver.purge(purge, trip);
    expect(first).toMatchObject({ removed: 1, messages: 5000, more: true });
    expect(await textsOf(driver, 'ann-1'), 'invisible from the first batch on').toBeUndefined();
    expect(
      (await driver.list({ now: 0, by: 'updated', direction: 'asc', owner: 'ann', limit: 10, window: { kind: 'none' } }, trip)).items.map(
        (i) => i.header.id,
      ),
    ).toEqual(['ann-2']);
    const rest = await purgeAll(driver, { ...purge, after: first.cursor });
    expect(rest.reduce((sum, o) => sum + o.removed, 0)).toBe(1);
    expect([messagesIn(db), countIn(db, 'conversations')]).toEqual([1, 1]);
    for (const table of ['operations', 'leftovers', 'segments']) expect([table, countIn(db, table)]).toEqual([table, 0]);
    for (const part of [path, `${path}-wal`])
      expect([part, readFileSync(part).includes(secret), readFileSync(part).includes('ann-')]).toEqual([part, false, false]);
    expect(await textsOf(driver, 'bob')).toEqual(['b1']);
    // without a tombstone a retry begun before can no longer be decided
    expect(await send(driver, write('ann-1', ['x'], { retry: true, now: now - 1 }))).toEqual([{ kind: 'unknown' }]);
    expect(await send(driver, write('ann-1', ['x'], { retry: true, now: now + 1 }))).toMatchObject([{ kind: 'ok' }]);
  });

  it('lets the process breathe between the batches of a long purge', async () => {
    let turns = 0;
    let counting = true;
    const count = (): void => {
      turns++;
      if (counting) setImmediate(count);
    };
    await using provider = await createSqliteProvider({ path: file(), sweep: false, clock: () => now });
    await Promise.all(range(1200, 'c').map(async (id) => unwrap(await provider.storeMessages(id, [], undefined, { ttl: 1 }))));
    now += 1000;
    setImmediate(count);
    expect(await provider.purgeExpired()).toBe(1200);
    counting = false;
    expect(turns).toBeGreaterThanOrEqual(2);
  });

  it('keeps the bodies of a write in few rows, reads any part of them, and cuts them where they are trimmed or packed', async () => {
    const path = file();
    const driver = await driverOn(path);
    const db = besides(path);
    await send(driver, write('c', range(20)));
    expect([countIn(db, 'messages'), messagesIn(db)]).toEqual([3, 20]);
    const windows = [
      [{ kind: 'last', count: 5 }, range(20).slice(15)],
      [{ kind: 'after', seq: 6, before: 12, limit: 9 }, range(20).slice(6, 11)],
      [{ kind: 'before', seq: 4, limit: 2 }, ['m2', 'm3']],
    ] as const;
    for (const [window, texts] of windows) {
      const bodies = (await driver.read({ id: 'c', now, window }, trip))?.bodies ?? [];
      expect(bodies.map((b) => [b.seq, b.body.text, b.body.bytes])).toEqual(texts.map((t) => [Number(t.slice(1)), t, t.length]));
    }

    const stored = await driver.read({ id: 'c', now, window: { kind: 'none' } }, trip);
    const epoch = stored?.header.epoch ?? 0;
    expect(await driver.pack({ id: 'c', epoch, from: 1, to: 4, data: new Uint8Array(3), now }, trip)).toBe('ok');
    expect(messagesIn(db)).toBe(17);
    expect((await driver.read({ id: 'c', now, window: { kind: 'none' } }, trip))?.header.bytes).toBe(
      3 + 2 + range(20).slice(3).join('').length,
    );
    await send(driver, write('c', ['m21'], { maxMessages: 7 }));
    expect(await textsOf(driver, 'c')).toEqual([...range(20).slice(14), 'm21']);
    expect((await driver.read({ id: 'c', now, window: { kind: 'none' } }, trip))?.header.bytes).toBe(2 + 7 * 3);
    // what was trimmed is not in a row beside what stayed
    expect([messagesIn(db), countIn(db, 'segments')]).toEqual([7, 0]);
    expect(db.prepare("SELECT count(*) AS n FROM messages WHERE bodies LIKE '%m14%'").get()).toEqual({ n: 0 });
  });

  it('reads the same from a SQLite that cannot give rows as arrays (Node before 22.16)', async () => {
    const path = file();
    const driver = await driverOn(path);
    await send(driver, write('c', range(20), { owner: 'ann', metadata: '{"x":1}' }));
    const db = besides(path);
    const old: Database = {
      exec: (text) => db.exec(text),
      close: () => db.close(),
      prepare: (text) => {
        const statement = db.prepare(text);
        return {
          run: (...values) => statement.run(...values),
          get: (...values) => statement.get(...values),
          all: (...values) => statement.all(...values),
        };
      },
    };
    const [today, before] = [new Statements(db), new Statements(old)];
    const key = today.value<number>('conversation', 'c') ?? 0;
    expect(key).toBeGreaterThan(0);
    expect(before.value('conversation', 'c')).toBe(key);
    expect(today.tuple('header', 'c')).toHaveLength(17);
    expect(before.tuple('header', 'c')).toEqual(today.tuple('header', 'c'));
    expect(before.tuples('messages', key, 0, 20)).toEqual(today.tuples('messages', key, 0, 20));
    expect(before.get('oldestMessages', key, 20, 16)).toEqual(today.get('oldestMessages', key, 20, 16));
    expect(before.all('totals', 0, '', 10)).toEqual(today.all('totals', 0, '', 10));
    expect(today.tuple('header', 'none') ?? before.tuple('header', 'none') ?? before.get('barred', 'x')).toBeUndefined();
  });

  it('takes bodies with line breaks', async () => {
    const driver = await driverOn(file());
    for (const texts of [['a', 'b\nc', 'd', 'e', ''], ['\n', '', '\n\n', 'x\n'], ['']]) {
      await send(driver, write('c', texts, { kind: 'put' }));
      expect(await textsOf(driver, 'c')).toEqual(texts);
    }
  });

  it('says that a message is missing when somebody has deleted it from the file', async () => {
    const path = file();
    await using provider = await createSqliteProvider({ path, sweep: false });
    for (let n = 0; n < 3; n++) unwrap(await provider.appendMessages('c', [user('a'), user('b')], undefined, { createIfMissing: true }));
    besides(path).exec('DELETE FROM messages WHERE id = (SELECT min(id) + 2 FROM messages)');
    await expect(provider.getConversation('c')).rejects.toMatchObject({ code: 'corrupt', message: expect.stringContaining('message 3 ') });
    expect(await provider.getRecentMessages('c', 2)).toHaveLength(2);
  });

  it('refuses what it cannot number any more', async () => {
    const path = file();
    const driver = await driverOn(path);
    await send(driver, write('c', ['m1']));
    besides(path).exec('UPDATE conversations SET base = base - 4294967295');
    const failure: unknown = await send(driver, write('c', ['m2'])).catch((e: unknown) => e);
    expect(driver.classify(failure)).toEqual({ kind: 'storage', reason: expect.stringContaining('4,294,967,296 messages') });
  });

  it('lets the process breathe in a loop of awaited writes, so that packing keeps up', async () => {
    let turns = 0;
    let counting = true;
    const count = (): void => {
      turns++;
      if (counting) setImmediate(count);
    };
    await using provider = await createSqliteProvider({ path: file(), sweep: false });
    setImmediate(count);
    // fewer than the layer lets pass before it gives the event loop a turn by itself
    for (let n = 0; n < 200; n++) unwrap(await provider.appendMessages('c', [user('a'), user('b')], undefined, { createIfMissing: true }));
    counting = false;
    expect(turns).toBeGreaterThanOrEqual(2);
  });

  it('keeps the table of operations small', async () => {
    const path = file();
    const driver = await driverOn(path);
    const db = besides(path);
    const operation = (n: number): Partial<Write> => ({ operation: { hash: `h${n}`, digest: `d${n}` } });
    for (let n = 1; n <= 300; n++) await send(driver, write('c', ['m'], operation(n)));
    expect(countIn(db, 'operations')).toBeLessThan(2 * OPERATIONS_KEPT);
    expect(await send(driver, write('c', ['m'], operation(300 - OPERATIONS_KEPT + 1)))).toMatchObject([{ kind: 'duplicate' }]);
    expect(await send(driver, write('c', ['m'], operation(300 - OPERATIONS_KEPT)))).toMatchObject([{ kind: 'ok' }]);
  });

  it('ends a list page early when its bodies are large, and loses none', async () => {
    const driver = await driverOn(file());
    const large = 'x'.repeat(1_000_000);
    for (const id of range(30, 'c')) await send(driver, write(id, [large]));
    const pages: number[] = [];
    let after: { at: number; id: string } | undefined;
    do {
      const page = await driver.list({ now, by: 'updated', direction: 'desc', after, limit: 32, window: { kind: 'all' } }, trip);
      pages.push(page.items.length);
      after = page.cursor;
    } while (after);
    expect(Math.max(...pages)).toBeLessThan(10);
    expect(pages.reduce((a, b) => a + b)).toBe(30);
  });

  it('looks at a bounded number of conversations per page, however few match', async () => {
    const driver = await driverOn(file());
    await driver.write(
      range(2500, 'c').map((id) => write(id, [], { trace: id === 'c2500' ? 'wanted' : 'other' })),
      trip,
    );
    let pages = 0;
    const found: string[] = [];
    let after: { at: number; id: string } | undefined;
    do {
      const page = await driver.list(
        { now, by: 'created', direction: 'asc', trace: 'wanted', after, limit: 10, window: { kind: 'none' } },
        trip,
      );
      pages++;
      found.push(...page.items.map((item) => item.header.id));
      after = page.cursor;
    } while (after);
    expect(found).toEqual(['c2500']);
    expect(pages).toBeGreaterThan(2);
  });

  it('answers every walk from its index, without sorting or scanning', async () => {
    const path = file();
    await driverOn(path);
    const db = besides(path);
    const plans: Record<string, string[]> = {};
    for (const [name, text] of statementTexts()) {
      if (!/\b(SELECT|UPDATE|DELETE)\b/.test(text) || !/\?1/.test(text)) continue;
      const values = Array.from({ length: Math.max(...(text.match(/(?<=\?)\d+/g) ?? []).map(Number)) }, () => 1);
      plans[name] = (db.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...values) as { detail: string }[]).map((row) => row.detail);
    }
    expect(Object.keys(plans).length).toBeGreaterThan(30);
    for (const [name, details] of Object.entries(plans)) {
      // leftovers and bars are the lists of what is to be done; (subquery-…) is what a subquery has picked already
      const scans = details.filter((d) => /SCAN|TEMP B-TREE/.test(d) && !/SCAN (leftovers|bars|\(subquery-\d+\)|CONSTANT ROW)/.test(d));
      expect([name, scans]).toEqual([name, []]);
    }
    expect(plans['ownerUpdatedDesc']?.join()).toMatch(/USING INDEX conversations_owner_updated \(owner=\? AND \(?updated_at/);
  });
});
