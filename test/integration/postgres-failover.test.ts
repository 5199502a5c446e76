// A primary and a streaming replica: which one a provider connects to, and what happens when the replica is promoted.
import { createServer } from 'node:net';
import { createPostgresProvider, MemoryConnectionError, type MemoryProvider, type PostgresConfig, textOf, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PostgresReplica, type PostgresServer, startPostgres, startReplica } from '../support/postgres.js';

let primary: PostgresServer;
let replica: PostgresReplica;

beforeAll(async () => {
  primary = await startPostgres();
  replica = await startReplica(primary);
});
afterAll(async () => {
  await replica?.destroy();
  await primary?.destroy();
});

const urlOf = (servers: readonly { port: number }[], parameters = ''): string =>
  `postgresql://jaf@${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/postgres?sslmode=disable${parameters}`;

function open(servers: readonly { port: number }[], config: PostgresConfig, parameters = ''): Promise<MemoryProvider> {
  return createPostgresProvider({ connectionString: urlOf(servers, parameters), sweep: false, ...config });
}

async function textsOf(provider: MemoryProvider, id: string): Promise<string[]> {
  return ((await provider.getConversation(id))?.messages ?? []).map(textOf);
}

const refused = async (work: Promise<unknown>): Promise<MemoryConnectionError> => {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(MemoryConnectionError);
  return error as MemoryConnectionError;
};

describe('PostgreSQL: several hosts', () => {
  it('of several hosts the one that takes writes is used, wherever it stands in the list', async () => {
    const nobody = { port: 1 };
    for (const servers of [
      [primary, replica],
      [replica, primary],
      [nobody, replica, primary],
    ]) {
      for (const parameters of ['', '&target_session_attrs=read-write', '&target_session_attrs=primary']) {
        await using provider = await open(servers, { schema: 'hosts', poolMinSize: 3 }, parameters);
        unwrap(await provider.appendMessages('chat', [user('x')], undefined, { createIfMissing: true }));
        expect(JSON.stringify(await provider.healthCheck())).not.toContain('standby');
      }
    }
    await using any = await open([nobody, replica, primary], { schema: 'hosts' }, '&target_session_attrs=any');
    expect(JSON.stringify(await any.healthCheck())).toContain('read-only standby');
  });

  it('when none takes writes the error says what each said, within the deadline', async () => {
    const started = performance.now();
    const error = await refused(open([replica, { port: 1 }], { schema: 'hosts', deadline: 400 }));
    expect(performance.now() - started).toBeLessThan(400 + 5000);
    expect(error).toMatchObject({ code: 'refused', outcome: 'not_applied', retryable: true });
    expect(error.message).toContain(`127.0.0.1:${replica.port}: it is a standby, which takes no writes`);
    expect(error.message).toContain('127.0.0.1:1: nothing listens');
    const single = await refused(open([replica], { schema: 'hosts', deadline: 400 }, '&target_session_attrs=read-write'));
    expect(single.message).toContain('standby');
  });

  it('a standby alone: reads work, writes fail and say why, nothing is created', async () => {
    await using writer = await open([primary], { schema: 'standby' });
    unwrap(await writer.storeMessages('chat', [user('1')], { topic: 'x' }, { userId: 'ann' }));
    // synchronous replication waits until the standby has it on disk, not until it shows it
    await expect
      .poll(
        async () => {
          await using early = await open([replica], { schema: 'standby', deadline: 300 }).catch(() => undefined);
          return early && (await textsOf(early, 'chat'));
        },
        { timeout: 10_000 },
      )
      .toEqual(['1']);
    await using reader = await open([replica], { schema: 'standby', deadline: 400 });
    expect(await textsOf(reader, 'chat')).toEqual(['1']);
    expect(await reader.findConversations({ userId: 'ann', metadata: { topic: 'x' } })).toHaveLength(1);
    expect(await reader.getStats()).toMatchObject({ totalConversations: 1, totalMessages: 1 });
    expect((await reader.getMessages('chat', { limit: 5 })).items).toHaveLength(1);
    expect(JSON.stringify(await reader.healthCheck())).toContain('read-only standby');
    // again, when the deadline comes in the middle of an attempt: then nobody knows
    const patient = { timeout: 10_000 };
    const saying = expect.stringMatching(/^refused not_applied .*read-only.*connect to the primary/);
    for (const write of [() => reader.appendMessages('chat', [user('2')]), () => reader.storeMessages('new', [user('2')])]) {
      await expect
        .poll(async () => {
          const result = await write();
          return result.ok ? 'ok' : `${result.error.code} ${result.error.outcome} ${result.error.message}`;
        }, patient)
        .toEqual(saying);
    }
    await expect.poll(async () => (await refused(reader.deleteConversation('chat'))).message, patient).toContain('read-only');
    expect((await refused(open([replica], { schema: 'never_made', deadline: 400 }))).message).toMatch(/read-only.*connect to the primary/);
    expect(await textsOf(writer, 'chat')).toEqual(['1']);
  });

  it('a host that takes connections and says nothing leaves time for the next one', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    try {
      const started = performance.now();
      await using provider = await open([{ port }, primary], { schema: 'hosts', deadline: 6000 });
      expect(performance.now() - started).toBeGreaterThan(2900);
      const opened = performance.now();
      unwrap(await provider.appendMessages('silent', [user('x')], undefined, { createIfMissing: true }));
      // the host that works is kept: nobody waits for the silent one again
      expect(performance.now() - opened).toBeLessThan(2800);
    } finally {
      silent.close();
    }
  });

  it('a primary that is made read-only for a while: connections to it are dropped, writes wait and go on', async () => {
    const setting = async (change: string): Promise<void> => {
      const client = new pg.Client({ connectionString: primary.url, options: '-c default_transaction_read_only=off' });
      await client.connect();
      await client.query(`ALTER SYSTEM ${change}`);
      await client.query('SELECT pg_reload_conf()');
      await client.end();
    };
    await using provider = await open(
      [primary, replica],
      { schema: 'readonly', deadline: 10_000, poolMaxSize: 3, poolMinSize: 3 },
      '&application_name=jaf_readonly',
    );
    unwrap(await provider.storeMessages('chat', [user('0')]));
    const backends = async (): Promise<unknown[]> => {
      const client = new pg.Client({ connectionString: primary.url });
      await client.connect();
      const { rows } = await client.query<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE application_name = 'jaf_readonly'");
      await client.end();
      return rows.map(({ pid }) => pid);
    };
    const before = await backends();
    expect(before).toHaveLength(3);
    await setting('SET default_transaction_read_only = on');
    try {
      await expect
        .poll(async () => {
          await using brief = await open([primary], { schema: 'readonly', deadline: 300 });
          const result = await brief.appendMessages('other', [user('x')], undefined, { createIfMissing: true });
          return result.ok ? '' : result.error.message;
        })
        .toContain('read-only');
      const writes = ['1', '2', '3'].map((text) => provider.appendMessages('chat', [user(text)]));
      await expect.poll(async () => (await backends()).filter((pid) => before.includes(pid))).toEqual([]);
      await setting('RESET default_transaction_read_only');
      for (const write of writes) unwrap(await write);
      expect(await textsOf(provider, 'chat')).toEqual(['0', '1', '2', '3']);
    } finally {
      await setting('RESET default_transaction_read_only');
    }
  });

  it('the primary killed, the replica promoted under load: no acknowledged write is lost, none doubled, the order is kept', async () => {
    await promoteUnderLoad(primary, replica, 'kill', 20_000);
  });

  it('the same when the primary hangs instead', async () => {
    const hanging = await startPostgres();
    try {
      const next = await startReplica(hanging);
      try {
        await promoteUnderLoad(hanging, next, 'freeze', 1000);
      } finally {
        await next.destroy();
      }
    } finally {
      await hanging.destroy();
    }
  });
});

