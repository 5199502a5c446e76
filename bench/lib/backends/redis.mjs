// Redis: the provider with a client of its own and with a caller's ioredis, and RPUSH of two strings through both clients.
import { Redis } from 'ioredis';
import { createRedisProvider } from 'jaf/memory';
import { createClient } from 'redis';
import { redisUrl } from '../servers.mjs';
import { jafStore, PATIENT } from './jaf.mjs';

/** Opens the backend: keys under a prefix of their own, removed at the end. */
export async function openRedis() {
  const url = redisUrl();
  const prefix = `jaf-bench:${process.pid}:`;
  const admin = await createClient({ url }).connect();
  let stores = 0;
  const next = () => `${prefix}${++stores}:`;
  const [, version] = /(?:redis|valkey)_version:(\S+)/.exec(await admin.info('server'));
  return {
    provider: 'redis',
    versions: { Redis: version },
    url,
    admin,
    jaf: {
      'jaf (own client)': async (options) => jafStore(await createRedisProvider({ url, keyPrefix: next(), ...PATIENT, ...options })),
      'jaf (ioredis client)': async (options) => {
        const client = await ioRedis(url);
        return jafStore(await createRedisProvider({ keyPrefix: next(), ...PATIENT, ...options }, client), () => client.quit());
      },
    },
    bare: {
      'bare node-redis': async () => bareNodeRedis(await createClient({ url }).connect(), next()),
      'bare ioredis': async () => bareIoRedis(await ioRedis(url), next()),
    },
    settle: async () => undefined,
    /** Microseconds the server spent in commands, and their calls, by command. */
    commandStats: async () =>
      new Map(
        [...(await admin.info('commandstats')).matchAll(/cmdstat_(\S+?):calls=(\d+),usec=(\d+)/g)].map(([, command, calls, usec]) => [
          command,
          { calls: Number(calls), usec: Number(usec) },
        ]),
      ),
    close: async () => {
      for await (const keys of admin.scanIterator({ MATCH: `*${prefix}*`, COUNT: 1000 })) if (keys.length > 0) await admin.unlink(keys);
      admin.destroy();
    },
  };
}

async function ioRedis(url) {
  const client = new Redis(url, { lazyConnect: true });
  await client.connect();
  return client;
}

const texts = (messages) => messages.map((message) => JSON.stringify(message));
const parsed = (bodies) => bodies.map((body) => JSON.parse(body));

function bareNodeRedis(client, prefix) {
  return {
    client,
    fill: async (id, messages) => void (await client.rPush(prefix + id, texts(messages))),
    append: (id, turn) => client.rPush(prefix + id, texts(turn)),
    recent: async (id, limit) => parsed(await client.lRange(prefix + id, -limit, -1)),
    whole: async (id) => parsed(await client.lRange(prefix + id, 0, -1)),
    count: (id) => client.lLen(prefix + id),
    close: async () => client.destroy(),
  };
}

function bareIoRedis(client, prefix) {
  return {
    client,
    fill: async (id, messages) => void (await client.rpush(prefix + id, ...texts(messages))),
    append: (id, turn) => client.rpush(prefix + id, ...texts(turn)),
    recent: async (id, limit) => parsed(await client.lrange(prefix + id, -limit, -1)),
    whole: async (id) => parsed(await client.lrange(prefix + id, 0, -1)),
    count: (id) => client.llen(prefix + id),
    close: async () => void (await client.quit()),
  };
}
