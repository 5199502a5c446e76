/**
 * Barring an erased user, the same in both layouts: the bar is committed, then every write that began before is waited for.
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import type { Connections } from './client.js';
import { quoteText, type StoreNames, tableOf } from './names.js';
import type { Statements } from './statements.js';

/**
 * Bars a user until a time. On a connection that is lent it holds from the caller's commit, and there is nothing to wait for
 * inside of their transaction.
 *
 * @param ownerHash - the store's hash of the user
 * @param until - milliseconds
 */
export async function sendBar(
  connections: Connections,
  statements: Statements,
  names: StoreNames,
  ownerHash: string,
  until: number,
  trip: Trip,
): Promise<void> {
  if (connections.borrowed) {
    await connections.run(statements.get('barBorrowed'), [ownerHash, until], trip);
    return;
  }
  const literals: Readonly<Record<string, string>> = {
    hash: quoteText(ownerHash),
    until: String(Math.trunc(until)),
    table: quoteText(tableOf(names)),
    wait: String(Math.max(1, Math.trunc(trip.timeout * 0.9))),
  };
  const { text } = statements.get('bar');
  await connections.script(
    text.replaceAll(/\{(hash|until|table|wait)\}/g, (_, name: string) => literals[name] ?? ''),
    trip,
  );
}
