/**
 * The Redis provider.
 *
 * @module
 */
import { checkRedisConfig } from '../../config.js';
import { MemoryConfigError, MemoryError } from '../../errors.js';
import { createProvider } from '../../provider.js';
import { errorOf } from '../../retry.js';
import { startSweeping, SWEEP_SECONDS } from '../../sweep.js';
import type { IoRedisLike, MemoryProvider, NodeRedisLike, RedisConfig } from '../../types.js';
import type { Connection } from './client.js';
import { createRedisDriver } from './driver.js';
import { clientOptions, loadNodeRedis, OwnConnection, SharedConnection } from './node-redis.js';

/** Default of the deadline in ms; the layer has the same. */
const DEADLINE = 5000;

/**
 * Opens a store; `createRedisProvider` of ../../factory.ts is this one, loaded when it is called.
 *
 * @param config - see {@link RedisConfig}
 * @param client - a connected client of the `redis` package
 */
export async function createRedisProvider(config: RedisConfig, client?: NodeRedisLike | IoRedisLike): Promise<MemoryProvider> {
  const checked = checkRedisConfig(config);
  const { keyPrefix, deadline = DEADLINE } = checked;
  const driver = createRedisDriver({ keyPrefix, deadline }, () => connectionFor(checked, client, deadline));
  try {
    await driver.open();
  } catch (error) {
    if (error instanceof MemoryError) throw error;
    throw errorOf({ provider: 'redis', operation: 'createRedisProvider' }, driver.classify(error), false);
  }
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

function unsupported(setting: string, what: string): MemoryConfigError {
  return new MemoryConfigError(`createRedisProvider "${setting}": ${what} is not in this version of jaf.`, { provider: 'redis', setting });
}

async function connectionFor(config: RedisConfig, client: NodeRedisLike | IoRedisLike | undefined, deadline: number): Promise<Connection> {
  if (config.waitReplicas) throw unsupported('waitReplicas', 'waiting for replicas');
  if (client) {
    if (!('isReady' in client)) throw unsupported('client', 'any client but one of createClient() of the "redis" package');
    return new SharedConnection(client as NodeRedisLike);
  }
  if (config.sentinels) throw unsupported('sentinels', 'a connection through sentinels');
  if (config.clusterNodes) throw unsupported('clusterNodes', 'a connection to a cluster');
  const { createClient } = await loadNodeRedis();
  return new OwnConnection(() => createClient(clientOptions(config, deadline)));
}
