/**
 * A store to replay into, whose driver counts what is written, and whether `run()` wrote it.
 *
 * @module
 */
import { checkPostgresConfig, checkRedisConfig } from '../../memory/config.js';
import { DEADLINE } from '../../memory/core.js';
import type { StorageDriver, Write, WriteOutcome } from '../../memory/driver.js';
import { createProvider } from '../../memory/provider.js';
import { InMemoryDriver } from '../../memory/providers/in-memory/driver.js';
import { aroundTrips, type Operation } from '../../memory/testing/around.js';
import type { MemoryProvider, MemoryProviderConfig } from '../../memory/types.js';

/** What reached the driver. */
export interface Tally {
  /** Set while `run()` is at work. */
  running: boolean;
  /** Writes that were applied during `run()`, and the messages in them. */
  writes: number;
  messages: number;
  /** Writes, removals and purges at any other time. */
  others: number;
}

/** A store and its tally. */
export interface ReplayStore {
  readonly name: string;
  readonly provider: MemoryProvider;
  readonly tally: Tally;
}

const WRITING: ReadonlySet<Operation> = new Set(['write', 'pack', 'remove', 'purge', 'bar']);

async function driverOf(config: MemoryProviderConfig, conversations: number): Promise<StorageDriver> {
  switch (config.type) {
    case 'memory':
      return new InMemoryDriver(config.maxConversations ?? conversations);
    case 'sqlite': {
      const { createSqliteDriver } = await import('../../memory/providers/sqlite/driver.js');
      return createSqliteDriver({ path: config.path ?? './jaf-memory.db', durability: config.durability });
    }
    case 'postgres': {
      const { createPostgresDriver } = await import('../../memory/providers/postgres/driver.js');
      const { type: _type, ...own } = config;
      return createPostgresDriver(checkPostgresConfig(own));
    }
    case 'redis': {
      const { createRedisDriver } = await import('../../memory/providers/redis/driver.js');
      const { connectionFor } = await import('../../memory/providers/redis/connect.js');
      const { type: _type, ...own } = config;
      const checked = checkRedisConfig(own);
      return createRedisDriver(checked, () => connectionFor(checked, undefined, checked.deadline ?? DEADLINE));
    }
  }
}

/**
 * Opens a store. Nothing runs in its background, so that every write has a cause that can be counted.
 *
 * @param config - which one
 * @param conversations - how many it must be able to hold
 */
export async function openReplayStore(config: MemoryProviderConfig, conversations: number): Promise<ReplayStore> {
  const driver = await driverOf(config, conversations);
  await driver.open();
  const tally: Tally = { running: false, writes: 0, messages: 0, others: 0 };
  const counted = aroundTrips(driver, async (operation, args, send) => {
    if (!WRITING.has(operation)) return await send();
    const byRun = tally.running && operation === 'write';
    if (!byRun) tally.others++;
    const answer = await send();
    if (byRun) {
      const [batch] = args as [readonly Write[]];
      (answer as readonly WriteOutcome[]).forEach((outcome, index) => {
        if (outcome.kind !== 'ok') return;
        tally.writes++;
        tally.messages += batch[index]?.bodies.length ?? 0;
      });
    }
    return answer;
  });
  const { maxMessages } = config;
  return { name: config.type, provider: createProvider(counted, maxMessages === undefined ? {} : { maxMessages }), tally };
}
