/**
 * Looks for rows of conversations that are not there.
 *
 * @module
 */
import type { Inspect, Inspection } from '../../driver.js';
import type { Statements } from './statements.js';

/** Tables whose rows belong to a conversation, and the statement that finds the next conversation in each. */
const WALKS = ['messagesFrom', 'segmentsFrom', 'operationsFrom'] as const;
/** Behind every position a body can have. */
const BEYOND = 4_294_967_295;

/**
 * One page of a walk over the conversations that rows of bodies, segments and operation ids belong to.
 *
 * @param sql - statements, inside a transaction
 * @param inspect - see {@link Inspect}
 */
export function inspectPage(sql: Statements, { after = '0 0', limit, fix }: Inspect): Inspection {
  let [walk = 0, from = 0] = after.split(' ').map(Number);
  let looked = 0;
  let orphans = 0;
  for (let name = WALKS[walk]; name !== undefined; name = WALKS[walk]) {
    const key = sql.value<number | null>(name, from) ?? null;
    if (key === null) {
      walk++;
      from = 0;
      continue;
    }
    if (looked === limit) return { looked, orphans, after: `${walk} ${from}` };
    looked++;
    from = key + 1;
    if (sql.value<number>('isKnown', key) === 1) continue;
    orphans++;
    if (!fix) continue;
    // at once: with a leftover the conversation will be known when the walk comes to its operations
    sql.run('dropAllOperations', key);
    if (name !== 'operationsFrom') sql.run('leave', key, BEYOND);
  }
  return { looked, orphans };
}
