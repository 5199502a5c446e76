/**
 * The thin interface between the driver and a Redis client, and what is the same for every client: scripts by their SHA-1
 * with recovery, several calls in one round trip, deadlines.
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import { classify, isUnknownScript, TripTimeoutError } from './failures.js';
import type { Script } from './scripts.js';

/** One argument of a command. */
export type Argument = string | Uint8Array;

/** One command; its answer comes as Buffers instead of text where `buffers` is set. */
export interface Command {
  readonly args: readonly Argument[];
  readonly buffers?: boolean | undefined;
}

/** What a client must be able to do. One file for each library. */
export interface Connection {
  /** Whether data spreads over the nodes of a cluster. */
  readonly spread: boolean;
  /**
   * Resolves when commands can be sent.
   *
   * @throws NotConnectedError; nothing was sent
   */
  ready(trip: Trip): Promise<void> | undefined;
  /**
   * Sends commands at once, in order, on one connection: to the node of a key's slot, or to any node. An answer that is an
   * error rejects. Called only when ready.
   */
  send(key: string | undefined, commands: readonly Command[]): readonly Promise<unknown>[];
  /** Nothing came back since a command that was not answered in time: a connection of our own is replaced. */
  suspect(): void;
  /** Open connections, where that is known. */
  metrics(): { readonly activeConnections?: number };
  /** Lets go; a client that was passed in stays open. */
  close(): Promise<void>;
}

/** A call of a script; all keys are of one slot. */
export interface ScriptCall {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly Argument[];
  readonly buffers?: boolean | undefined;
}

/** What the driver sends its scripts and commands through. */
export class Redis {
  readonly #connection: Connection;
  #lastAnswer = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get spread(): boolean {
    return this.#connection.spread;
  }

  metrics(): { readonly activeConnections?: number } {
    return this.#connection.metrics();
  }

  /** One script, one round trip (two when the server has forgotten the script). */
  async eval(call: ScriptCall, trip: Trip): Promise<unknown> {
    const ready = this.#connection.ready(trip);
    if (ready) await ready;
    return await this.#within(this.#evalNow(call), trip);
  }

  /**
   * Several scripts in one round trip.
   *
   * @throws the worst failure when one fails: rather one that may have been applied than one that was not
   */
  async evalAll(calls: readonly ScriptCall[], trip: Trip): Promise<readonly unknown[]> {
    const [only] = calls;
    if (only && calls.length === 1) return [await this.eval(only, trip)];
    const ready = this.#connection.ready(trip);
    if (ready) await ready;
    return await this.#within(all(calls.map((call) => this.#evalNow(call))), trip);
  }

  /** One command. `key`: of the slot it goes to; absent = any node. */
  async command(args: readonly Argument[], trip: Trip, key?: string): Promise<unknown> {
    const [answer] = await this.commands([{ args, key }], trip);
    return answer;
  }

  /** Several commands in one round trip; see {@link evalAll}. */
  async commands(commands: readonly (Command & { readonly key?: string | undefined })[], trip: Trip): Promise<readonly unknown[]> {
    const ready = this.#connection.ready(trip);
    if (ready) await ready;
    return await this.#within(all(commands.flatMap((command) => this.#connection.send(command.key, [command]))), trip);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  #evalNow(call: ScriptCall): Promise<unknown> {
    const { script, keys, args, buffers } = call;
    const command = (name: string, text: string): Command => ({ args: [name, text, String(keys.length), ...keys, ...args], buffers });
    const send = (one: Command): Promise<unknown> =>
      this.#connection.send(keys[0], [one])[0] ?? Promise.reject(new Error('nothing was sent'));
    // a server that has not seen a script has not begun it: sending it again, in full, applies it once
    return send(command('EVALSHA', script.sha)).catch((error: unknown) => {
      if (!isUnknownScript(error)) throw error;
      return send(command('EVAL', script.text));
    });
  }

  #within<T>(work: Promise<T>, trip: Trip): Promise<T> {
    const began = performance.now();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new TripTimeoutError());
        if (this.#lastAnswer < began) this.#connection.suspect();
      }, trip.timeout);
      work
        .then((value) => {
          this.#lastAnswer = performance.now();
          return value;
        })
        .finally(() => clearTimeout(timer))
        .then(resolve, reject);
    });
  }
}

/** All results, or the worst failure, after every one has ended. */
async function all(work: readonly Promise<unknown>[]): Promise<readonly unknown[]> {
  const settled = await Promise.allSettled(work);
  const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  if (failures.length > 0) throw failures.find((error) => /lost|timeout|unreplicated/.test(classify(error).kind)) ?? failures[0];
  return settled.map((one) => (one.status === 'fulfilled' ? one.value : undefined));
}
