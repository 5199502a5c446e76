/**
 * The Redis provider.
 *
 * @module
 */
import { checkRedisConfig } from '../../config.js';
import { MemoryError } from '../../errors.js';
import { createProvider } from '../../provider.js';
import { errorOf } from '../../retry.js';
import { startSweeping, SWEEP_SECONDS } from '../../sweep.js';
import type { IoRedisLike, MemoryProvider, NodeRedisLike, RedisConfig } from '../../types.js';
import { Redis } from './client.js';
import { connectionFor } from './connect.js';
import { createRedisDriver } from './driver.js';
import { classify } from './failures.js';
import { healthOf } from './health.js';

/** Default of the deadline in ms; the layer has the same. */
const DEADLINE = 5000;

/**
 * Opens a store; `createRedisProvider` of ../../factory.ts is this one, loaded when it is called.
 *
 * @param config - see {@link RedisConfig}
 * @param client - a connected client, pool, sentinel or cluster of the `redis` package, or client or cluster of `ioredis`
 */
export async function createRedisProvider(config: RedisConfig, client?: NodeRedisLike | IoRedisLike): Promise<MemoryProvider> {
  const checked = checkRedisConfig(config);
  const { keyPrefix, deadline = DEADLINE, waitReplicas } = checked;
  const driver = createRedisDriver({ keyPrefix, deadline, waitReplicas }, () => connectionFor(checked, client, deadline));
  await driver.open().catch((error: unknown) => {
    throw openError(error, 'createRedisProvider');
  });
  const { onEvent, clock, ttl, maxMessages, compressionThreshold, maxInFlight } = checked;
  const options = Object.fromEntries(
    Object.entries({ onEvent, clock, deadline, ttl, maxMessages, compressionThreshold, maxInFlight }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  const provider = createProvider(driver, options);
  startSweeping(provider, SWEEP_SECONDS);
  return provider;
}

/**
 * Looks at a server: connects and asks it about itself. Stores nothing.
 *
 * @param config - see {@link RedisConfig}
 * @returns what it is, with warnings
 * @throws MemoryError
 */
export async function lookAtRedis(config: RedisConfig): Promise<string> {
  const checked = checkRedisConfig(config);
  const { deadline = DEADLINE } = checked;
  try {
    const redis = new Redis(await connectionFor(checked, undefined, deadline));
    try {
      const { message, warnings = [] } = await healthOf(redis, { timeout: deadline });
      return [message, ...warnings].join(' Warning: ');
    } finally {
      await redis.close();
    }
  } catch (error) {
    throw openError(error, 'lookAtRedis');
  }
}

function openError(error: unknown, operation: string): MemoryError {
  return error instanceof MemoryError ? error : errorOf({ provider: 'redis', operation }, classify(error), false);
}
