/** A Redis Cluster for tests: three primaries with a replica each, on free ports of 127.0.0.1. */
import { setTimeout as sleep } from 'node:timers/promises';
import { slotOf } from '../../src/memory/providers/redis/slot.js';
import { connect, type RedisServer, startRedis } from './redis.js';

type Client = Awaited<ReturnType<typeof connect>>;

/** The cluster, and what tests do to it. */
export interface RedisCluster {
  /** All six. */
  readonly servers: readonly RedisServer[];
  readonly nodes: { readonly host: string; readonly port: number }[];
  /** The server that answers for a key now. */
  primaryOf(key: string): Promise<RedisServer>;
  /** A client connected to one server. */
  admin(server: RedisServer): Promise<Client>;
  /** Moves the slot of a key, key by key, to another primary. `pause`: ms between the keys. */
  moveSlot(key: string, pause?: number): Promise<void>;
  /** Names the target of a move without moving anything: the slot is migrating. Returns what ends it. */
  beginMove(key: string): Promise<{ readonly moveKey: (name: string) => Promise<void>; end(): Promise<void> }>;
  /** Resolves when every slot has a primary and every primary a replica that is connected. */
  settled(): Promise<void>;
  /** Every key of the primaries under a prefix, with the client that holds it. */
  keys(prefix: string): Promise<{ readonly client: Client; readonly name: string }[]>;
  destroy(): Promise<void>;
}

/** Starts a cluster. */
export async function startCluster(): Promise<RedisCluster> {
  const settings = {
    'cluster-enabled': 'yes',
    'cluster-config-file': 'nodes.conf',
    'cluster-node-timeout': '1000',
    'cluster-replica-validity-factor': '0',
    'repl-diskless-sync-delay': '0',
  };
  const servers = await Promise.all(Array.from({ length: 6 }, () => startRedis(settings)));
  const clients = new Map<RedisServer, Client>();
  const admin = async (server: RedisServer): Promise<Client> => {
    let client = clients.get(server);
    if (!client?.isReady) {
      client?.destroy();
      client = await connect(server.url);
      clients.set(server, client);
    }
    return client;
  };
  const run = async (server: RedisServer, ...args: string[]): Promise<unknown> => (await admin(server)).sendCommand(args);
  const id = async (server: RedisServer): Promise<string> => String(await run(server, 'CLUSTER', 'MYID'));
  const until = async (what: string, test: () => Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 30_000; !(await test().catch(() => false)); await sleep(50)) {
      if (Date.now() > end) throw new Error(`the cluster: ${what} took more than 30 s`);
    }
  };
  const [first, ...others] = servers as [RedisServer, ...RedisServer[]];
  const info = async (server: RedisServer, section: string): Promise<string> => String(await run(server, 'INFO', section));

  const cluster: RedisCluster = {
    servers,
    nodes: servers.map(({ port }) => ({ host: '127.0.0.1', port })),
    admin,
    async primaryOf(key) {
      const slot = slotOf(key);
      for (const server of servers) {
        let ranges: [number, number, [string, number]][];
        try {
          ranges = (await run(server, 'CLUSTER', 'SLOTS')) as typeof ranges;
        } catch {
          continue; // it is down
        }
        const range = ranges.find(([from, to]) => from <= slot && slot <= to);
        const found = servers.find(({ port }) => port === range?.[2][1]);
        if (found) return found;
      }
      throw new Error('no server answers for the slot');
    },
    async beginMove(key) {
      const slot = String(slotOf(key));
      const source = await this.primaryOf(key);
      let target = source;
      for (const server of servers) if (server !== source && /role:master/.test(await info(server, 'replication'))) target = server;
      await run(target, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', await id(source));
      await run(source, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', await id(target));
      const moveKey = async (name: string): Promise<void> => {
        await run(source, 'MIGRATE', '127.0.0.1', String(target.port), name, '0', '5000');
      };
      return {
        moveKey,
        async end() {
          for (;;) {
            const names = (await run(source, 'CLUSTER', 'GETKEYSINSLOT', slot, '100')) as string[];
            if (names.length === 0) break;
            for (const name of names) await moveKey(name);
          }
          for (const server of [target, source, ...servers.filter((one) => one !== target && one !== source)]) {
            if (/role:master/.test(await info(server, 'replication')))
              await run(server, 'CLUSTER', 'SETSLOT', slot, 'NODE', await id(target));
          }
        },
      };
    },
    async moveSlot(key, pause = 0) {
      const source = await this.primaryOf(key);
      const move = await this.beginMove(key);
      const names = (await run(source, 'CLUSTER', 'GETKEYSINSLOT', String(slotOf(key)), '10000')) as string[];
      for (const name of names) {
        await move.moveKey(name);
        if (pause > 0) await sleep(pause);
      }
      await move.end();
    },
    settled: () =>
      until('settling', async () => {
        let linked = 0;
        for (const server of servers) {
          if (!/cluster_state:ok/.test(String(await run(server, 'CLUSTER', 'INFO')))) return false;
          if (/cluster_known_nodes:6/.test(String(await run(server, 'CLUSTER', 'INFO'))) === false) return false;
          const replication = await info(server, 'replication');
          if (/role:slave/.test(replication) ? /master_link_status:up/.test(replication) : /state=online/.test(replication)) linked++;
        }
        return linked === 6;
      }),
    async keys(prefix) {
      const all: { client: Client; name: string }[] = [];
      for (const server of servers) {
        const client = await admin(server);
        if (!/role:master/.test(await info(server, 'replication'))) continue;
        for await (const names of client.scanIterator({ COUNT: 1000 })) {
          for (const name of names) if (name.startsWith(`{${prefix}#`)) all.push({ client, name });
        }
      }
      return all;
    },
    async destroy() {
      for (const client of clients.values()) client.destroy();
      await Promise.all(servers.map((server) => server.destroy()));
    },
  };

  try {
    for (const server of others) await run(first, 'CLUSTER', 'MEET', '127.0.0.1', String(server.port));
    await until('meeting', async () => {
      for (const server of servers) if (!/cluster_known_nodes:6/.test(String(await run(server, 'CLUSTER', 'INFO')))) return false;
      return true;
    });
    for (let i = 0; i < 3; i++) {
      const from = Math.round((16_384 / 3) * i);
      const to = Math.round((16_384 / 3) * (i + 1)) - 1;
      await run(servers[i] as RedisServer, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
      await run(servers[i] as RedisServer, 'CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1)).catch(() => undefined);
    }
    for (let i = 0; i < 3; i++) {
      const replica = servers[i + 3] as RedisServer;
      const primary = await id(servers[i] as RedisServer);
      await until('replicating', async () => (await run(replica, 'CLUSTER', 'REPLICATE', primary)) === 'OK');
    }
    await cluster.settled();
  } catch (error) {
    await cluster.destroy();
    throw error;
  }
  return cluster;
}
