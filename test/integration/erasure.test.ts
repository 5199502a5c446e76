/**
 * Erasing a user while two other processes write for that user: nothing of the user is left in a raw dump of the store. Smaller
 * by default; JAF_TEST_ERASE=1000 is the number of conversations the issue asks for.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createAuditLog, createMemoryProvider, eraseUser, type MemoryProviderConfig, unwrap, user, verifyAuditLog } from 'jaf/memory';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
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
    if (/role:master/.test(String(await client.sendCommand(['INFO', 'replication'])))) found.push(server);
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
    await using provider = await createMemoryProvider({ ...config(), deadline: 60_000 } as MemoryProviderConfig);
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
