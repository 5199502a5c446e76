// A PostgreSQL server that is killed, frozen and restarted under load. Always a private one.
import { createPostgresProvider, MemoryConnectionError, textOf, unwrap, user } from 'jaf/memory';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PostgresServer, startPostgres } from '../support/postgres.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  await server?.destroy();
});

describe('PostgreSQL: a server that fails', () => {
  it('killed ten times under load: every acknowledged write is there, exactly once', { timeout: 240_000 }, async () => {
    await using provider = await createPostgresProvider({ connectionString: server.url, schema: 'killed', deadline: 30_000, sweep: false });
    const conversations = 8;
    const acknowledged: string[][] = Array.from({ length: conversations }, () => []);
    const unknown = new Set<string>();
    const run = { ended: false };
    const write = async (c: number): Promise<void> => {
      for (let n = 1; !run.ended; n++) {
        const text = `c${c}-${n}`;
        const result = await provider.appendMessages(`chat-${c}`, [user(text)], undefined, { createIfMissing: true });
        if (result.ok) acknowledged[c]?.push(text);
        else {
          expect(result.error).toBeInstanceOf(MemoryConnectionError);
          if (result.error.outcome === 'unknown') unknown.add(text);
        }
      }
    };
    const writers = acknowledged.map((_, c) => write(c));
    for (let round = 0; round < 10; round++) {
      const before = acknowledged.reduce((sum, texts) => sum + texts.length, 0);
      // somewhere in the middle of a run of acknowledged writes
      await expect
        .poll(() => acknowledged.reduce((sum, texts) => sum + texts.length, 0), { timeout: 30_000, interval: 5 })
        .toBeGreaterThan(before + 40 + Math.floor(Math.random() * 100));
      await server.kill();
      await server.start();
    }
    run.ended = true;
    await Promise.all(writers);
    for (const [c, texts] of acknowledged.entries()) {
      const stored = ((await provider.getConversation(`chat-${c}`))?.messages ?? []).map(textOf);
      expect(new Set(stored).size, 'doubled').toBe(stored.length);
      const known = new Set(texts);
      expect(
        stored.filter((text) => known.has(text)),
        'acknowledged, in order',
      ).toEqual(texts);
      for (const text of stored) expect(known.has(text) || unknown.has(text), `${text} was neither acknowledged nor unknown`).toBe(true);
    }
  });

  it('frozen: typed errors within the deadline, for reads, writes and openings; works again when it thaws', {
    timeout: 120_000,
  }, async () => {
    const deadline = 700;
    await using provider = await createPostgresProvider({
      connectionString: server.url,
      schema: 'frozen',
      deadline,
      sweep: false,
      poolMaxSize: 3,
    });
    unwrap(await provider.storeMessages('chat', [user('1')]));
    server.freeze();
    const started = performance.now();
    try {
      const append = provider.appendMessages('chat', [user('2')]);
      const create = provider.storeMessages('other', [user('x')]);
      const reads = [
        provider.getConversation('chat'),
        provider.findConversations(),
        provider.getStats(),
        provider.deleteConversation('chat'),
      ].map((read) =>
        read.then(
          () => undefined,
          (e: unknown) => e,
        ),
      );
      for (const result of [await append, await create]) {
        const error = result.ok ? undefined : result.error;
        expect(error).toBeInstanceOf(MemoryConnectionError);
        expect(error?.retryable).toBe(true);
      }
      for (const error of await Promise.all(reads)) expect(error).toBeInstanceOf(MemoryConnectionError);
      expect((await provider.healthCheck()).healthy).toBe(false);
      const opening = await createPostgresProvider({ connectionString: server.url, schema: 'frozen', deadline, sweep: false }).then(
        () => undefined,
        (e: unknown) => e,
      );
      expect(opening).toBeInstanceOf(MemoryConnectionError);
    } finally {
      server.thaw();
    }
    // three deadlines in a row, and room for a slow machine
    expect(performance.now() - started).toBeLessThan(deadline * 3 + 5000);
    await expect
      .poll(async () => (await provider.appendMessages('chat', [user('3')], undefined, { createIfMissing: true })).ok, { timeout: 20_000 })
      .toBe(true);
    const texts = ((await provider.getConversation('chat'))?.messages ?? []).map(textOf);
    expect(texts.at(-1)).toBe('3');
    for (const text of ['1', '2']) expect(texts.filter((t) => t === text).length).toBeLessThanOrEqual(1);
  });

  it('connections that died while idle are replaced, without an error to anybody', async () => {
    await using provider = await createPostgresProvider({ connectionString: server.url, schema: 'idle', sweep: false, poolMinSize: 4 });
    unwrap(await provider.storeMessages('chat', [user('1')]));
    await server.kill();
    await server.start();
    for (let n = 2; n <= 10; n++) unwrap(await provider.appendMessages('chat', [user(`${n}`)]));
    expect(((await provider.getConversation('chat'))?.messages ?? []).map(textOf)).toEqual(
      Array.from({ length: 10 }, (_, i) => `${i + 1}`),
    );
  });
});
