/**
 * The in-memory provider.
 *
 * @module
 */
import { checkInMemoryConfig } from '../../config.js';
import { createProvider } from '../../provider.js';
import type { InMemoryConfig, MemoryProvider } from '../../types.js';
import { InMemoryDriver } from './driver.js';

/** Conversations and messages per conversation kept unless configured. */
const MAX_CONVERSATIONS = 1000;
const MAX_MESSAGES = 1000;

/**
 * Keeps conversations in this process: for development and tests. Beyond `maxConversations` (default 1000) the least
 * recently written one leaves, beyond `maxMessages` (default 1000) the oldest messages; both are reported through `onEvent`.
 *
 * @param config - see {@link InMemoryConfig}
 * @throws MemoryConfigError naming the setting that is wrong
 * @example
 * await using provider = createInMemoryProvider({ maxConversations: 100 });
 */
export function createInMemoryProvider(config: InMemoryConfig = {}): MemoryProvider {
  const { maxConversations = MAX_CONVERSATIONS, ...options } = checkInMemoryConfig(config);
  return createProvider(new InMemoryDriver(maxConversations, options.clock), { maxMessages: MAX_MESSAGES, ...options });
}
