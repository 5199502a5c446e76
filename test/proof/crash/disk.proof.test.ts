// Disks that are full or read-only, and a SQLite file that is copied while it is written. JAF_PROOF_RUNS: how often each.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createPostgresProvider,
  createRedisProvider,
  createSqliteProvider,
  MemoryError,
  type MemoryProvider,
  textOf,
  unwrap,
  user,
} from 'jaf/memory';
import { afterEach, describe, expect, it } from 'vitest';
import { loadSqlite } from '../../../src/memory/providers/sqlite/client.js';
import { startPostgres } from '../../support/postgres.js';
import { startRedis } from '../../support/redis.js';
import { found, setting } from '../support/results.js';
import { canMount, mountDisk, type SmallDisk } from '../support/small-disk.js';
import { LANES, type Tally, writeThrough } from '../support/writers.js';

const RUNS = setting('RUNS', 3);
const DEADLINE = 3000;
const LONG = 600_000;
/** What a full disk may be told as: refused by the store, or a server that has gone. */
const ERRORS = ['MemoryStorageError', 'MemoryConnectionError'];

const DIST = new URL('../../../dist/memory/index.js', import.meta.url).href;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function disk(megabytes: number): SmallDisk {
  const mounted = mountDisk(megabytes);
  cleanups.push(() => mounted.destroy());
  return mounted;
}

/** Writers through a trouble that comes as often as asked; who looks afterwards opens the store as they did. */
function writeOn(open: () => Promise<MemoryProvider>, trouble: () => Promise<void>): Promise<Tally> {
  const troubles = Array.from({ length: RUNS }, () => trouble);
  return writeThrough({ prefix: 'chat', deadline: DEADLINE, open, direct: open, errors: ERRORS, troubles });
}

function judge(backend: string, what: string, tally: Tally): void {
  const { unknown, ...numbers } = tally;
  found({ part: 'disk', backend, what, fault: what.split(',')[0] ?? what, numbers: { runs: RUNS, ...numbers, unknown } });
  const { lost, doubled, reordered } = tally;
  expect({ lost, doubled, reordered, refused: tally['there although refused'] }).toEqual({ lost: 0, doubled: 0, reordered: 0, refused: 0 });
  expect(tally.acknowledged).toBeGreaterThan(LANES * RUNS);
}

/** With servers whose files are on that disk. */
async function onDisk<T>(folder: string, start: () => Promise<T>): Promise<T> {
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = folder;
  try {
    return await start();
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
}

// without root there is no disk of its own to fill
describe.runIf(canMount())('a disk that is full for a while', () => {
  it('SQLite', { timeout: LONG }, async () => {
    // the log alone takes 16 MB before it is emptied
    const small = disk(48);
    const open = (): Promise<MemoryProvider> =>
      createSqliteProvider({ path: join(small.folder, 'store.db'), deadline: DEADLINE, sweep: false });
    const full = async (): Promise<void> => {
      small.fill();
      await sleep(500);
      small.free();
    };
    const tally = await writeOn(open, full);
    expect(tally['not applied']).toBeGreaterThan(0);
    judge('sqlite', 'disk full', tally);
  });

  it.each(['always', 'everysec'])('Redis, appendfsync %s', { timeout: LONG }, async (appendfsync) => {
    const small = disk(64);
    let ended = 0;
    const server = await onDisk(small.folder, () => startRedis({ appendonly: 'yes', appendfsync }));
    cleanups.push(() => server.destroy());
    const full = async (): Promise<void> => {
      small.fill();
      await sleep(2500);
      small.free();
      // with "always" it ends itself: it cannot promise anything any more. Writes wait for it, or fail.
      if (server.running) return;
      ended++;
      await server.start();
    };
    const open = (): Promise<MemoryProvider> => createRedisProvider({ url: server.url, deadline: DEADLINE });
    const tally = await writeOn(open, full);
    expect(tally['not applied'] + tally.unknown + ended).toBeGreaterThan(0);
    judge('redis', `disk full, appendfsync ${appendfsync}`, tally);
  });

  it('PostgreSQL', { timeout: LONG }, async () => {
    const small = disk(192);
    const settings = { max_wal_size: "'32MB'", min_wal_size: "'32MB'", wal_recycle: 'off', wal_init_zero: 'on' };
    const server = await onDisk(small.folder, () => startPostgres(settings));
    cleanups.push(() => server.destroy());
    const body = 'x'.repeat(200_000);
    const full = async (): Promise<void> => {
      small.fill();
      // the log has room in a file it has made already: bigger writes use that up
      await using big = await createPostgresProvider({ connectionString: server.url, deadline: DEADLINE, sweep: false });
      for (let n = 0; n < 300; n++) {
        const result = await big
          .storeMessages('big', [user(`${n} ${Math.random()} ${body}`)])
          .catch((error: MemoryError) => ({ ok: false, error }));
        if (!result.ok) break;
      }
      await sleep(500);
      small.free();
      // without room for its log it gives up, and may end while it tries to recover
      await sleep(500);
      if (!server.running) await server.start();
    };
    const open = (): Promise<MemoryProvider> => createPostgresProvider({ connectionString: server.url, deadline: DEADLINE, sweep: false });
    const tally = await writeOn(open, full);
    expect(tally['not applied'] + tally.unknown).toBeGreaterThan(0);
    judge('postgres', 'disk full', tally);
  });

  it('SQLite on a disk that is read-only: refused with the path, and nothing is changed', { timeout: LONG }, async () => {
    const small = disk(16);
    const path = join(small.folder, 'store.db');
    // in a process of its own: on Node 20 a file that was closed stays open until its statements are collected
    const write = (text: string): string => {
      const code = `const { createSqliteProvider, unwrap, user } = await import(${JSON.stringify(DIST)});
        try {
          const provider = await createSqliteProvider({ path: ${JSON.stringify(path)}, sweep: false });
          unwrap(await provider.appendMessages('chat', [user(${JSON.stringify(text)})], undefined, { createIfMissing: true }));
          await provider.close();
          console.log('written');
        } catch (error) { console.log(error.name + ' ' + error.message); }`;
      return execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    };
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      expect(write(`${run}`)).toBe('written\n');
      small.readOnly(true);
      const answer = write('never');
      small.readOnly(false);
      expect(answer).toMatch(/^MemoryConfigError .*is read-only/);
      expect(answer).toContain(JSON.stringify(path));
      refused++;
    }
    await using provider = await createSqliteProvider({ path, sweep: false });
    const there = ((await provider.getConversation('chat'))?.messages ?? []).map(textOf);
    expect(there).toEqual(Array.from({ length: RUNS }, (_, run) => `${run}`));
    found({ part: 'disk', backend: 'sqlite', what: 'read-only disk', numbers: { runs: RUNS, refused, changed: 0 } });
  });
});

