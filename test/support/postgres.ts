/**
 * PostgreSQL servers for tests: private ones in temp folders, on free ports of 127.0.0.1, or the one of
 * JAF_TEST_POSTGRES_URL (a superuser's URL; its databases are left alone but for schemas named jaf_test_…).
 */
import { type ChildProcess, execFileSync, type ExecFileSyncOptions, spawn } from 'node:child_process';
import { appendFileSync, chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { needPostgres } from './programs.js';

/** A server that tests may stop, kill and start again. */
export interface PostgresServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  /** Process id of the postmaster. */
  readonly pid: number;
  /** False when it has ended, also by itself. */
  readonly running: boolean;
  start(): Promise<void>;
  /** Ends every process of the server with SIGKILL: what a crash is. */
  kill(): Promise<void>;
  /** Shuts down as an administrator does (`fast`): connections are told so, and ended. */
  stop(): Promise<void>;
  /** SIGSTOP and SIGCONT for every process of the server. */
  freeze(): void;
  thaw(): void;
  /** Stops it and removes its folder. */
  destroy(): Promise<void>;
}

/** Options of a server beside its settings. */
export interface PostgresOptions {
  /** Lines of pg_hba.conf; default: anybody on this machine may do anything. */
  readonly hba?: readonly string[];
  /** Puts files into the folder of the data before the server starts. */
  readonly prepare?: (data: string, as: { readonly uid: number; readonly gid: number } | undefined) => void;
}

/** The path of `psql`. */
export const psql = (): string => join(needPostgres(), 'psql');

/** Who servers run as. initdb refuses root: in a container that runs as root the server runs as `postgres` or `nobody`. */
export function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] })));
      if (uid !== undefined && gid !== undefined) return { uid, gid };
    } catch {
      // no such user: the next
    }
  }
  throw new Error(
    'PostgreSQL does not run as root, and there is neither a user "postgres" nor "nobody" to run it as. Create one (useradd postgres).',
  );
}

/** A port of 127.0.0.1 nobody listens at. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}

/**
 * Starts a private server. A commit survives SIGKILL of the server also with fsync off: it is in the system's cache.
 *
 * @param settings - lines for postgresql.conf
 * @param more - see {@link PostgresOptions}
 */
export function startPostgres(settings: Readonly<Record<string, string>> = {}, more: PostgresOptions = {}): Promise<PostgresServer> {
  return launch(settings, more, ({ bin, data, options }) =>
    execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'jaf', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'], options),
  );
}

/** A streaming replica. */
export interface PostgresReplica extends PostgresServer {
  /** Makes it a primary. */
  promote(): Promise<void>;
}

