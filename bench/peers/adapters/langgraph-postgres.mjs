// @langchain/langgraph-checkpoint-postgres: PostgresSaver. What a graph does for a turn, at least: load the thread's newest
// checkpoint, add the messages to its channel, put the next checkpoint, which holds all of them again.
import { AIMessage, HumanMessage } from '@langchain/core/messages';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { PostgresSaver } from '@langchain/langgraph-checkpoint-postgres';
import pg from 'pg';

export async function open({ url }) {
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  const saver = new PostgresSaver(pool);
  await saver.setup();
  const native = ({ role, content }) => (role === 'user' ? new HumanMessage(content) : new AIMessage(content));
  const load = async (id) => (await saver.getTuple({ configurable: { thread_id: id, checkpoint_ns: '' } })) ?? undefined;
  const messagesOf = (tuple) => tuple?.checkpoint.channel_values.messages ?? [];
  const append = async (id, added) => {
    const before = await load(id);
    const step = (before?.metadata?.step ?? -1) + 1;
    const version = (before?.checkpoint.channel_versions.messages ?? 0) + 1;
    const checkpoint = {
      ...emptyCheckpoint(),
      id: uuid6(step),
      ts: new Date().toISOString(),
      channel_values: { messages: [...messagesOf(before), ...added.map(native)] },
      channel_versions: { messages: version },
    };
    const config = before?.config ?? { configurable: { thread_id: id, checkpoint_ns: '' } };
    await saver.put(config, checkpoint, { source: 'loop', step, parents: {} }, { messages: version });
  };
  return {
    append,
    fill: append,
    recent: async (id, limit) => messagesOf(await load(id)).slice(-limit),
    whole: async (id) => messagesOf(await load(id)),
    text: (message) => message.content,
    close: () => pool.end(),
  };
}
