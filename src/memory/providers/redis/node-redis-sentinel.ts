/**
 * A connection of our own to the primary that sentinels name.
 *
 * Sentinels close the connections of a primary they replace, so asking again whenever there is no connection is enough
 * (https://redis.io/docs/latest/develop/reference/sentinel-clients/).
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import type { Command, Connection } from './client.js';
import { answerOf, NotConnectedError } from './failures.js';
import { type Address, type MakeClient, OwnConnection, within } from './node-redis.js';
import { listOf, textOf } from './replies.js';

/** What a connection through sentinels needs. */
export interface SentinelOptions {
  readonly sentinels: readonly Address[];
  /** Of the primary, as the sentinels know it. */
  readonly service: string;
  /** Makes a client for a Redis server. */
  readonly make: MakeClient;
  /** Makes a client for a sentinel: without the server's user and database. */
  readonly makeSentinel: MakeClient;
  /** Whether writes wait for replicas. */
  readonly waits: boolean;
}

/** The connection to the primary. */
export class SentinelConnection implements Connection {
  readonly spread = false;
  readonly sequential = true;
  readonly marks = false;
  readonly #options: SentinelOptions;
  #primary: OwnConnection | undefined;
  #finding: Promise<void> | undefined;
  #closed = false;

  constructor(options: SentinelOptions) {
    this.#options = options;
  }

  ready(trip: Trip): Promise<void> | undefined {
    if (this.#primary?.isReady) return undefined;
    this.#finding ??= this.#find(trip).finally(() => {
      this.#finding = undefined;
    });
    return this.#finding;
  }

  async #find(trip: Trip): Promise<void> {
    if (this.#closed) throw new NotConnectedError(new Error('the client is closed'));
    await this.#primary?.close();
    this.#primary = undefined;
    const until = performance.now() + trip.timeout;
    const left = (): Trip => ({ timeout: Math.max(1, until - performance.now()) });
    const address = await this.#ask(left());
    const { make, waits } = this.#options;
    const primary = new OwnConnection(() => make(address), waits);
    this.#primary = primary;
    try {
      await primary.ready(left());
      const [role] = await within(primary.send(undefined, [{ args: ['role'] }]), left());
      // sentinels name the old primary until a new one is elected, also when it has come back as a replica
      if (textOf(listOf(role)[0]) !== 'master') throw new NotConnectedError(new Error('the server is a replica'));
    } catch (error) {
      await primary.close();
      throw error instanceof NotConnectedError || answerOf(error) ? error : new NotConnectedError(error);
    }
    if (this.#closed) await primary.close();
  }

  /** The first sentinel that answers decides. */
  async #ask(trip: Trip): Promise<Address> {
    const { sentinels, service, makeSentinel } = this.#options;
    const connections = sentinels.map((address) => new OwnConnection(() => makeSentinel(address)));
    try {
      return await within(
        Promise.any(
          connections.map(async (connection) => {
            await connection.ready(trip);
            const [answer] = await connection.send(undefined, [{ args: ['sentinel', 'get-master-addr-by-name', service] }]);
            if (answer === null) throw new Error('the sentinels know no such service');
            const [host, port] = listOf(answer).map(textOf);
            return { host: host ?? '', port: Number(port) };
          }),
        ),
        trip,
      );
    } catch (error) {
      throw new NotConnectedError(error instanceof AggregateError ? error.errors[0] : error);
    } finally {
      for (const connection of connections) await connection.close();
    }
  }

  async send(key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
    const primary = this.#primary;
    if (!primary) throw new NotConnectedError(new Error('the client is closed'));
    try {
      return await primary.send(key, commands);
    } catch (error) {
      // it is a replica now: the next call asks for the primary
      if (/^(READONLY|MASTERDOWN|UNBLOCKED) /.test(answerOf(error) ?? '')) primary.drop();
      throw error;
    }
  }

  suspect(keys: readonly (string | undefined)[], since: number): void {
    if (!this.#finding) this.#primary?.suspect(keys, since);
  }

  metrics(): { readonly activeConnections: number } {
    return this.#primary?.metrics() ?? { activeConnections: 0 };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#primary?.close();
  }
}
