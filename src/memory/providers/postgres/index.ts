/**
 * The PostgreSQL provider.
 *
 * @module
 */
import { checkPostgresConfig, providerOptionsOf } from '../../config.js';
import { MemoryError } from '../../errors.js';
import { createProvider } from '../../provider.js';
import { errorOf } from '../../retry.js';
import type { MemoryProvider, PgLike, PostgresConfig } from '../../types.js';
import { createPostgresDriver } from './driver.js';
import { startSweeping, SWEEP_SECONDS } from '../../sweep.js';

/**
 * Opens a store; `createPostgresProvider` of ../../factory.ts is this one, loaded when it is called.
 *
 * Unless `sweep` is false, what has expired is removed every `sweep.every` seconds (default 60) in the background, and
 * what deletes and trims left behind with it; the timer does not keep the process alive.
 *
 * @param config - see {@link PostgresConfig}
 * @param client - a `Pool`, `Client` or `PoolClient` of the `pg` package
 */
export async function createPostgresProvider(config: PostgresConfig, client?: PgLike): Promise<MemoryProvider> {
  const checked = checkPostgresConfig(config);
  const driver = createPostgresDriver(checked, client);
  try {
    await driver.open();
  } catch (error) {
    if (error instanceof MemoryError) throw error;
    throw errorOf({ provider: 'postgres', operation: 'createPostgresProvider' }, driver.classify(error), false);
  }
  const provider = createProvider(driver, providerOptionsOf(checked));
  if (checked.sweep !== false && !driver.capabilities.borrowed) startSweeping(provider, checked.sweep?.every ?? SWEEP_SECONDS);
  return provider;
}
