// Process 1: books a flight, and is killed as soon as the tool's result is stored.
import { run } from 'jaf';
import { createSqliteProvider, user } from 'jaf/memory';
import { conversationId, createAgent, createModel } from './agent.mjs';

// without its parent it would wait for ever
process.once('disconnect', () => process.exit(1));

const provider = await createSqliteProvider({ path: process.argv[2] });
const model = createModel();
const agent = createAgent((code) => process.send({ type: 'booked', code }));

const { outcome } = await run(
  { messages: [user('Please book a flight to Lisbon.')], currentAgentName: agent.name, context: { userId: 'user-123' } },
  {
    agentRegistry: { [agent.name]: agent },
    modelProvider: {
      // a model takes seconds to answer, the offline one does not: here its reply to the tool's result is always under way
      // when the parent kills this process
      getCompletion: (request) => (request.messages.at(-1)?.role === 'tool' ? new Promise(() => {}) : model.getCompletion(request)),
    },
    memory: { provider },
    conversationId,
    onEvent: (event) => {
      if (event.type === 'message_stored') process.send({ type: event.type, role: event.role });
    },
  },
);

// only without a tool call does it come to this
const why = outcome.status === 'error' ? outcome.error.message : 'the model answered without booking';
process.send({ type: 'failed', why }, () => process.exit(1));
