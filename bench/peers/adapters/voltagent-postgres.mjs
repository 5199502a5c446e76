// @voltagent/postgres: PostgreSQLMemoryAdapter. addMessages holds a connection while it waits for a second one, so that as many
// calls as its pool has connections block each other for good: with the default of 10 that is 10. It gets more than twice what
// is in flight here. Messages of one call share their time, by which they are read: their order is left to the server.
process.env.VOLTAGENT_TELEMETRY_DISABLED = 'true';
import { randomUUID } from 'node:crypto';
import { PostgreSQLMemoryAdapter } from '@voltagent/postgres';

export async function open({ url, each }) {
  const memory = new PostgreSQLMemoryAdapter({ connection: url, maxConnections: 70 });
  await memory.initPromise;
  const owners = new Map();
  const native = ({ role, content }) => ({ id: randomUUID(), role, parts: [{ type: 'text', text: content }] });
  const append = (id, messages) => memory.addMessages(messages.map(native), owners.get(id), id);
  // the way that keeps the order, unless both calls fall into one millisecond: two transactions
  const oneByOne = async (id, messages) => {
    for (const message of messages) await memory.addMessage(native(message), owners.get(id), id);
  };
  return {
    create: async (id, userId) => {
      owners.set(id, userId);
      await memory.createConversation({ id, resourceId: 'bench', userId, title: id, metadata: {} });
    },
    append: each ? oneByOne : append,
    fill: each ? oneByOne : append,
    recent: (id, limit) => memory.getMessages(owners.get(id), id, { limit }),
    whole: (id) => memory.getMessages(owners.get(id), id),
    list: (userId, limit) => memory.queryConversations({ userId, limit, orderBy: 'updated_at', orderDirection: 'DESC' }),
    text: (message) => message.parts[0].text,
    close: () => memory.close?.() ?? memory.pool.end(),
  };
}
