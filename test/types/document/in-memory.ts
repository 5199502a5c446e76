// The document, In-memory (lines 81–110).
import { createInMemoryProvider, type InMemoryConfig } from 'jaf/memory';
const config: InMemoryConfig = {
  maxConversations: 1000, // least recently written leaves first
  maxMessages: 1000, // oldest messages leave first
};
await using provider = createInMemoryProvider(config);
