// The document, Memory configuration optimisation (lines 483–494).
import { createMemoryProviderFromEnv, type MemoryConfig } from 'jaf/memory';
const memoryConfig: MemoryConfig = {
  provider: await createMemoryProviderFromEnv(),
  autoStore: true,
  maxMessages: 1000, // limit conversation length
  ttl: 2592000, // 30 days retention
  compressionThreshold: 100, // compress what is older than the newest 100 messages
};
