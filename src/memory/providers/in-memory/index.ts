/**
 * The in-memory provider.
 *
 * @module
 */
import { checkInMemoryConfig } from '../../config.js';
import type { Write, WriteOutcome } from '../../driver.js';
import { createProvider } from '../../provider.js';
import { sweeper, SWEEP_SECONDS } from '../../sweep.js';
import type { InMemoryConfig, MemoryProvider } from '../../types.js';
import { InMemoryDriver } from './driver.js';

/** Conversations and messages per conversation kept unless configured. */
const MAX_CONVERSATIONS = 1000;
const MAX_MESSAGES = 1000;

/** Tells when something that can expire was written; what a sweep is for, the driver itself does not know. */
class SweptDriver extends InMemoryDriver {
  startSweep: () => void = () => undefined;

  override writeNow(write: Write): WriteOutcome {
    const outcome = super.writeNow(write);
    if (this.mayExpire) this.startSweep();
    return outcome;
  }
}

/**
 * Keeps conversations in this process: for development and tests. Beyond `maxConversations` (default 1000) the least
 * recently written one leaves, beyond `maxMessages` (default 1000) the oldest messages; both are reported through `onEvent`.
 * While a conversation can expire, what has expired is removed every 60 seconds in the background; the timer does not keep the
 * process alive.
 *
 * @param config - see {@link InMemoryConfig}
 * @throws MemoryConfigError naming the setting that is wrong
 * @example
 * await using provider = createInMemoryProvider({ maxConversations: 100 });
 */
export function createInMemoryProvider(config: InMemoryConfig = {}): MemoryProvider {
  const { maxConversations = MAX_CONVERSATIONS, ...options } = checkInMemoryConfig(config);
  const driver = new SweptDriver(maxConversations, options.clock);
  const provider = createProvider(driver, { maxMessages: MAX_MESSAGES, ...options });
  driver.startSweep = sweeper(provider, SWEEP_SECONDS, () => driver.mayExpire);
  return provider;
}
