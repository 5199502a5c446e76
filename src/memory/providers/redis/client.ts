/**
 * The thin interface between the driver and a Redis client, and what is the same for every client: scripts by their SHA-1
 * with recovery, several calls in one round trip, deadlines.
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import { mayHaveApplied } from '../../retry.js';
import { classify, isUnknownScript, TripTimeoutError, UnreplicatedError } from './failures.js';
import type { Script } from './scripts.js';
import { Watch } from './watch.js';

/** One argument of a command. */
export type Argument = string | Uint8Array;

/** One command; its answer comes as Buffers instead of text where `buffers` is set. */
export interface Command {
  readonly args: readonly Argument[];
  readonly buffers?: boolean | undefined;
  /** Also among the arguments. */
  readonly mark?: Mark | undefined;
  /** It is a WAIT, and what follows on its connection waits with it. */
  readonly waits?: boolean | undefined;
}

/** What a client must be able to do. One file for each library and topology. */
export interface Connection {
  /** Whether data spreads over the nodes of a cluster. */
  readonly spread: boolean;
  /** Whether `send` keeps the order of several commands and obeys their `buffers`. */
  readonly sequential: boolean;
  /** Whether it may send a command again, or hold it back, without our seeing it: writes carry a mark then. */
  readonly marks: boolean;
  /**
   * Resolves when commands of these keys can be sent (undefined in the list: to any node).
   *
   * @throws NotConnectedError; nothing was sent
   */
  ready(trip: Trip, keys: readonly (string | undefined)[]): Promise<void> | undefined;
  /**
   * Sends commands at once, in order, on one connection: to the node of a key's slot, or to any node. Called only when ready.
   *
   * @returns one answer for each command
   * @throws the first answer that is an error, or the failure of the connection
   */
  send(key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]>;
  /**
   * Commands of these keys were not answered in time: connections of our own that have answered nothing since (a time of
   * performance.now()) are replaced.
   */
  suspect(keys: readonly (string | undefined)[], since: number): void;
  /** Open connections, where that is known. */
  metrics(): { readonly activeConnections?: number };
  /** Lets go; a client that was passed in stays open. */
  close(): Promise<void>;
}

/**
 * One byte among the arguments of a write, which says how the server is to take it. Clients that send a command again by
 * themselves read the argument again: what the byte holds by then is what counts.
 */
export type Mark = Buffer;

const FIRST = 0x30;
const AGAIN = 0x31;
const GIVEN_UP = 0x32;

/** Of a command that is sent once, by a connection that needs no marks. */
export const UNMARKED = '0';

function newMark(): Mark {
  return Buffer.from([FIRST]);
}

/** From now on, should the client send it again, it is a retry. */
export function markAgain({ mark }: Command): void {
  if (mark?.[0] === FIRST) mark[0] = AGAIN;
}

/** From now on, should it still be sent, it does nothing: its caller was told that it failed. */
function giveUp(mark: Mark | undefined): void {
  if (mark) mark[0] = GIVEN_UP;
}

/** A call of a script; all keys are of one slot. */
export interface ScriptCall {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly Argument[];
  readonly buffers?: boolean | undefined;
  /** Also among the arguments. */
  readonly mark?: Mark | undefined;
  /** It changes what must not be lost: acknowledged when enough replicas have it. */
  readonly durable?: boolean | undefined;
}

/** How many replicas must have a write before it is acknowledged, and how long to wait for them (ms). */
export interface WaitReplicas {
  readonly count: number;
  readonly timeout: number;
}

/** What the driver sends its scripts and commands through. */
export class Redis {
  readonly #connection: Connection;
  readonly #wait: WaitReplicas | undefined;
  readonly #watch = new Watch();

  /** @param wait - absent: the primary's word is enough */
  constructor(connection: Connection, wait?: WaitReplicas) {
    this.#connection = connection;
    this.#wait = wait;
  }

  get spread(): boolean {
    return this.#connection.spread;
  }

  /** Whether {@link sequences} can be used. */
  get sequential(): boolean {
    return this.#connection.sequential;
  }

  /** The mark of a write that is sent for the first time; undefined where {@link UNMARKED} serves. */
  newMark(): Mark | undefined {
    return this.#connection.marks ? newMark() : undefined;
  }

  metrics(): { readonly activeConnections?: number } {
    return this.#connection.metrics();
  }

  /** One script, one round trip (two when the server has forgotten the script). */
  async eval(call: ScriptCall, trip: Trip): Promise<unknown> {
    const keys = [call.keys[0]];
    const ready = this.#connection.ready(trip, keys);
    if (ready) await ready;
    return await this.#within(this.#evalNow(call, trip), trip, keys, [call.mark]);
  }

