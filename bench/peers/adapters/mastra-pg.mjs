// @mastra/pg: the memory domain of PostgresStore, a pool of 10. It needs Node 22.13 or newer. Times of messages are given by
// the caller and order them: they ascend here, as Mastra's own message list makes them.
import { randomUUID } from 'node:crypto';
import { PostgresStore } from '@mastra/pg';
import pg from 'pg';

export async function open({ url }) {
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  const store = new PostgresStore({ id: 'bench', pool });
  await store.init();
  const memory = await store.getStore('memory');
  const owners = new Map();
  let last = 0;
  const native = (id, { role, content }) => ({
    id: randomUUID(),
    threadId: id,
    resourceId: owners.get(id),
    role,
    type: 'v2',
    createdAt: new Date((last = Math.max(Date.now(), last + 1))),
    content: { format: 2, parts: [{ type: 'text', text: content }], content },
  });
  const append = (id, messages) => memory.saveMessages({ messages: messages.map((message) => native(id, message)) });
  return {
    create: async (id, resourceId) => {
      owners.set(id, resourceId);
      const now = new Date();
      await memory.saveThread({ thread: { id, resourceId, title: id, metadata: {}, createdAt: now, updatedAt: now } });
    },
    append,
    fill: append,
    recent: async (id, perPage) =>
      (await memory.listMessages({ threadId: id, perPage, includeTotal: false, orderBy: { field: 'createdAt', direction: 'DESC' } }))
        .messages,
    whole: async (id) => (await memory.listMessages({ threadId: id, perPage: false, includeTotal: false })).messages,
    list: async (resourceId, perPage) =>
      (await memory.listThreads({ filter: { resourceId }, perPage, orderBy: { field: 'updatedAt', direction: 'DESC' } })).threads,
    text: (message) => message.content.parts[0].text,
    close: () => pool.end(),
  };
}
