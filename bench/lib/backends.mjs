// What is compared on each backend: jaf's provider, and the bare client doing the least. All of them have the same few methods,
// so that a benchmark is written once.
import { openMemory } from './backends/memory.mjs';
import { openPostgres } from './backends/postgres.mjs';
import { openRedis } from './backends/redis.mjs';
import { openSqlite } from './backends/sqlite.mjs';

/**
 * A store under test. Messages are objects; `append` resolves when the store has acknowledged them.
 *
 * @typedef {import('./turns.mjs').Message} Message
 * @typedef {{
 *   fill: (id: string, messages: readonly Message[], header?: { userId?: string }) => Promise<void>,
 *   append: (id: string, turn: readonly Message[]) => Promise<unknown>,
 *   recent: (id: string, limit: number) => Promise<readonly Message[]>,
 *   whole: (id: string) => Promise<readonly Message[]>,
 *   count: (id: string) => Promise<number>,
 *   close: () => Promise<void>,
 * }} Store - `fill` adds up to 1,000 messages to a conversation, and makes it when there is none
 */

/**
 * A backend, with a place of its own on its server that `close` removes. `bare` and `jaf`: how stores are opened, by the name they are reported under; a
 * name opened twice is another store. `settle` comes when all is filled.
 *
 * @typedef {{
 *   provider: string,
 *   versions: Record<string, string>,
 *   jaf: Record<string, (options?: object) => Promise<Store & { provider: import('jaf/memory').MemoryProvider }>>,
 *   bare: Record<string, () => Promise<Store>>,
 *   settle: () => Promise<void>,
 *   close: () => Promise<void>,
 * }} Backend
 */

const OPEN = { memory: openMemory, sqlite: openSqlite, redis: openRedis, postgres: openPostgres };

/** Names of the backends. */
export const PROVIDERS = Object.keys(OPEN);

/** Which servers a backend needs. */
export const serversOf = (provider) => (provider === 'redis' || provider === 'postgres' ? [provider] : []);

/**
 * Does something with a backend and removes what it stored.
 *
 * @template T
 * @param {string} provider
 * @param {(backend: any) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withBackend(provider, work) {
  const backend = await OPEN[provider]();
  try {
    return await work(backend);
  } finally {
    await backend.close();
  }
}
