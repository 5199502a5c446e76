/**
 * Redis servers for tests: private ones in temp folders, on free ports of 127.0.0.1, or the one of JAF_TEST_REDIS_URL (its
 * keys are left alone but for those under prefixes named jaf-test-…).
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';

/** A server that tests may stop, kill and start again. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly pid: number;
  readonly running: boolean;
  start(): Promise<void>;
  /** Ends it with SIGKILL: what a crash is. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
  /** Stops it and removes its folder. */
  destroy(): Promise<void>;
}

const INSTALL =
  'Install a server (Debian: apt-get install redis-server), or set JAF_TEST_REDIS_SERVER to the path of one, or JAF_TEST_REDIS_URL.';

/** A free port of 127.0.0.1 whose cluster bus (10000 above) is a port, too. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        server.close(() => (typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port'))));
      });
    });
    if (port <= 55_535) return port;
  }
}

/** A user who is not root, when this one is. */
export function user(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [uid = 0, gid = 0] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'nobody'])));
  return { uid, gid };
}

const clientOf = (url: string) => createClient({ url, commandOptions: { timeout: 120_000 } });

/** A client that is connected. */
export async function connect(url: string): Promise<ReturnType<typeof clientOf>> {
  const client = clientOf(url);
  client.on('error', () => undefined); // servers of these tests die
  await client.connect();
  return client;
}

/**
 * Starts a private server. What it acknowledged survives SIGKILL with appendonly on: it is in the system's cache.
 *
 * @param settings - lines for redis.conf
 */
export async function startRedis(settings: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
  const binary = process.env['JAF_TEST_REDIS_SERVER'] ?? 'redis-server';
  const as = user();
  const folder = mkdtempSync(join(tmpdir(), 'jaf-redis-'));
  if (as) chownSync(folder, as.uid, as.gid);
  const port = await freePort();
  const conf = { bind: '127.0.0.1', port: String(port), dir: folder, save: '', appendonly: 'no', daemonize: 'no', ...settings };
  const args = Object.entries(conf).flatMap(([key, value]) => [`--${key}`, ...(key === 'save' && value === '' ? [''] : value.split(' '))]);
  let child: ChildProcess | undefined;
  let log = '';
  const url = `redis://127.0.0.1:${port}`;
  const ended = (): Promise<void> =>
    new Promise((resolve) =>
      !child || child.exitCode !== null || child.signalCode !== null ? resolve() : child.once('exit', () => resolve()),
    );
  const server: RedisServer = {
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
      const started = spawn(binary, args, { ...as, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
      child = started;
      let failed: Error | undefined;
      started.once('error', (error) => (failed = error));
      for (const stream of [started.stdout, started.stderr])
        stream.on('data', (text: Buffer) => (log = (log + text.toString()).slice(-20_000)));
      for (const end = Date.now() + 30_000; ; ) {
        if (failed) throw new Error(`These tests need a Redis server. ${INSTALL}`, { cause: failed });
        if (started.exitCode !== null) throw new Error(`Redis did not start:\n${log}`);
        const client = createClient({ url, socket: { reconnectStrategy: false } });
        client.on('error', () => undefined);
        try {
          await client.connect();
          // answers anything but LOADING, a demanded password included
          await client.ping().catch((error: unknown) => {
            if (/LOADING/.test(String(error))) throw error;
          });
          client.destroy();
          return;
        } catch (error) {
          client.destroy();
          if (/NOAUTH|WRONGPASS/.test(String(error))) return;
          if (Date.now() > end) throw new Error(`Redis did not start in 30 s:\n${log}`, { cause: error });
          await sleep(20);
        }
      }
    },
    async kill() {
      child?.kill('SIGKILL');
      await ended();
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async destroy() {
      if (child && child.exitCode === null && child.signalCode === null) {
        child.kill('SIGCONT');
        child.kill('SIGKILL');
        await ended();
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** A server for tests that do not stop it: the one of JAF_TEST_REDIS_URL, or a private one. */
export async function useRedis(): Promise<{ readonly url: string; destroy(): Promise<void> }> {
  const url = process.env['JAF_TEST_REDIS_URL'];
  return url ? { url, destroy: async () => undefined } : await startRedis();
}

/** All keys of a namespace. Walks the whole server: for tests only. */
export async function keysOf(client: Awaited<ReturnType<typeof connect>>, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const batch of client.scanIterator({ COUNT: 1000 })) keys.push(...batch.filter((key) => key.startsWith(`{${prefix}#`)));
  return keys.sort();
}
