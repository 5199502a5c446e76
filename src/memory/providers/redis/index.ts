/**
 * The Redis provider.
 *
 * @module
 */
import { DEADLINE } from '../../core.js';
import { checkRedisConfig, providerOptionsOf } from '../../config.js';
import type { StoreTarget } from '../../driver.js';
import { MemoryConfigError, MemoryError } from '../../errors.js';
import { createProvider } from '../../provider.js';
import { errorOf } from '../../retry.js';
import type { StoreLook } from '../../probe.js';
import { startSweeping, SWEEP_SECONDS } from '../../sweep.js';
import type { IoRedisLike, MemoryProvider, NodeRedisLike, RedisConfig } from '../../types.js';
import { Redis } from './client.js';
import { connectionFor } from './connect.js';
import { createRedisDriver } from './driver.js';
import { classify } from './failures.js';
import { healthOf } from './health.js';
import { KEY_PREFIX, Keys } from './keys.js';

/**
 * Opens a store; `createRedisProvider` of ../../factory.ts is this one, loaded when it is called.
 *
 * @param config - see {@link RedisConfig}
 * @param client - a connected client, pool, sentinel or cluster of the `redis` package, or client or cluster of `ioredis`
 */
export async function createRedisProvider(config: RedisConfig, client?: NodeRedisLike | IoRedisLike): Promise<MemoryProvider> {
  const checked = checkRedisConfig(config);
  const { keyPrefix, deadline = DEADLINE, waitReplicas } = checked;
  const target = client ? undefined : targetOf(checked);
  const driver = createRedisDriver({ keyPrefix, deadline, waitReplicas, target }, () => connectionFor(checked, client, deadline));
  await driver.open().catch((error: unknown) => {
    throw openError(error, 'createRedisProvider');
  });
  const provider = createProvider(driver, { ...providerOptionsOf(checked), deadline });
  startSweeping(provider, SWEEP_SECONDS);
  return provider;
}

/** Where a configuration leads; of sentinels' servers and of a cluster's none is named. */
function targetOf({ db = 0, host = 'localhost', port = 6379, sentinels, clusterNodes }: RedisConfig): StoreTarget {
  return { namespace: String(db), ...(sentinels || clusterNodes ? {} : { address: host, port }) };
}

/**
 * Looks at the place of a Redis store: connects, asks the server about itself, and leaves. Stores nothing.
 *
 * @param config - see {@link RedisConfig}
 * @throws MemoryConfigError: a bad setting, or no `redis` package (`missing_peer`)
 */
export async function lookAtRedis(config: RedisConfig): Promise<StoreLook> {
  const checked = checkRedisConfig(config);
  const { keyPrefix = KEY_PREFIX, deadline = DEADLINE } = checked;
  const trip = { timeout: deadline };
  try {
    const redis = new Redis(await connectionFor(checked, undefined, deadline));
    try {
      const { message, warnings = [] } = await healthOf(redis, trip);
      const { settings } = new Keys(keyPrefix);
      const there = Number(await redis.command(['HLEN', settings], trip, settings)) > 0;
      const text = there
        ? `${message}: there is a conversation store under the prefix ${JSON.stringify(keyPrefix)}.`
        : `${message}: the server answers; the store under the prefix ${JSON.stringify(keyPrefix)} will be created by the first use.`;
      return { state: there ? 'store' : 'absent', text: [text, ...warnings].join(' Warning: ') };
    } finally {
      await redis.close();
    }
  } catch (error) {
    if (error instanceof MemoryConfigError) {
      if (error.code === 'missing_peer') throw error;
      return { state: 'unusable', text: error.message };
    }
    const { kind, reason } = classify(error);
    if (kind === 'config') return { state: 'unusable', text: `Redis: ${reason}.` };
    return { state: 'unreachable', text: `Redis: ${reason}. Check host, port and network.` };
  }
}

function openError(error: unknown, operation: string): MemoryError {
  return error instanceof MemoryError ? error : errorOf({ provider: 'redis', operation }, classify(error), false);
}