/** The primary stays dead: one that came back would take writes nobody else sees. */
async function promoteUnderLoad(from: PostgresServer, to: PostgresReplica, how: 'kill' | 'freeze', deadline: number): Promise<void> {
  const conversations = 6;
  const acknowledged: string[][] = Array.from({ length: conversations }, () => []);
  const unknown = new Set<string>();
  const run = { ended: false };
  // between two acknowledged writes, of whatever conversations
  let pause = 0;
  let resumed = 0;
  let last = performance.now();
  await using provider = await open([from, to], { schema: 'failover', deadline, poolMaxSize: 5 });
  const writers = acknowledged.map(async (texts, c) => {
    for (let n = 1; !run.ended; n++) {
      const text = `c${c}-${n}`;
      const result = await provider.appendMessages(`chat-${c}`, [user(text)], undefined, { createIfMissing: true });
      if (result.ok) {
        texts.push(text);
        const now = performance.now();
        if (now - last > pause) [pause, resumed] = [now - last, now];
        last = now;
      } else {
        expect(result.error).toBeInstanceOf(MemoryConnectionError);
        if (result.error.outcome === 'unknown') unknown.add(text);
      }
    }
  });
  const count = (): number => acknowledged.reduce((sum, texts) => sum + texts.length, 0);
  await expect.poll(count, { timeout: 20_000, interval: 5 }).toBeGreaterThan(300);
  pause = 0;
  await from[how]();
  await to.promote();
  const promoted = performance.now();
  const before = count();
  await expect.poll(count, { timeout: 20_000, interval: 5 }).toBeGreaterThan(before + 300);
  run.ended = true;
  await Promise.all(writers);
  console.log(
    `failover (${how}): ${pause.toFixed(0)} ms without an acknowledged write, until ${(resumed - promoted).toFixed(0)} ms after the promotion; ${unknown.size} of unknown outcome`,
  );
  await using direct = await open([to], { schema: 'failover' });
  for (const [c, texts] of acknowledged.entries()) {
    const stored = await textsOf(direct, `chat-${c}`);
    expect(new Set(stored).size, 'doubled').toBe(stored.length);
    const known = new Set(texts);
    expect(
      stored.filter((text) => known.has(text)),
      'acknowledged, in order',
    ).toEqual(texts);
    for (const text of stored) expect(known.has(text) || unknown.has(text), `${text} was neither acknowledged nor unknown`).toBe(true);
  }
  expect((await provider.healthCheck()).healthy).toBe(true);
}
