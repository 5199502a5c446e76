/** PgBouncer for tests: in transaction mode, in front of a server, on a free port of 127.0.0.1. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort, serverUser } from './postgres.js';
import { needProgram } from './programs.js';

/** A pooler that tests may kill and start again. */
export interface PgBouncer {
  /** The database `postgres` of the server, through the pooler. */
  readonly url: string;
  start(): Promise<void>;
  /** SIGKILL: connections break on both sides. */
  kill(): Promise<void>;
  destroy(): Promise<void>;
}

/**
 * Starts a pooler in transaction mode.
 *
 * @param serverUrl - of the server behind it
 * @param size - connections to the server
 */
export async function startPgBouncer(serverUrl: string, size = 8): Promise<PgBouncer> {
  const binary = needProgram('pgbouncer');
  const server = new URL(serverUrl);
  const as = serverUser();
  const folder = mkdtempSync(join(tmpdir(), 'jaf-pgbouncer-'));
  const port = await freePort();
  const user = decodeURIComponent(server.username);
  const password = decodeURIComponent(server.password);
  writeFileSync(join(folder, 'users.txt'), `"${user}" "${password}"\n`);
  writeFileSync(
    join(folder, 'pgbouncer.ini'),
    [
      '[databases]',
      `* = host=${server.hostname} port=${server.port || 5432}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      'auth_type = trust',
      'auth_file = users.txt',
      'pool_mode = transaction',
      `default_pool_size = ${size}`,
      'max_client_conn = 200',
      'server_login_retry = 0',
      '',
    ].join('\n'),
  );
  if (as) for (const path of [folder, join(folder, 'users.txt'), join(folder, 'pgbouncer.ini')]) chownSync(path, as.uid, as.gid);
  const url = `postgresql://${server.username}@127.0.0.1:${port}${server.pathname}?sslmode=disable`;
  let child: ChildProcess | undefined;
  let log = '';
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const exit = new Promise((resolve) => running.once('exit', resolve));
    running.kill(signal);
    await exit;
  };
  const pooler: PgBouncer = {
    url,
    async start() {
      const started = spawn(binary, ['pgbouncer.ini'], { ...as, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
      child = started;
      started.stderr.on('data', (text: Buffer) => (log = (log + text.toString()).slice(-20_000)));
      for (const limit = Date.now() + 20_000; ; ) {
        if (started.exitCode !== null) throw new Error(`PgBouncer did not start:\n${log}`);
        const client = new pg.Client({ connectionString: url });
        client.on('error', () => undefined);
        try {
          await client.connect();
          await client.end();
          return;
        } catch (error) {
          if (Date.now() > limit) throw new Error(`PgBouncer did not start in 20 s:\n${log}`, { cause: error });
          await sleep(20);
        }
      }
    },
    kill: () => end('SIGKILL'),
    async destroy() {
      await end('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await pooler.start();
  return pooler;
}
