/** The commands of operations on every kind of store: doctor, purge, retention, erase-user, audit. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { createMemoryProviderFromEnv, importConversations, type MemoryProvider, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { clock, transport } from '../../src/cli/commands/doctor-store.js';
import { connect as connectSqlite, loadSqlite } from '../../src/memory/providers/sqlite/client.js';
import { connect } from '../support/redis.js';
import { type Kind, useStores } from '../support/stores.js';
import { cli, testFolder } from './cli-run.js';

const stores = useStores(['sqlite', 'redis', 'postgres', 'postgres-document']);
const SHARED: readonly Kind[] = ['sqlite', 'redis', 'postgres', 'postgres-document'];
const DAY = 86_400_000;
const key = 'a key of this test only';

async function open(kind: Kind): Promise<MemoryProvider> {
  const provider = await createMemoryProviderFromEnv(stores.env(kind));
  onTestFinished(() => provider.close());
  return provider;
}

async function restore(provider: MemoryProvider, conversationId: string, age: number, fields: object = {}): Promise<void> {
  const at = new Date(Date.now() - age * DAY);
  const messages = [user(`secret of ${conversationId}`)];
  const snapshot = {
    conversationId,
    messages,
    messageCount: 1,
    metadata: {},
    createdAt: at,
    updatedAt: at,
    version: 1,
    firstSeq: 1,
    ...fields,
  };
  unwrap(await provider.restoreConversation(snapshot, { onConflict: 'fail' }));
}

describe.each(SHARED)('operations on %s', (kind) => {
  const run = (args: readonly string[], env: Record<string, string> = {}, cwd?: string): ReturnType<typeof cli> =>
    cli(args, { env: { ...stores.env(kind), ...env }, ...(cwd ? { cwd } : {}) });

  it('retention: refuses to delete unasked, previews, archives what can be imported again, and is done', async () => {
    const provider = await open(kind);
    for (let i = 0; i < 70; i++) await restore(provider, `old-${i}`, 100 + i, { userId: i % 2 ? 'ann' : 'bob' });
    await restore(provider, 'held', 300, { metadata: { legalHold: true } });
    await restore(provider, 'young', 1);
    const cwd = testFolder();
    expect(await run(['retention', '--older-than', '90d'])).toMatchObject({ code: 2, stderr: expect.stringMatching(/pass --yes/) });
    expect(await provider.getStats()).toMatchObject({ totalConversations: 72 });
    const dry = await run(['retention', '--older-than', '90d', '--dry-run']);
    expect(dry).toMatchObject({ code: 0, stdout: expect.stringMatching(/options +71 +70 +[\d.]+ kB +1/) });
    const done = await run(['retention', '--older-than', '90d', '--archive', 'a.ndjson.gz', '--yes', '--json'], {}, cwd);
    expect(done.code, done.stderr).toBe(0);
    expect(JSON.parse(done.stdout)).toMatchObject({ stopped: false, policies: [{ matched: 71, deleted: 70, archived: 70, held: 1 }] });
    expect((await provider.findConversations({ messageLimit: 0 })).map((c) => c.conversationId).sort()).toEqual(['held', 'young']);
    const lines = gunzipSync(readFileSync(join(cwd, 'a.ndjson.gz')))
      .toString()
      .split('\n');
    expect(await importConversations(provider, lines, { onConflict: 'fail' })).toMatchObject({ imported: 70, failed: [] });
    const again = await run(['retention', '--older-than', '90d', '--archive', 'a.ndjson.gz', '--yes'], {}, cwd);
    expect(again).toMatchObject({ code: 2, stderr: expect.stringMatching(/exists already/) });
    expect(await provider.getStats()).toMatchObject({ totalConversations: 72 });
  });

  it('erase-user: needs an audit log and its key, previews, erases, and the receipt verifies', async () => {
    const provider = await open(kind);
    for (let i = 0; i < 5; i++) await restore(provider, `c-${i}`, i, { userId: i < 3 ? 'ann' : 'bob' });
    const cwd = testFolder();
    const env = { JAF_AUDIT_KEY: key };
    expect(await run(['erase-user', 'ann', '--yes'], env)).toMatchObject({ code: 2, stderr: expect.stringMatching(/--audit FILE/) });
    expect(await run(['erase-user', 'ann', '--audit', 'a', '--yes'], {}, cwd)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/JAF_AUDIT_KEY/),
    });
    expect(await run(['erase-user', 'ann', '--audit', 'a'], env, cwd)).toMatchObject({ code: 2, stderr: expect.stringMatching(/--yes/) });
    expect(await run(['erase-user', 'ann', '--dry-run'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/conversations +3/) });
    expect(await provider.getStats('ann')).toMatchObject({ totalConversations: 3 });
    unwrap(await provider.appendMessages('c-0', [], { legalHold: true }));
    const refused = await run(['erase-user', 'ann', '--audit', 'a', '--yes', '--receipt', 'r.json'], env, cwd);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/--allow-legal-hold/) });
    expect(existsSync(join(cwd, 'r.json'))).toBe(false);
    const done = await run(['erase-user', 'ann', '--audit', 'a', '--yes', '--receipt', 'r.json', '--allow-legal-hold'], env, cwd);
    expect(done).toMatchObject({ code: 0, stdout: expect.stringMatching(/erased +3 conversations, 3 messages/) });
    expect(await provider.getStats()).toMatchObject({ totalConversations: 2 });
    expect(await run(['audit', 'verify', 'a', '--receipt', 'r.json', '--user', 'ann'], env, cwd)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/log +whole[^]*erasures of the user +1/),
    });
    const head = (JSON.parse(readFileSync(join(cwd, 'r.json'), 'utf8')) as { auditHead: string }).auditHead;
    writeFileSync(join(cwd, 'a'), readFileSync(join(cwd, 'a'), 'utf8').replace('"messages":3', '"messages":4'));
    expect(await run(['audit', 'verify', 'a', '--head', head], env, cwd)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/1 +it was changed/),
    });
    const late = await provider.appendMessages('c-0', [user('x')], {}, { userId: 'ann', createIfMissing: true });
    expect(late.ok ? 'ok' : late.error.code).toBe('erased');
    writeFileSync(join(cwd, 'a'), '');
    const back = await run(['erase-user', 'ann', '--audit', 'a', '--yes', '--allow-return', '--json'], env, cwd);
    expect(JSON.parse(back.stdout)).not.toHaveProperty('barredUntil');
    unwrap(await provider.appendMessages('c-0', [user('x')], {}, { userId: 'ann', createIfMissing: true }));
  });

  it('purge removes what has expired; doctor says what is wrong and --fix removes what nobody can read', async () => {
    const provider = await open(kind);
    for (let i = 0; i < 4; i++) unwrap(await provider.storeMessages(`c-${i}`, [user('x')], {}, { userId: 'ann', operationId: `op-${i}` }));
    unwrap(await provider.storeMessages('over', [user('x')], {}, { ttl: 0.001 }));
    expect(await run(['purge'])).toMatchObject({ code: 0, stdout: '1 expired conversation removed.\n' });
    expect(JSON.parse((await run(['purge', '--json'])).stdout)).toEqual({ expired: 0, stopped: false });
    const look = async (...args: string[]): Promise<Record<string, [string, string]>> => {
      const { stdout } = await run(['doctor', '--json', ...args]);
      const { findings } = JSON.parse(stdout) as { findings: { check: string; level: string; detail: string }[] };
      return Object.fromEntries(findings.map(({ check, level, detail }) => [check, [level, detail]]));
    };
    const before = await look('--deep');
    expect(before['schema']?.[0]).toBe('ok');
    if (kind !== 'sqlite') expect([before['clock']?.[0], before['transport']?.[0]]).toEqual(['ok', 'ok']);
    expect((await look())['orphans']?.[1]).toMatch(/--deep/);
    if (kind === 'postgres-document') return;
    expect(before['orphans']?.[0]).toBe('ok');
    await behead(kind, ['c-1', 'c-2']);
    expect((await look('--deep'))['orphans']).toMatchObject(['problem', expect.stringMatching(/pieces? of data/)]);
    expect((await look('--fix'))['orphans']).toMatchObject(['note', expect.stringMatching(/Removed/)]);
    const after = await look('--deep');
    expect([after['orphans']?.[0], after['contents']?.[1]]).toEqual(['ok', expect.stringMatching(/^2 conversations, 2 messages/)]);
    expect(await provider.getRecentMessages('c-0')).toHaveLength(1);
  });

  /** Takes headers away, as nothing of ours does. */
  async function behead(of: Kind, ids: readonly string[]): Promise<void> {
    const env = stores.env(of);
    if (of === 'sqlite') {
      const db = connectSqlite(await loadSqlite(), env['JAF_SQLITE_PATH'] ?? '');
      db.exec(`DELETE FROM conversations WHERE id IN (${ids.map((id) => `'${id}'`).join(', ')})`);
      db.close();
    } else if (of === 'redis') {
      const client = await connect(env['JAF_REDIS_URL'] ?? '');
      await client.unlink(ids.map((id) => `{${env['JAF_REDIS_KEY_PREFIX']}#0}c:${id}`));
      client.destroy();
    } else {
      const client = new pg.Client({ connectionString: env['JAF_POSTGRES_CONNECTION_STRING'] });
      await client.connect();
      const table = `"${env['JAF_POSTGRES_SCHEMA']}"."${env['JAF_POSTGRES_TABLE_NAME']}"`;
      await client.query(`DELETE FROM ${table} WHERE conversation_id = ANY ($1)`, [ids]);
      await client.end();
    }
  }
});

