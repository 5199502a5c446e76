/**
 * Looks at a database without changing it.
 *
 * @module
 */
import { checkPostgresConfig } from '../../config.js';
import { DEADLINE } from '../../core.js';
import { MemoryConfigError } from '../../errors.js';
import type { StoreLook } from '../../probe.js';
import type { PostgresConfig } from '../../types.js';
import { findStore } from './document-open.js';
import { connect } from './driver.js';
import { classify } from './failures.js';
import { storeNames, tableOf } from './names.js';

/**
 * Looks at the place of a PostgreSQL store: connects, reads the catalog, and leaves.
 *
 * @param config - with `connectionString` or its parts
 * @throws MemoryConfigError: a bad setting, or no `pg` package (`missing_peer`)
 */
export async function lookAtDatabase(config: PostgresConfig): Promise<StoreLook> {
  const checked = checkPostgresConfig(config);
  const names = storeNames(checked.tableName, checked.schema);
  const table = tableOf(names);
  const connections = await connect({ ...checked, poolMinSize: 0, poolMaxSize: 1 });
  const trip = { timeout: checked.deadline ?? DEADLINE };
  try {
    await connections.warmUp(trip);
    const found = await connections.session((query) => findStore(query, names, checked.layout), trip);
    if (found === 'rows') return { state: 'store', text: `PostgreSQL: table ${table} is a conversation store (layout rows).` };
    if (found) return { state: 'store', text: `PostgreSQL: table ${table} holds conversations as documents (layout document).` };
    return {
      state: 'absent',
      text: `PostgreSQL: the server answers; table ${table} does not exist yet and will be created by the first use.`,
    };
  } catch (error) {
    if (error instanceof MemoryConfigError) return { state: 'unusable', text: error.message };
    const { kind, reason } = classify(error);
    if (kind === 'config') return { state: 'unusable', text: `PostgreSQL: ${reason}.` };
    return { state: 'unreachable', text: `PostgreSQL: ${reason}. Check host, port and network.` };
  } finally {
    await connections.close();
  }
}
