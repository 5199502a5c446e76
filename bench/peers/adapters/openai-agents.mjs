// @openai/agents: MemorySession, one object a conversation, kept in a Map. Logging of content is off: with it every read and
// write would be printed into a string, also when nothing listens.
process.env.OPENAI_AGENTS_DONT_LOG_MODEL_DATA = '1';
process.env.OPENAI_AGENTS_DONT_LOG_TOOL_DATA = '1';
const { MemorySession, setTracingDisabled } = await import('@openai/agents');
setTracingDisabled(true);

const native = ({ role, content }) =>
  role === 'user'
    ? { type: 'message', role, content: [{ type: 'input_text', text: content }] }
    : { type: 'message', role, status: 'completed', content: [{ type: 'output_text', text: content }] };

export async function open() {
  const sessions = new Map();
  const session = (id) => sessions.get(id) ?? sessions.set(id, new MemorySession({ sessionId: id })).get(id);
  const append = (id, messages) => session(id).addItems(messages.map(native));
  return {
    append,
    fill: append,
    recent: (id, limit) => session(id).getItems(limit),
    whole: (id) => session(id).getItems(),
    text: (item) => item.content[0].text,
    close: async () => sessions.clear(),
  };
}
