/**
 * Erasing a user while two other processes write for that user: nothing of the user is left in a raw dump of the store. Smaller
 * by default; JAF_TEST_ERASE=1000 is the number of conversations the issue asks for.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  createAuditLog,
  createMemoryProvider,
  eraseUser,
  type MemoryProvider,
  type MemoryProviderConfig,
  unwrap,
  user,
  verifyAuditLog,
} from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { bucketOf } from '../../src/memory/providers/redis/keys.js';
import { connect as connectSqlite, loadSqlite } from '../../src/memory/providers/sqlite/client.js';
import { type PostgresServer, psql, startPostgres } from '../support/postgres.js';
import { connect, type RedisServer, startRedis } from '../support/redis.js';
import { type RedisCluster, startCluster } from '../support/redis-cluster.js';

const CONVERSATIONS = Number(process.env['JAF_TEST_ERASE'] ?? 120);
const OWNER = 'user-to-erase-5b1';
const OTHER = 'user-to-keep-9c4';
const WORDS = `private words of ${OWNER}`;
const key = 'a key of this test only, 32 chars';
const folder = mkdtempSync(join(tmpdir(), 'jaf-erasure-'));

let redis: RedisServer;
let cluster: RedisCluster;
let postgres: PostgresServer;
beforeAll(async () => {
  [redis, cluster, postgres] = await Promise.all([startRedis({ rdbcompression: 'no' }), startCluster(), startPostgres()]);
}, 120_000);
afterAll(async () => {
  await Promise.all([redis?.destroy(), cluster?.destroy(), postgres?.destroy()]);
  rmSync(folder, { recursive: true, force: true });
});

/** A snapshot of a Redis server, as its file holds it. */
async function snapshot(server: RedisServer): Promise<Buffer> {
  const client = await connect(server.url);
  try {
    await client.sendCommand(['CONFIG', 'SET', 'rdbcompression', 'no']);
    await client.sendCommand(['SAVE']);
    return readFileSync(join(server.folder, 'dump.rdb'));
  } finally {
    client.destroy();
  }
}

async function primaries(): Promise<RedisServer[]> {
  const found: RedisServer[] = [];
  for (const server of cluster.servers) {
    const client = await cluster.admin(server);
    if (/role:master/.test(await client.info('replication'))) found.push(server);
  }
  return found;
}

const pgDump = (schema: string): Buffer =>
  execFileSync(join(psql(), '..', 'pg_dump'), ['--schema', schema, postgres.url], { maxBuffer: 1 << 30 });

interface Place {
  readonly config: () => MemoryProviderConfig;
  readonly dump: () => Promise<Buffer>;
}

const file = join(folder, 'store.db');
const table = (layout: 'rows' | 'document'): Place => ({
  config: () => ({ type: 'postgres', connectionString: postgres.url, schema: `erase_${layout}`, layout, sweep: false }),
  dump: async () => pgDump(`erase_${layout}`),
});
const PLACES: Readonly<Record<string, Place>> = {
  sqlite: {
    config: () => ({ type: 'sqlite', path: file, sweep: false }),
    dump: async () => Buffer.concat([file, `${file}-wal`].filter((part) => existsSync(part)).map((part) => readFileSync(part))),
  },
  redis: { config: () => ({ type: 'redis', url: redis.url }), dump: () => snapshot(redis) },
  'redis cluster': {
    config: () => ({ type: 'redis', clusterNodes: [...cluster.nodes] }),
    dump: async () => Buffer.concat(await Promise.all((await primaries()).map(snapshot))),
  },
  'postgres rows': table('rows'),
  'postgres document': table('document'),
};

type Counts = Readonly<Record<string, number>>;

/** A process that writes for the user. */
class Writer {
  private readonly child: ChildProcess;
  private readonly ended: Promise<number | null>;
  private errors = '';
  counts: Counts = {};

