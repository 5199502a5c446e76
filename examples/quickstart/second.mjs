// Process 2: opens the same file, goes on with the conversation, and answers from what is stored.
import { run } from 'jaf';
import { createSqliteProvider, user } from 'jaf/memory';
import { conversationId, createAgent, createModel, outline } from './agent.mjs';

const question = 'What is my confirmation code?';
const agent = createAgent();
const provider = await createSqliteProvider({ path: process.argv[2] });
try {
  const before = (await provider.getConversation(conversationId))?.messages ?? [];
  console.log(`  messages before the kill: ${before.length}`);
  for (const message of before) console.log(`    ${outline(message)}`);

  const repairs = [];
  const { outcome } = await run(
    { messages: [user(question)], currentAgentName: agent.name, context: { userId: 'user-123' } },
    {
      agentRegistry: { [agent.name]: agent },
      modelProvider: createModel(),
      memory: { provider },
      conversationId,
      onEvent: (event) => {
        if (event.type === 'repaired') repairs.push(event.kind);
      },
    },
  );
  if (outcome.status === 'error') throw outcome.error;
  console.log(`  repairs: ${repairs.join(', ') || 'none'}`);

  const after = (await provider.getConversation(conversationId))?.messages ?? [];
  console.log(`  messages after: ${after.length}`);
  for (const message of after.slice(before.length)) console.log(`    ${outline(message)}`);

  const stats = await provider.getStats('user-123');
  console.log(`  statistics: ${stats.userConversations} conversation, ${stats.userMessages} messages, ${stats.totalStorageSize} bytes`);
  process.send({ answer: outcome.output, rolesBefore: before.map((message) => message.role) });
} finally {
  await provider.close();
  process.disconnect();
}