/** One statement on a connection of its own. */
async function ask(url: string, text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

/**
 * Starts a streaming replica of a server, and makes replication synchronous: what the primary acknowledges, the replica has.
 *
 * @param primary - a server whose settings allow it (those of a new one do)
 */
export async function startReplica(primary: PostgresServer): Promise<PostgresReplica> {
  const name = 'jaf_replica';
  const server = await launch({ hot_standby: 'on' }, {}, ({ bin, data, options }) => {
    const source = `host=127.0.0.1 port=${primary.port} user=jaf application_name=${name}`;
    execFileSync(join(bin, 'pg_basebackup'), ['-D', data, '-d', source, '-R', '-X', 'stream', '-c', 'fast', '--no-sync'], options);
  });
  // only now: it would be copied, and a promoted replica would wait for itself
  await ask(primary.url, `ALTER SYSTEM SET synchronous_standby_names = '${name}'`);
  await ask(primary.url, 'SELECT pg_reload_conf()');
  for (const end = Date.now() + 20_000; ; await sleep(20)) {
    const [row] = await ask(primary.url, 'SELECT sync_state FROM pg_stat_replication');
    if (row?.['sync_state'] === 'sync') break;
    if (Date.now() > end) throw new Error('the replica did not become synchronous in 20 s');
  }
  return Object.assign(server, {
    async promote() {
      await ask(server.url, 'SELECT pg_promote()');
    },
  });
}

/** How a folder of data is made. */
type Fill = (at: { bin: string; data: string; options: ExecFileSyncOptions }) => void;

async function launch(settings: Readonly<Record<string, string>>, more: PostgresOptions, fill: Fill): Promise<PostgresServer> {
  const bin = needPostgres();
  const as = serverUser();
  const folder = mkdtempSync(join(tmpdir(), 'jaf-postgres-'));
  if (as) chownSync(folder, as.uid, as.gid);
  const data = join(folder, 'data');
  const port = await freePort();
  const options = { ...as, cwd: folder, env: { ...process.env, HOME: folder, LC_ALL: 'C.UTF-8' } };
  fill({ bin, data, options: { ...options, stdio: ['ignore', 'ignore', 'pipe'] } });
  const conf = {
    listen_addresses: "'127.0.0.1'",
    port: String(port),
    unix_socket_directories: "''",
    fsync: 'off',
    max_connections: '100',
    shared_buffers: "'256MB'",
    max_wal_size: "'4GB'",
    ...settings,
  };
  appendFileSync(
    join(data, 'postgresql.conf'),
    Object.entries(conf)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join(''),
  );
  if (more.hba) writeFileSync(join(data, 'pg_hba.conf'), `${more.hba.join('\n')}\n`);
  more.prepare?.(data, as);
  const url = `postgresql://jaf@127.0.0.1:${port}/postgres?sslmode=disable`;
  let child: ChildProcess | undefined;
  let log = '';
  // the postmaster's children are in sessions of their own: found by parent, not by process group
  const pids = (): number[] => {
    if (!child?.pid) return [];
    let children: number[] = [];
    try {
      children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(child.pid)], { encoding: 'utf8' })
        .split('\n')
        .filter((s) => s.trim() !== '')
        .map(Number);
    } catch {
      // ps answers 1 when there are none
    }
    return [child.pid, ...children];
  };
  const signal = (name: NodeJS.Signals, to = pids()): void => {
    for (const pid of to) {
      try {
        process.kill(pid, name);
      } catch (error) {
        if ((error as { code?: string }).code !== 'ESRCH') throw error;
      }
    }
  };
  const ended = (): Promise<void> =>
    new Promise((resolve) =>
      !child || child.exitCode !== null || child.signalCode !== null ? resolve() : child.once('exit', () => resolve()),
    );
  const server: PostgresServer = {
    url,
    port,
    folder,
    get pid() {
      return child?.pid ?? 0;
    },
    get running() {
      return child !== undefined && child.exitCode === null && child.signalCode === null;
    },
    async start() {
      child = spawn(join(bin, 'postgres'), ['-D', data], { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
      child.stderr?.on('data', (text: Buffer) => (log = (log + text.toString()).slice(-20_000)));
      const started = child;
      for (const end = Date.now() + 30_000; ; ) {
        if (started.exitCode !== null) throw new Error(`PostgreSQL did not start:\n${log}`);
        const client = new pg.Client({ connectionString: url });
        client.on('error', () => undefined);
        try {
          await client.connect();
          await client.end();
          return;
        } catch (error) {
          if (Date.now() > end) throw new Error(`PostgreSQL did not start in 30 s:\n${log}`, { cause: error });
          await sleep(20);
        }
      }
    },
    async kill() {
      const all = pids();
      signal('SIGKILL', all);
      await ended();
      // a new postmaster refuses to start while old backends are attached to the shared memory
      for (const pid of all) {
        while (existsSync(`/proc/${pid}/status`)) await sleep(2);
      }
    },
    async stop() {
      child?.kill('SIGINT');
      await ended();
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    async destroy() {
      if (child && child.exitCode === null && child.signalCode === null) {
        signal('SIGCONT');
        child.kill('SIGINT');
        await ended();
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** A server for tests that do not stop it: the one of JAF_TEST_POSTGRES_URL, or a private one. */
export async function usePostgres(): Promise<{ readonly url: string; destroy(): Promise<void> }> {
  const url = process.env['JAF_TEST_POSTGRES_URL'];
  return url ? { url, destroy: async () => undefined } : await startPostgres();
}