describe('doctor', () => {
  it('calls clocks that are more than a second apart a problem; the time an answer takes is none', () => {
    expect(clock(10_500, 10_000, 11_000)).toMatchObject({ level: 'ok' });
    expect(clock(12_000, 10_000, 11_000)).toMatchObject({ level: 'ok' });
    expect(clock(12_001, 10_000, 11_000)).toMatchObject({ level: 'problem', detail: expect.stringMatching(/1\.0 s ahead of/) });
    expect(clock(4000, 10_000, 11_000)).toMatchObject({ level: 'problem', detail: expect.stringMatching(/6\.0 s behind/) });
  });

  it('says when credentials travel in clear, and never which', () => {
    const level = (config: Parameters<typeof transport>[0]): string | undefined => transport(config)[0]?.level;
    const clear = transport({ type: 'redis', url: 'redis://:hunter2@10.1.2.3:6379' })[0];
    expect(clear).toMatchObject({ level: 'problem', detail: expect.stringMatching(/^The password .* in clear to 10\.1\.2\.3/) });
    expect(JSON.stringify(clear)).not.toContain('hunter2');
    expect(level({ type: 'redis', url: 'rediss://:hunter2@10.1.2.3:6379' })).toBe('ok');
    expect(level({ type: 'redis', host: '127.0.0.1' })).toBe('ok');
    expect(level({ type: 'redis', clusterNodes: [{ host: 'a', port: 1 }], tls: true })).toBe('ok');
    expect(transport({ type: 'postgres', connectionString: 'postgres://u:p@db.example/x' })[0]?.detail).toMatch(/password .* db\.example/);
    expect(level({ type: 'postgres', connectionString: 'postgres://u:p@db.example/x?sslmode=verify-full' })).toBe('ok');
    expect(level({ type: 'postgres', connectionString: 'postgres://u:p@localhost/x' })).toBe('ok');
    expect(transport({ type: 'postgres', host: 'db.example' })[0]?.detail).toMatch(/^Every conversation travels/);
    expect(transport({ type: 'sqlite', path: 'x' })).toEqual([]);
  });
});
