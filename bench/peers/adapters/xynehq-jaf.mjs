// @xynehq/jaf: its memory providers for memory, node-redis and a pg pool of 10. Their log lines are thrown away, which is the
// best that can be set: they are made before anybody could say no. Limits of its in-memory provider are raised.
import { register } from 'node:module';

register('../extensionless.mjs', import.meta.url);
console.log = () => undefined;
const { createInMemoryProvider, createPostgresProvider, createRedisProvider } = await import('@xynehq/jaf');

const opened = {
  memory: async () => ({
    provider: createInMemoryProvider({ type: 'memory', maxConversations: 1_000_000, maxMessagesPerConversation: 10_000_000 }),
  }),
  redis: async (url) => {
    const client = await (await import('redis')).createClient({ url }).connect();
    return { provider: await createRedisProvider({ type: 'redis' }, client) };
  },
  postgres: async (url) => {
    const { default: pg } = await import('pg');
    const pool = new pg.Pool({ connectionString: url, max: 10 });
    return { provider: await createPostgresProvider({ type: 'postgres' }, pool), close: () => pool.end() };
  },
};

const data = (result) => {
  if (!result.success) throw new Error(result.error.message, { cause: result.error });
  return result.data;
};

export async function open({ store, url }) {
  const { provider, close } = await opened[store](url);
  return {
    // on Redis its list of a user finds only what is named so
    idOf: (id, userId) => `user:${userId}:${id}`,
    create: async (id, userId) => data(await provider.storeMessages(id, [], { userId })),
    append: async (id, turn) => data(await provider.appendMessages(id, turn)),
    fill: async (id, messages) => data(await provider.appendMessages(id, messages)),
    recent: async (id, limit) => data(await provider.getRecentMessages(id, limit)),
    whole: async (id) => data(await provider.getConversation(id)).messages,
    // with all their messages: there are no headers
    list: async (userId, limit) => data(await provider.findConversations({ userId, limit })),
    text: (message) => message.content,
    close: close ?? (() => provider.close()),
  };
}