describe('a server that is made read-only for a while', () => {
  it('PostgreSQL', { timeout: LONG }, async () => {
    const server = await startPostgres();
    cleanups.push(() => server.destroy());
    const open = (): Promise<MemoryProvider> => createPostgresProvider({ connectionString: server.url, deadline: DEADLINE, sweep: false });
    const { default: pg } = await import('pg');
    const set = async (text: string): Promise<void> => {
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      await client.query('SET transaction_read_only = off');
      await client.query(text);
      await client.query('SELECT pg_reload_conf()');
      await client.end();
    };
    const readOnly = async (): Promise<void> => {
      await set('ALTER SYSTEM SET default_transaction_read_only = on');
      await sleep(700);
      await set('ALTER SYSTEM RESET default_transaction_read_only');
    };
    const tally = await writeOn(open, readOnly);
    judge('postgres', 'server read-only', tally);
  });
});

describe('a SQLite file that is copied while it is written', () => {
  /** What a copy shows: messages from the beginning, a typed error, or something that never was. */
  async function look(
    path: string,
    tally: { whole: number; 'typed errors': number; 'wrong answers': number },
    least: number,
  ): Promise<void> {
    try {
      await using copy = await createSqliteProvider({ path, sweep: false });
      const texts = ((await copy.getConversation('chat'))?.messages ?? []).map(textOf);
      const right = texts.every((text, i) => text === `${i + 1}`) && texts.length >= least;
      tally[right ? 'whole' : 'wrong answers']++;
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      tally['typed errors']++;
    }
  }

  it.each(['VACUUM INTO', 'file and log, one after the other'] as const)('%s', { timeout: LONG }, async (how) => {
    const folder = mkdtempSync(join(tmpdir(), 'jaf-proof-copy-'));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'store.db');
    await using provider = await createSqliteProvider({ path, sweep: false });
    const stop = new AbortController();
    let acknowledged = 0;
    const writing = (async (): Promise<void> => {
      for (let n = 1; !stop.signal.aborted; n++) {
        unwrap(await provider.appendMessages('chat', [user(`${n}`)], undefined, { createIfMissing: true, compressionThreshold: 20 }));
        acknowledged = n;
        // a copy is not made by the process that writes: it would be whole between two of its steps
        if (n % 5 === 0) await new Promise((turn) => setImmediate(turn));
      }
    })();
    const { DatabaseSync } = await loadSqlite();
    const { Worker } = await import('node:worker_threads');
    const tally = { whole: 0, 'typed errors': 0, 'wrong answers': 0 };
    const copies = RUNS * 10;
    await sleep(100);
    for (let n = 0; n < copies; n++) {
      const inside = join(folder, `copy-${n}`);
      mkdirSync(inside);
      const copy = join(inside, 'store.db');
      const least = acknowledged;
      if (how === 'VACUUM INTO') {
        const db = new DatabaseSync(path);
        db.exec(`PRAGMA busy_timeout = 5000; VACUUM INTO '${copy}'`);
        db.close();
        await look(copy, tally, least);
      } else {
        const worker = new Worker(
          `const { copyFileSync, existsSync } = require('node:fs');
           const { path, copy } = require('node:worker_threads').workerData;
           copyFileSync(path, copy);
           if (existsSync(path + '-wal')) copyFileSync(path + '-wal', copy + '-wal');`,
          { eval: true, workerData: { path, copy } },
        );
        await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
        // what was acknowledged during the copying may be in it or not
        await look(copy, tally, 0);
      }
      rmSync(inside, { recursive: true });
    }
    stop.abort();
    await writing;
    found({ part: 'disk', backend: 'sqlite', what: `copied while written: ${how}`, numbers: { copies, ...tally } });
    expect(tally['wrong answers']).toBe(0);
    if (how === 'VACUUM INTO') expect(tally.whole).toBe(copies);
  });
});
