import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSqliteProvider, type MemoryProvider, unwrap, user } from 'jaf/memory';
import { afterAll, expect, it } from 'vitest';
import { configure, connect, loadSqlite } from '../../src/memory/providers/sqlite/client.js';

const folder = mkdtempSync(join(tmpdir(), 'jaf-sqlite-cost-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROUNDS = 2000;
const text = 'x'.repeat(370); // a body of about 400 bytes

function median(times: number[]): number {
  times.sort((a, b) => a - b);
  return (times[times.length >> 1] ?? 0) * 1000;
}

/** Microseconds of a bare prepared INSERT of two rows of the same size, each in a transaction, into a table like ours. */
async function bareInsert(): Promise<{ median: number; mean: number }> {
  const db = connect(await loadSqlite(), join(folder, 'bare.db'));
  configure(db, 'normal');
  db.exec('CREATE TABLE m (c INTEGER NOT NULL, e INTEGER NOT NULL, s INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (c, e, s)) STRICT');
  const [begin, insert, commit] = ['BEGIN IMMEDIATE', 'INSERT INTO m VALUES (1, 1700000000000, ?1, ?2)', 'COMMIT'].map((sql) =>
    db.prepare(sql),
  );
  const body = 'x'.repeat(400);
  const times: number[] = [];
  for (let n = 0; n < ROUNDS; n++) {
    const started = performance.now();
    begin?.run();
    insert?.run(2 * n, body);
    insert?.run(2 * n + 1, body);
    commit?.run();
    times.push(performance.now() - started);
  }
  db.close();
  const mean = (times.reduce((a, b) => a + b) / times.length) * 1000;
  return { median: median(times), mean };
}

/** Microseconds of an append of two messages to a conversation that holds so many. */
async function append(provider: MemoryProvider, held: number): Promise<number> {
  const id = `held-${held}`;
  const pair = [user(text), user(text)];
  unwrap(await provider.storeMessages(id, []));
  for (let n = 0; n < held; n += 1000)
    unwrap(
      await provider.appendMessages(
        id,
        Array.from({ length: Math.min(1000, held - n) }, () => user(text)),
      ),
    );
  const times: number[] = [];
  for (let n = 0; n < ROUNDS; n++) {
    const started = performance.now();
    const result = await provider.appendMessages(id, pair);
    times.push(performance.now() - started);
    unwrap(result);
  }
  expect((await provider.getConversation(id, { messageLimit: 1 }))?.messageCount).toBe(held + 2 * ROUNDS);
  return median(times);
}

/** Microseconds per append of two messages when 64 conversations are written at the same time. */
async function concurrent(provider: MemoryProvider): Promise<number> {
  const ids = Array.from({ length: 64 }, (_, n) => `at-once-${n}`);
  const pair = [user(text), user(text)];
  for (const id of ids) unwrap(await provider.storeMessages(id, []));
  const started = performance.now();
  for (let n = 0; n < 50; n++) await Promise.all(ids.map(async (id) => unwrap(await provider.appendMessages(id, pair))));
  return ((performance.now() - started) / (50 * ids.length)) * 1000;
}

it('measures an append of two messages against a bare insert of two rows (printed, not judged)', async () => {
  await using provider = await createSqliteProvider({ path: join(folder, 'cost.db'), sweep: false });
  await append(provider, 1); // warms up: the first thousand calls run uncompiled
  const bare = await bareInsert();
  const lines = [
    `Node ${process.version}; a bare INSERT of two rows: median ${bare.median.toFixed(1)} µs, mean ${bare.mean.toFixed(1)} µs`,
  ];
  for (const held of [10, 1000, 100_000]) {
    const time = await append(provider, held);
    lines.push(`append to ${held} messages: median ${time.toFixed(1)} µs, ${(bare.median / time).toFixed(2)} of the bare rate`);
  }
  const time = await concurrent(provider);
  lines.push(`append, 64 conversations at once: mean ${time.toFixed(1)} µs each, ${(bare.mean / time).toFixed(2)} of the bare rate`);
  console.log(lines.join('\n'));
});
