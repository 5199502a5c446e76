/**
 * The SQLite provider: one file, several processes, no server.
 *
 * @module
 */
import { checkSqliteConfig } from '../../config.js';
import { createProvider } from '../../provider.js';
import { startSweeping, SWEEP_SECONDS } from '../../sweep.js';
import type { MemoryProvider, SqliteConfig } from '../../types.js';

/** Default of `path`. */
const PATH = './jaf-memory.db';

/**
 * Opens (and creates, where there is none) a conversation store in a SQLite file. Several processes of one machine may
 * share it. Runs on `node:sqlite`; on Node 20 it needs the package `@photostructure/sqlite`.
 *
 * Unless `sweep` is false, what has expired is removed every `sweep.every` seconds (default 60) in the background, and
 * what deletes and trims left behind with it; the timer does not keep the process alive. Events: `expired` (with
 * `conversations`) and `swept` (with `milliseconds`) when something was removed, `sweep_failed` (with the `code` of the error).
 *
 * @param config - see {@link SqliteConfig}; default: `./jaf-memory.db`, durability `normal`
 * @throws MemoryConfigError naming the setting: a bad value, a path that cannot be used, a schema from a newer version
 * (`schema_newer`), no SQLite in this Node (`missing_peer`); MemoryConnectionError (`timeout`) when other processes hold
 * the file for 5 seconds
 * @example
 * await using provider = await createSqliteProvider({ path: './chat.db' });
 * unwrap(await provider.appendMessages('chat-1', [user('Hello')], {}, { createIfMissing: true }));
 */
export async function createSqliteProvider(config: SqliteConfig = {}): Promise<MemoryProvider> {
  const { path = PATH, durability, sweep, ...options } = checkSqliteConfig(config);
  // a program that keeps its conversations elsewhere does not load SQLite's part
  const { createSqliteDriver } = await import('./driver.js');
  const driver = createSqliteDriver({ path, durability, clock: options.clock });
  await driver.open();
  const provider = createProvider(driver, options);
  if (sweep !== false) startSweeping(provider, sweep?.every ?? SWEEP_SECONDS);
  return provider;
}
