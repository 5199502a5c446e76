// Many writers for a while: no deadlock, no stall, nothing lost, doubled or out of order. JAF_TEST_SECONDS says for how long
// (default 6; the figures of the documents are of 30).
import { createPostgresProvider, type MemoryProvider, textOf, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usePostgres } from '../support/postgres.js';

const SECONDS = Number(process.env['JAF_TEST_SECONDS'] ?? 6);
const WRITERS = 64;
const CONVERSATIONS = 16;
let server: Awaited<ReturnType<typeof usePostgres>>;
let admin: pg.Client;
const schemas: string[] = [];
beforeAll(async () => {
  server = await usePostgres();
  admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
});
afterAll(async () => {
  for (const schema of schemas) await admin.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await admin?.end();
  await server?.destroy();
});

it.each(['rows', 'document'] as const)(
  `64 writers over 16 conversations and a caller's transaction beside them, layout %s`,
  async (layout) => {
    const schema = `jaf_test_load_${process.pid}_${layout}`;
    schemas.push(schema);
    const open = (client?: pg.Client): Promise<MemoryProvider> =>
      createPostgresProvider(
        { ...(client ? {} : { connectionString: server.url }), schema, layout, deadline: 30_000, sweep: { every: 1 } },
        client,
      );
    // two processes' worth of providers: batches of one meet the locks of the other
    await using first = await open();
    await using second = await open();
    const before = Number(
      (await admin.query<{ n: string }>('SELECT deadlocks AS n FROM pg_stat_database WHERE datname = current_database()')).rows[0]?.n,
    );
    const until = performance.now() + SECONDS * 1000;
    const acknowledged = Array.from({ length: WRITERS }, () => new Map<string, string[]>());
    let slowest = 0;

    const writer = async (w: number): Promise<void> => {
      const provider = w % 2 === 0 ? first : second;
      for (let n = 0; performance.now() < until; n++) {
        const id = `chat-${Math.floor(Math.random() * CONVERSATIONS)}`;
        const texts = Array.from({ length: 1 + Math.floor(Math.random() * 4) }, (_, k) => `${w}:${n}.${k}`);
        // some with what takes the longer statement
        const options = { createIfMissing: true, ...(n % 7 === 0 ? { operationId: `${w}-${n}` } : {}) };
        const started = performance.now();
        unwrap(await provider.appendMessages(id, texts.map(user), n % 5 === 0 ? { [`w${w}`]: n } : undefined, options));
        slowest = Math.max(slowest, performance.now() - started);
        acknowledged[w]?.set(id, [...(acknowledged[w].get(id) ?? []), ...texts]);
      }
    };
    /** Holds one conversation and awaits a pooled write to another: whoever waits for a lock must not hold what it waits for. */
    const holder = async (): Promise<number> => {
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      try {
        await using lent = await open(client);
        let rounds = 0;
        for (; performance.now() < until; rounds++) {
          const held = rounds % CONVERSATIONS;
          await client.query('BEGIN');
          unwrap(await lent.appendMessages(`chat-${held}`, [user(`held:${rounds}`)], undefined, { createIfMissing: true }));
          unwrap(
            await first.appendMessages(`chat-${(held + 1) % CONVERSATIONS}`, [user(`beside:${rounds}`)], undefined, {
              createIfMissing: true,
            }),
          );
          await client.query(rounds % 3 === 0 ? 'ROLLBACK' : 'COMMIT');
        }
        return rounds;
      } finally {
        await client.end();
      }
    };
    const [rounds] = await Promise.all([holder(), ...Array.from({ length: WRITERS }, (_, w) => writer(w))]);

    const stored = new Map<string, string[]>();
    for (let c = 0; c < CONVERSATIONS; c++) {
      const id = `chat-${c}`;
      const conversation = await first.getConversation(id);
      const texts = (conversation?.messages ?? []).map(textOf);
      expect(new Set(texts).size, `doubled in ${id}`).toBe(texts.length);
      stored.set(id, texts);
    }
    let count = 0;
    for (const [w, own] of acknowledged.entries()) {
      for (const [id, texts] of own) {
        expect(
          stored.get(id)?.filter((text) => text.startsWith(`${w}:`)),
          `of writer ${w} in ${id}`,
        ).toEqual(texts);
        count += texts.length;
      }
    }
    const all = [...stored.values()].flat();
    const held = all.filter((text) => text.startsWith('held:')).map((text) => Number(text.slice(5)));
    // rolled back ones are not there, committed ones are
    expect(held.sort((a, b) => a - b)).toEqual(Array.from({ length: rounds }, (_, n) => n).filter((n) => n % 3 !== 0));
    expect(all.filter((text) => text.startsWith('beside:'))).toHaveLength(rounds);
    expect(all).toHaveLength(count + held.length + rounds);
    const after = Number(
      (await admin.query<{ n: string }>('SELECT deadlocks AS n FROM pg_stat_database WHERE datname = current_database()')).rows[0]?.n,
    );
    expect(after - before, 'deadlocks').toBe(0);
    expect(rounds).toBeGreaterThan(0);
    console.log(
      `${layout}: ${count} messages of ${WRITERS} writers, ${rounds} transactions beside them, slowest write ${Math.round(slowest)} ms, ${SECONDS} s`,
    );
  },
  (SECONDS + 60) * 1000,
);
