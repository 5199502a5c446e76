import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSqliteProvider, MemoryConfigError, unwrap, user } from 'jaf/memory';
import { afterAll, describe, expect, it } from 'vitest';
import { type Database, loadSqlite } from '../../src/memory/providers/sqlite/client.js';

const folder = mkdtempSync(join(tmpdir(), 'jaf-sqlite-files-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { DatabaseSync } = await loadSqlite();
const worker = fileURLToPath(new URL('./sqlite-worker.mjs', import.meta.url));
let files = 0;
const file = (): string => join(folder, `file-${++files}.db`);

/** A connection beside the provider's. */
function withFile<T>(path: string, work: (db: Database) => T): T {
  const db = new DatabaseSync(path);
  try {
    return work(db);
  } finally {
    db.close();
  }
}

async function refused(path: string): Promise<MemoryConfigError> {
  const error: unknown = await createSqliteProvider({ path }).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(MemoryConfigError);
  expect((error as MemoryConfigError).setting).toBe('path');
  expect((error as MemoryConfigError).message).toContain(JSON.stringify(path));
  return error as MemoryConfigError;
}

async function stored(path: string, ...texts: string[]): Promise<void> {
  await using provider = await createSqliteProvider({ path, sweep: false });
  unwrap(await provider.storeMessages('chat', texts.map(user), { topic: 'tea' }));
}

async function countOf(path: string): Promise<number | undefined> {
  await using provider = await createSqliteProvider({ path, sweep: false });
  return (await provider.getConversation('chat'))?.messageCount;
}

describe('a SQLite file', () => {
  it('is created, and holds everything when the last provider closes', async () => {
    const path = file();
    await stored(path, 'a', 'b');
    expect(await countOf(path)).toBe(2);
    // SQLite removes the log; the package for Node 20 leaves an empty one until its statements are collected
    expect(existsSync(`${path}-wal`) ? statSync(`${path}-wal`).size : 0).toBe(0);
    expect(readFileSync(path).subarray(0, 15).toString()).toBe('SQLite format 3');
    expect(withFile(path, (db) => db.prepare('PRAGMA application_id').get())).toEqual({ application_id: 0x6a61666d });
  });

  it('takes any ordinary name literally', async () => {
    const before = process.cwd();
    process.chdir(folder);
    try {
      for (const path of ['with space.db', 'file:odd?mode=memory', "quote'.db", './ünï.db']) {
        await stored(path, 'a');
        expect(existsSync(join(folder, path)), path).toBe(true);
        expect(await countOf(path), path).toBe(1);
      }
    } finally {
      process.chdir(before);
    }
  });

  it('can be copied while closed, and with its log while open', async () => {
    const path = file();
    await stored(path, 'a', 'b');
    const copy = file();
    copyFileSync(path, copy);
    expect(await countOf(copy)).toBe(2);

    await using provider = await createSqliteProvider({ path, sweep: false });
    unwrap(await provider.appendMessages('chat', [user('c')]));
    const live = file();
    copyFileSync(path, live);
    copyFileSync(`${path}-wal`, `${live}-wal`);
    expect(await countOf(live)).toBe(3);
  });

  it('in a folder that does not exist is refused', async () => {
    const error = await refused(join(folder, 'absent', 'x.db'));
    expect(error.message).toContain('folder that does not exist');
    expect(existsSync(join(folder, 'absent'))).toBe(false);
  });

  it('that is a folder is refused', async () => {
    const path = join(folder, 'directory');
    mkdirSync(path);
    expect((await refused(path)).message).toContain('is a folder');
  });

  it('that is something else is refused and not changed', async () => {
    const path = file();
    const text = 'These are the notes of somebody who would like to keep them.\n'.repeat(200);
    writeFileSync(path, text);
    expect((await refused(path)).message).toContain('not a SQLite database');
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('of another application with tables of the same name is refused and not changed', async () => {
    const path = file();
    withFile(path, (db) => db.exec('CREATE TABLE messages (id INTEGER PRIMARY KEY, subject TEXT)'));
    const before = readFileSync(path);
    expect((await refused(path)).message).toContain('another application, which has a table "messages"');
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('of another application without such tables is shared, and stays its own', async () => {
    const path = file();
    withFile(path, (db) =>
      db.exec("PRAGMA application_id = 7; CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT); INSERT INTO tasks (title) VALUES ('x')"),
    );
    await stored(path, 'a');
    expect(await countOf(path)).toBe(1);
    expect(withFile(path, (db) => [db.prepare('PRAGMA application_id').get(), db.prepare('SELECT title FROM tasks').get()])).toEqual([
      { application_id: 7 },
      { title: 'x' },
    ]);
  });

  it('with a newer schema is refused with what to do', async () => {
    const path = file();
    await stored(path, 'a');
    withFile(path, (db) => db.exec('INSERT INTO jaf_schema VALUES (999, 0)'));
    const error = await refused(path);
    expect(error.code).toBe('schema_newer');
    expect(error.message).toContain('Upgrade the jaf package');
  });

  it('that is damaged is a typed error and never a wrong answer', async () => {
    const path = file();
    await stored(path, ...Array.from({ length: 200 }, (_, i) => `message ${i} ${'x'.repeat(400)}`));
    const torn = file();
    copyFileSync(path, torn);
    truncateSync(torn, 8192);
    const outcome: unknown = await countOf(torn).catch((error: unknown) => error);
    expect(outcome).toMatchObject({ provider: 'sqlite' });
    expect(['config', 'corrupt']).toContain((outcome as { code: string }).code);
  });

  it('that is read-only, or in a read-only folder, is refused', async () => {
    const inside = join(folder, 'locked');
    mkdirSync(inside);
    const path = join(inside, 'x.db');
    await stored(path, 'a');
    const open = (): { status: number | null; stderr: string } => {
      // root may write everywhere: the process becomes "nobody" first
      const asRoot = process.getuid?.() === 0;
      const env = asRoot ? { ...process.env, JAF_TEST_UID: '65534' } : process.env;
      return spawnSync(process.execPath, [worker, 'open', path], { env, encoding: 'utf8' });
    };
    const logs = ['-wal', '-shm'].map((end) => path + end).filter((log) => existsSync(log));
    chmodSync(folder, 0o755);
    chmodSync(inside, 0o777);
    for (const part of [path, ...logs]) chmodSync(part, 0o666);
    expect(open()).toMatchObject({ status: 0, stderr: '' });
    chmodSync(path, 0o444);
    const readOnly = open();
    expect(readOnly.status).toBe(1);
    expect(readOnly.stderr).toContain('[jaf: config] createSqliteProvider "path"');
    expect(readOnly.stderr).toContain('is read-only');
    chmodSync(path, 0o666);
    chmodSync(inside, 0o555);
    expect(open().stderr).toContain('a folder this user cannot write to');
    chmodSync(inside, 0o777);
    writeFileSync(`${path}-wal`, '');
    chmodSync(`${path}-wal`, 0o444);
    expect(open().stderr).toContain(`its log ${path}-wal is`);
  });

  it('that another process holds for itself is waited for, then reported', async () => {
    const path = file();
    const other = new DatabaseSync(path);
    other.exec('BEGIN EXCLUSIVE; CREATE TABLE held (x)');
    const opening = createSqliteProvider({ path, sweep: false }).catch((error: unknown) => error);
    expect(await opening).toMatchObject({ name: 'MemoryConnectionError', code: 'timeout', retryable: true, outcome: 'not_applied' });
    const second = createSqliteProvider({ path, sweep: false });
    other.exec('ROLLBACK');
    other.close();
    await using provider = await second;
    expect(unwrap(await provider.storeMessages('chat', [user('a')])).messageCount).toBe(1);
  });

  it('that is deleted or replaced while it is open is noticed: nothing is acknowledged into a file nobody can find', async () => {
    for (const replace of [false, true]) {
      const path = file();
      await using provider = await createSqliteProvider({ path, sweep: false });
      unwrap(await provider.storeMessages('chat', [user('a')]));
      for (const end of ['', '-wal', '-shm']) rmSync(path + end);
      if (replace) await stored(path, 'other');
      expect(await provider.healthCheck()).toMatchObject({ healthy: false, error: expect.stringContaining('deleted, moved or replaced') });
      // a write looks at most once a second, to stay cheap
      const end = performance.now() + 5000;
      let result = await provider.appendMessages('chat', [user('b')]);
      while (result.ok && performance.now() < end) result = await provider.appendMessages('chat', [user('b')]);
      expect(result).toMatchObject({ ok: false, error: { code: 'storage', outcome: 'not_applied' } });
    }
  });
});

describe('createSqliteProvider', () => {
  it('applies the durability', async () => {
    for (const [durability, synchronous] of [
      [undefined, 1],
      ['normal', 1],
      ['full', 2],
    ] as const) {
      await using provider = await createSqliteProvider({ path: file(), sweep: false, ...(durability ? { durability } : {}) });
      const health = await provider.healthCheck();
      expect([durability, health.metrics['synchronous']]).toEqual([durability, synchronous]);
      expect(health.metrics.activeConnections).toBe(1);
      expect(health.metrics.memoryUsage).toBeGreaterThan(4096);
    }
  });

  it('works in memory and says that nothing stays', async () => {
    await using provider = await createSqliteProvider({ path: ':memory:' });
    unwrap(await provider.storeMessages('chat', [user('a')]));
    expect((await provider.getConversation('chat'))?.messageCount).toBe(1);
    expect((await provider.healthCheck()) as { message?: string }).toMatchObject({
      healthy: true,
      message: expect.stringContaining('lost when the process ends'),
    });
    expect(existsSync(':memory:')).toBe(false);
  });

  it('names a setting that is wrong or unknown', async () => {
    for (const [config, setting] of [
      [{ path: '' }, 'path'],
      [{ path: 7 }, 'path'],
      [{ durability: 'paranoid' }, 'durability'],
      [{ sweep: { every: 0 } }, 'sweep'],
      [{ filename: 'x.db' }, 'filename'],
    ] as const) {
      const error: unknown = await createSqliteProvider(config as object).catch((e: unknown) => e);
      expect(error, setting).toBeInstanceOf(MemoryConfigError);
      expect((error as MemoryConfigError).setting).toBe(setting);
    }
  });

  it('names the package that is missing on a Node without SQLite', async () => {
    const missing = Object.assign(new Error("Cannot find package '@photostructure/sqlite' imported from x"), {
      code: 'ERR_MODULE_NOT_FOUND',
    });
    const node = process.versions.node.split('.')[0];
    const error: unknown = await loadSqlite(
      () => Promise.reject(missing),
      () => undefined,
    ).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'missing_peer', name: 'MemoryConfigError' });
    expect((error as Error).message).toBe(
      `[jaf: missing_peer] SQLite on Node ${node} needs the "@photostructure/sqlite" package: npm install @photostructure/sqlite`,
    );
    const broken = Object.assign(new Error('wrong ELF class'), { code: 'ERR_DLOPEN_FAILED' });
    const other: unknown = await loadSqlite(
      () => Promise.reject(broken),
      () => undefined,
    ).catch((e: unknown) => e);
    expect((other as Error).message).toContain('could not be loaded (ERR_DLOPEN_FAILED)');
  });

  it('sweeps in the background until it is closed, and says so', async () => {
    let now = Date.now();
    const path = file();
    const swept = new Promise<unknown>((resolve) => {
      void (async () => {
        const provider = await createSqliteProvider({
          path,
          clock: () => now,
          sweep: { every: 0.01 },
          onEvent: (event) => {
            if (event.type === 'swept') void provider.close().then(() => resolve(event));
          },
        });
        unwrap(await provider.storeMessages('short', [user('a')], undefined, { ttl: 1 }));
        unwrap(await provider.storeMessages('long', [user('a')], undefined, { ttl: 3600 }));
        // both by the provider's clock and by the driver's, which is the same one here
        now += 2000;
      })();
    });
    expect(await swept).toEqual({ type: 'swept', provider: 'sqlite', milliseconds: expect.any(Number) });
    expect(withFile(path, (db) => db.prepare('SELECT id, removed_at IS NULL AS alive FROM conversations ORDER BY id').all())).toEqual([
      { id: 'long', alive: 1 },
      { id: 'short', alive: 0 },
    ]);
  });
});
