// @langchain/redis: RedisChatMessageHistory, one object a session, one node-redis client shared by all of them.
// A turn is two calls and two LPUSHes: a crash between them stores half a turn. It reads the whole list, always.
import { AIMessage, HumanMessage } from '@langchain/core/messages';
import { RedisChatMessageHistory } from '@langchain/redis';
import { createClient } from 'redis';

export async function open({ url }) {
  const client = await createClient({ url }).connect();
  return { ...historyOf((sessionId) => new RedisChatMessageHistory({ sessionId, client })), close: () => client.quit() };
}

/** What all chat histories of LangChain share: messages of its own classes, no windows. */
export function historyOf(make) {
  const sessions = new Map();
  const session = (id) => sessions.get(id) ?? sessions.set(id, make(id)).get(id);
  const native = ({ role, content }) => (role === 'user' ? new HumanMessage(content) : new AIMessage(content));
  return {
    // its documented way to add several; it calls addMessage for one after the other
    append: (id, turn) => session(id).addMessages(turn.map(native)),
    fill: (id, messages) => session(id).addMessages(messages.map(native)),
    recent: async (id, limit) => (await session(id).getMessages()).slice(-limit),
    whole: (id) => session(id).getMessages(),
    text: (message) => message.content,
  };
}
