// The document, Environment-based configuration (lines 241–258).
import { createMemoryProviderFromEnv, type MemoryConfig } from 'jaf/memory';
const provider = await createMemoryProviderFromEnv();
const memoryConfig: MemoryConfig = {
  provider,
  autoStore: true, // store conversations automatically
  maxMessages: 1000, // limit messages per conversation
  ttl: 86400, // seconds since the last write
};