  constructor(config: MemoryProviderConfig) {
    const worker = fileURLToPath(new URL('./erasure-worker.mjs', import.meta.url));
    this.child = fork(worker, [JSON.stringify(config), OWNER, String(CONVERSATIONS)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.child.stderr?.on('data', (text: Buffer) => (this.errors += text.toString()));
    this.child.on('message', (counts) => (this.counts = counts as Counts));
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    onTestFinished(() => void this.child.kill('SIGKILL'));
  }

  /** Waits until a number of writes ended so. */
  async saw(outcome: string, count: number): Promise<void> {
    while ((this.counts[outcome] ?? 0) < count) {
      if (this.child.exitCode !== null) throw new Error(this.errors);
      await new Promise((resolve) => this.child.once('message', resolve));
    }
  }

  async stop(): Promise<Counts> {
    this.child.send('stop');
    expect(await this.ended, this.errors).toBe(0);
    return this.counts;
  }
}

describe.each(Object.entries(PLACES))('erasing a user on %s', (name, { config, dump }) => {
  it(`${CONVERSATIONS} conversations, while two processes write`, { timeout: 600_000 }, async () => {
    await using provider = await createMemoryProvider({ ...config(), deadline: 60_000 });
    for (let n = 0; n < CONVERSATIONS; n += 20) {
      const some = Array.from({ length: Math.min(20, CONVERSATIONS - n) }, (_, i) => n + i);
      const results = await Promise.all(
        some.flatMap((i) => [
          provider.storeMessages(
            `${OWNER}:${i}`,
            Array.from({ length: 1 + (i % 12) }, (_, m) => user(`${WORDS}, ${i}-${m} ${'x'.repeat(i % 3 === 0 ? 3000 : 20)}`)),
            { note: WORDS },
            { userId: OWNER, traceId: `${OWNER}-trace`, operationId: `${OWNER}-op-${i}`, ...(i % 5 === 0 ? { ttl: 3600 } : {}) },
          ),
          provider.storeMessages(`${OTHER}:${i}`, [user(`words of ${OTHER}`), user('more')], {}, { userId: OTHER }),
        ]),
      );
      for (const result of results) unwrap(result);
    }
    // packed, trimmed, replaced, over, and deleted before: each leaves something else behind
    for (let n = 0; n < 20; n++)
      unwrap(
        await provider.appendMessages(
          `${OWNER}:0`,
          Array.from({ length: 20 }, () => user(WORDS)),
          {},
          { compressionThreshold: 40 },
        ),
      );
    unwrap(await provider.appendMessages(`${OWNER}:1`, [user(WORDS)], {}, { maxMessages: 1 }));
    unwrap(await provider.storeMessages(`${OWNER}:2`, [user(WORDS)]));
    unwrap(await provider.storeMessages(`${OWNER}:over`, [user(WORDS)], {}, { userId: OWNER, ttl: 0.001 }));
    unwrap(
      await provider.storeMessages(
        'deleted',
        Array.from({ length: 600 }, () => user(WORDS)),
        {},
        { userId: OWNER },
      ),
    );
    expect(await provider.deleteConversation('deleted')).toBe(true);

    const writers = [new Writer(config()), new Writer(config())];
    for (const writer of writers) await writer.saw('ok', 40);
    expect((await dump()).includes(WORDS), 'the dump shows what is there').toBe(true);

    const path = join(folder, `${name}.ndjson`);
    const audit = createAuditLog({ path, key });
    const hooked: string[] = [];
    const receipt = await eraseUser(provider, OWNER, { audit, hooks: [({ userId }) => void hooked.push(userId)] });
    const before = writers.map(({ counts }) => counts['erased'] ?? 0);
    for (const [n, writer] of writers.entries()) await writer.saw('erased', (before[n] ?? 0) + 30);
    const counts = await Promise.all(writers.map((writer) => writer.stop()));
    for (const { ok = 0, erased = 0, not_found = 0, ...others } of counts) {
      expect([ok > 0, erased > 0, not_found > 0]).toEqual([true, true, true]);
      expect(others).toEqual({});
    }
    expect(receipt.conversations).toBeGreaterThanOrEqual(CONVERSATIONS);
    expect(hooked).toEqual([OWNER]);

    expect(await provider.getStats(OWNER)).toMatchObject({ totalConversations: 0 });
    expect(await provider.getStats()).toMatchObject({ totalConversations: CONVERSATIONS });
    const left = await dump();
    const at = left.indexOf(OWNER);
    expect(at < 0 ? '' : left.toString('latin1', at - 40, at + 80).replaceAll(/[^\x20-\x7e]/g, '.'), 'what is left of the user').toBe('');
    expect(left.includes(WORDS)).toBe(false);
    expect(left.includes(OTHER)).toBe(true);

    expect(readFileSync(path, 'utf8')).not.toContain(OWNER);
    expect(await verifyAuditLog(path, { key, receipt, head: receipt.auditHead, userId: OWNER })).toMatchObject({
      valid: true,
      erasures: 1,
    });
    writeFileSync(path, readFileSync(path, 'utf8').replace(`"conversations":${receipt.conversations}`, '"conversations":1'));
    expect(await verifyAuditLog(path, { key })).toMatchObject({ valid: false, problems: [{ line: 1 }] });
  });
});

describe('the bar of an erasure', () => {
  const log = (name: string): ReturnType<typeof createAuditLog> => createAuditLog({ path: join(folder, name), key });

  it('holds in every bucket of a Redis cluster, and is lifted in every one', async () => {
    await using provider = await createMemoryProvider({ type: 'redis', clusterNodes: [...cluster.nodes], keyPrefix: 'jaf-test-bar:' });
    const ids = Array.from({ length: 640 }, (_, n) => `c${n}`);
    expect(new Set(ids.map((id) => bucketOf(id, 64))).size).toBe(64);
    const writes = async (): Promise<string[]> => {
      const results = await Promise.all(ids.map((id) => provider.storeMessages(id, [user('x')], {}, { userId: OWNER })));
      return [...new Set(results.map((result) => (result.ok ? 'ok' : result.error.code)))];
    };
    expect(await writes()).toEqual(['ok']);
    expect((await eraseUser(provider, OWNER, { audit: log('buckets') })).conversations).toBe(640);
    expect(await writes()).toEqual(['erased']);
    await eraseUser(provider, OWNER, { audit: log('buckets'), allowReturn: true });
    expect(await writes()).toEqual(['ok']);
  });

  it.each(['rows', 'document'] as const)('reaches PostgreSQL statements that began before it and wait for a lock (%s)', async (layout) => {
    const schema = `erase_waiting_${layout}`;
    const open = (): Promise<MemoryProvider> =>
      createMemoryProvider({ type: 'postgres', connectionString: postgres.url, schema, layout, sweep: false, deadline: 30_000 });
    await using eraser = await open();
    await using writer = await open();
    const admin = new pg.Client({ connectionString: postgres.url });
    await admin.connect();
    onTestFinished(() => admin.end());
    unwrap(await writer.storeMessages('c', [user(WORDS)], {}, { userId: OWNER }));
    await admin.query('BEGIN');
    await admin.query(`SELECT 1 FROM "${schema}".conversations WHERE conversation_id = 'c' FOR UPDATE`);
    const waiting = async (): Promise<number> => {
      const { rows } = await admin.query<{ n: string }>(
        "SELECT count(*) AS n FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.query LIKE '%' || $1 || '%'",
        [schema],
      );
      return Number(rows[0]?.n);
    };
    const late = writer.appendMessages('c', [user(`${WORDS}, late`)], {}, { userId: OWNER, createIfMissing: true });
    while ((await waiting()) === 0) await new Promise((turn) => setImmediate(turn));
    let erased = false;
    const erasure = eraseUser(eraser, OWNER, { audit: log(schema) }).finally(() => (erased = true));
    const barred = async (): Promise<boolean> => (await admin.query(`SELECT 1 FROM "${schema}".conversations_bars`)).rows.length > 0;
    while (!(await barred())) await new Promise((turn) => setImmediate(turn));
    expect(erased).toBe(false);
    await admin.query('COMMIT');
    const [result, receipt] = await Promise.all([late, erasure]);
    // it may have been first; then it was erased with the rest
    expect(result.ok || result.error.code === 'erased' || result.error.code === 'not_found').toBe(true);
    expect(receipt.conversations).toBe(1);
    expect(await eraser.getStats()).toMatchObject({ totalConversations: 0 });
    expect(pgDump(schema).includes(OWNER)).toBe(false);
  });

  it('SQLite: a reader that holds on to the log makes it fail, and it can be run again', async () => {
    const path = join(folder, 'reader.db');
    await using provider = await createMemoryProvider({ type: 'sqlite', path, sweep: false, deadline: 1000 });
    unwrap(await provider.storeMessages('c', [user(WORDS)], {}, { userId: OWNER }));
    const reader = connectSqlite(await loadSqlite(), path);
    reader.exec('BEGIN');
    reader.prepare('SELECT count(*) FROM conversations').get();
    await expect(eraseUser(provider, OWNER, { audit: log('reader') })).rejects.toThrow(/another process reads the file/);
    expect(existsSync(join(folder, 'reader'))).toBe(false);
    reader.exec('COMMIT');
    reader.close();
    expect((await eraseUser(provider, OWNER, { audit: log('reader') })).conversations).toBe(0);
    for (const part of [path, `${path}-wal`]) if (existsSync(part)) expect(readFileSync(part).includes(OWNER)).toBe(false);
  });
});
