// jaf itself (this folder is a package of its own, in which its name means nothing), through its public methods, every guarantee on. `memory`, `redis`, `postgres`, and for Redis also through ioredis.
import { createInMemoryProvider, createPostgresProvider, createRedisProvider, unwrap } from '../../../dist/memory/index.js';

export async function open({ store, url, client, ...options }) {
  // jaf makes its own node-redis or pg client from a URL; an ioredis client is passed in
  const own = client === 'ioredis' ? new (await import('ioredis')).Redis(url) : undefined;
  const provider =
    store === 'memory'
      ? createInMemoryProvider({ maxConversations: 1_000_000, maxMessages: 10_000_000, ...options })
      : store === 'redis'
        ? await createRedisProvider({ ...(own ? {} : { url }), ...options }, own)
        : await createPostgresProvider({ connectionString: url, sweep: false, ...options });
  return {
    create: async (id, userId) => unwrap(await provider.storeMessages(id, [], undefined, { userId })),
    append: async (id, turn) => unwrap(await provider.appendMessages(id, turn)),
    fill: async (id, messages) => unwrap(await provider.appendMessages(id, messages)),
    recent: (id, limit) => provider.getRecentMessages(id, limit),
    whole: async (id) => (await provider.getConversation(id)).messages,
    list: (userId, limit) => provider.findConversations({ userId, limit, messageLimit: 0 }),
    text: (message) => message.content,
    close: async () => {
      await provider.close();
      await own?.quit();
    },
  };
}
