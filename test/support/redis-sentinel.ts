/** Redis behind Sentinel for tests: a primary, two replicas and three sentinels, on free ports of 127.0.0.1. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, freePort, type RedisServer, startRedis, user } from './redis.js';

type Client = Awaited<ReturnType<typeof connect>>;

/** The servers, and what tests do to them. */
export interface RedisSentinel {
  readonly sentinels: { readonly host: string; readonly port: number }[];
  readonly service: string;
  readonly servers: readonly RedisServer[];
  /** The primary, as the sentinels say. */
  primary(): Promise<RedisServer>;
  /** A client connected to one server. */
  admin(server: RedisServer): Promise<Client>;
  /** Resolves when all servers replicate one primary that every sentinel names. */
  settled(): Promise<void>;
  destroy(): Promise<void>;
}

/** Starts them. */
export async function startSentinel(): Promise<RedisSentinel> {
  const service = 'jaf-test';
  const settings = { 'repl-diskless-sync-delay': '0' };
  const first = await startRedis(settings);
  const servers = [first, ...(await Promise.all([1, 2].map(() => startRedis({ ...settings, replicaof: `127.0.0.1 ${first.port}` }))))];
  const as = user();
  const folder = mkdtempSync(join(tmpdir(), 'jaf-sentinel-'));
  if (as) chownSync(folder, as.uid, as.gid);
  const children: ChildProcess[] = [];
  const sentinels: { host: string; port: number }[] = [];
  const clients = new Map<number, Client>();
  const adminAt = async (port: number): Promise<Client> => {
    let client = clients.get(port);
    if (!client?.isReady) {
      client?.destroy();
      client = await connect(`redis://127.0.0.1:${port}`);
      clients.set(port, client);
    }
    return client;
  };
  for (let i = 0; i < 3; i++) {
    const port = await freePort();
    const file = join(folder, `${i}.conf`);
    const lines = [
      'bind 127.0.0.1',
      `port ${port}`,
      `dir ${folder}`,
      `sentinel monitor ${service} 127.0.0.1 ${first.port} 2`,
      `sentinel down-after-milliseconds ${service} 700`,
      `sentinel failover-timeout ${service} 3000`,
      `sentinel parallel-syncs ${service} 2`,
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    if (as) chownSync(file, as.uid, as.gid);
    children.push(
      spawn(process.env['JAF_TEST_REDIS_SERVER'] ?? 'redis-server', [file, '--sentinel'], { ...as, cwd: folder, stdio: 'ignore' }),
    );
    sentinels.push({ host: '127.0.0.1', port });
  }
  const named = async (port: number): Promise<number> => {
    const answer = (await (await adminAt(port)).sendCommand(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', service])) as string[];
    return Number(answer[1]);
  };
  const all: RedisSentinel = {
    sentinels,
    service,
    servers,
    admin: (server) => adminAt(server.port),
    async primary() {
      const port = await named(sentinels[0]?.port ?? 0);
      const found = servers.find((server) => server.port === port);
      if (!found) throw new Error('the sentinels name no server of ours');
      return found;
    },
    async settled() {
      const test = async (): Promise<boolean> => {
        const ports = new Set(await Promise.all(sentinels.map(({ port }) => named(port))));
        if (ports.size !== 1) return false;
        for (const { port } of sentinels) {
          const answer = (await (await adminAt(port)).sendCommand(['SENTINEL', 'CKQUORUM', service])) as string;
          const replicas = (await (await adminAt(port)).sendCommand(['SENTINEL', 'REPLICAS', service])) as unknown[];
          if (!answer.startsWith('OK 3 ') || replicas.length !== 2) return false;
        }
        for (const server of servers) {
          const info = await (await adminAt(server.port)).info('replication');
          if (ports.has(server.port) ? (info.match(/state=online/g) ?? []).length !== 2 : !/master_link_status:up/.test(info)) return false;
        }
        return true;
      };
      for (const end = Date.now() + 40_000; !(await test().catch(() => false)); await sleep(100)) {
        if (Date.now() > end) throw new Error('the sentinels have not settled in 40 s');
      }
    },
    async destroy() {
      for (const client of clients.values()) client.destroy();
      for (const child of children) {
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once('exit', resolve));
      }
      await Promise.all(servers.map((server) => server.destroy()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await all.settled();
  } catch (error) {
    await all.destroy();
    throw error;
  }
  return all;
}