  /**
   * Several scripts in one round trip.
   *
   * @throws the worst failure when one fails: rather one that may have been applied than one that was not
   */
  async evalAll(calls: readonly ScriptCall[], trip: Trip): Promise<readonly unknown[]> {
    return unwrap(await this.evalEach(calls, trip));
  }

  /** As {@link evalAll}, with the outcome of each when all have ended. Rejects only when nothing was sent, or in time not all have. */
  async evalEach(calls: readonly ScriptCall[], trip: Trip): Promise<readonly PromiseSettledResult<unknown>[]> {
    const keys = calls.map((call) => call.keys[0]);
    await this.#connection.ready(trip, keys);
    const marks = calls.map((call) => call.mark);
    return await this.#within(Promise.allSettled(calls.map((call) => this.#evalNow(call, trip))), trip, keys, marks);
  }

  /** One command. `key`: of the slot it goes to; absent = any node. */
  async command(args: readonly Argument[], trip: Trip, key?: string): Promise<unknown> {
    const [answer] = await this.commands([{ args, key }], trip);
    return answer;
  }

  /** Several commands in one round trip; see {@link evalAll}. `durable` as in {@link ScriptCall}. */
  async commands(
    commands: readonly (Command & { readonly key?: string | undefined; readonly durable?: boolean | undefined })[],
    trip: Trip,
  ): Promise<readonly unknown[]> {
    const keys = commands.map((command) => command.key);
    await this.#connection.ready(trip, keys);
    const sent = commands.map((command) => this.#send(command.key, command, command.durable, trip));
    return unwrap(await this.#within(Promise.allSettled(sent), trip, keys, []));
  }

  /**
   * For each key several commands of its slot, in order and with nothing of ours between them, all in one round trip. They only
   * read.
   */
  async sequences(lists: readonly Sequence[], trip: Trip): Promise<readonly (readonly unknown[])[]> {
    const keys = lists.map(({ key }) => key);
    const ready = this.#connection.ready(trip, keys);
    if (ready) await ready;
    const sent = Promise.all(lists.map(({ key, commands }) => this.#connection.send(key, commands)));
    return await this.#within(sent, trip, keys, []);
  }

  async close(): Promise<void> {
    this.#watch.clear();
    await this.#connection.close();
  }

  #evalNow(call: ScriptCall, trip: Trip): Promise<unknown> {
    const { script, keys, args, buffers, mark, durable } = call;
    const command = (name: string, text: string): Command => ({ args: [name, text, String(keys.length), ...keys, ...args], buffers, mark });
    return this.#send(keys[0], command('evalsha', script.sha), durable, trip).catch((error: unknown) => {
      if (!isUnknownScript(error)) throw error;
      // a server that has not seen a script has not begun it: sending it again, in full, applies it once
      return this.#send(keys[0], command('eval', script.text), durable, trip);
    });
  }

  /** @throws UnreplicatedError when too few replicas have it in time */
  async #send(key: string | undefined, command: Command, durable: boolean | undefined, trip: Trip): Promise<unknown> {
    const wait = durable ? this.#wait : undefined;
    if (!wait) return (await this.#connection.send(key, [command]))[0];
    const timeout = Math.max(1, Math.min(wait.timeout, Math.floor(trip.timeout * 0.9)));
    const [answer, replicas] = await this.#connection.send(key, [
      command,
      { args: ['wait', String(wait.count), String(timeout)], waits: true },
    ]);
    if (Number(replicas) < wait.count) throw new UnreplicatedError(Number(replicas), wait.count);
    return answer;
  }

  #within<T>(work: Promise<T>, trip: Trip, keys: readonly (string | undefined)[], marks: readonly (Mark | undefined)[]): Promise<T> {
    return new Promise((resolve, reject) => {
      const watched = this.#watch.start(trip.timeout, (began) => {
        marks.forEach(giveUp);
        this.#connection.suspect(keys, began);
        reject(new TripTimeoutError());
      });
      const stop = (): void => this.#watch.stop(watched);
      work.then(stop, stop);
      work.then(resolve, reject);
    });
  }
}

/** Commands of one slot. */
export interface Sequence {
  readonly key: string;
  readonly commands: readonly Command[];
}

/** Of several failures the worst: rather one that may have been applied than one that was not. */
export function worstOf(failures: readonly unknown[]): unknown {
  return failures.find((error) => mayHaveApplied(classify(error))) ?? failures[0];
}

function unwrap(settled: readonly PromiseSettledResult<unknown>[]): readonly unknown[] {
  const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  if (failures.length > 0) throw worstOf(failures);
  return settled.map((one) => (one.status === 'fulfilled' ? one.value : undefined));
}
