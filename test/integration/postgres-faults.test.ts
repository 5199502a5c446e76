// A PostgreSQL server that is killed, frozen and restarted under load. Always a private one.
import { connect, createServer } from 'node:net';
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

  it('restarted by an administrator under load: nobody gets an error, every write is there once, in order', async () => {
    await using provider = await createPostgresProvider({
      connectionString: server.url,
      schema: 'restarted',
      deadline: 30_000,
      sweep: false,
    });
    const run = { ended: false };
    const written: string[][] = Array.from({ length: 4 }, () => []);
    const writers = written.map(async (texts, c) => {
      for (let n = 1; !run.ended; n++) {
        unwrap(await provider.appendMessages(`chat-${c}`, [user(`${n}`)], undefined, { createIfMissing: true }));
        texts.push(`${n}`);
      }
    });
    const count = (): number => written.reduce((sum, texts) => sum + texts.length, 0);
    for (let round = 0; round < 2; round++) {
      const before = count();
      await expect.poll(count, { timeout: 20_000, interval: 5 }).toBeGreaterThan(before + 100);
      await server.stop();
      await server.start();
    }
    const before = count();
    await expect.poll(count, { timeout: 20_000, interval: 5 }).toBeGreaterThan(before + 100);
    run.ended = true;
    await Promise.all(writers);
    for (const [c, texts] of written.entries())
      expect(((await provider.getConversation(`chat-${c}`))?.messages ?? []).map(textOf)).toEqual(texts);
  });

  it('answers that are lost after the commit: every write is there once, and none is reported as failed', async () => {
    let answers = 0;
    let lost = 0;
    // each answer comes after its commit; every ninth is swallowed, and the connection with it
    const proxy = createServer((client) => {
      const upstream = connect(server.port, '127.0.0.1');
      const end = (): void => {
        client.destroy();
        upstream.destroy();
      };
      for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
      client.pipe(upstream);
      let greeted = false;
      upstream.on('data', (data) => {
        if (greeted && ++answers % 9 === 0) {
          lost++;
          end();
          return;
        }
        greeted = true;
        client.write(data);
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    try {
      const url = new URL(server.url);
      await (await createPostgresProvider({ connectionString: url.href, schema: 'swallowed', sweep: false })).close();
      const address = proxy.address();
      url.port = String(typeof address === 'object' ? address?.port : 0);
      await using provider = await createPostgresProvider({
        connectionString: url.href,
        schema: 'swallowed',
        deadline: 30_000,
        sweep: false,
        layout: 'rows',
      });
      const texts = Array.from({ length: 60 }, (_, n) => `${n}`);
      await Promise.all(
        ['a', 'b', 'c'].map(async (id) => {
          for (const text of texts) unwrap(await provider.appendMessages(id, [user(text)], undefined, { createIfMissing: true }));
        }),
      );
      expect(lost).toBeGreaterThan(10);
      await using direct = await createPostgresProvider({ connectionString: server.url, schema: 'swallowed', sweep: false });
      for (const id of ['a', 'b', 'c']) expect(((await direct.getConversation(id))?.messages ?? []).map(textOf)).toEqual(texts);
    } finally {
      proxy.close();
    }
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
