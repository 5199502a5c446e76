/**
 * Connections of our own to the nodes of a cluster.
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import type { Command, Connection } from './client.js';
import { answerOf, NotConnectedError } from './failures.js';
import { type Address, type MakeClient, OwnConnection, within } from './node-redis.js';
import { listOf, textOf } from './replies.js';
import { slotOf } from './slot.js';

/** What connections to a cluster need. */
export interface ClusterOptions {
  /** Some nodes; they name the others. */
  readonly nodes: readonly Address[];
  readonly make: MakeClient;
  /** Whether writes wait for replicas. */
  readonly waits: boolean;
}

const SLOTS = 16_384;
/** Nodes that are asked at once for the map of slots. */
const ASKED = 3;
/** Milliseconds a node may take to say where the slots are, before others are asked. */
const ASK_FOR = 1000;

/** The connections to the primaries of a cluster, each made when it is needed. */
export class ClusterConnection implements Connection {
  readonly spread = true;
  readonly sequential = true;
  readonly marks = false;
  readonly #options: ClusterOptions;
  readonly #nodes = new Map<string, OwnConnection>();
  /** Address of the primary of each slot; undefined before the first map, and when something contradicts it. */
  #map: (string | undefined)[] | undefined;
  /** What the last map named: more nodes to ask than those that were configured. */
  #known: readonly string[] = [];
  #mapping: Promise<void> | undefined;
  #asked = 0;
  #closed = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  // ---------------------------------------------------------------------------------------------------------- the map

  ready(trip: Trip, keys: readonly (string | undefined)[]): Promise<void> | undefined {
    if (this.#map && keys.every((key) => this.#nodeOf(key)?.isReady)) return undefined;
    return this.#makeReady(trip, keys);
  }

  async #makeReady(trip: Trip, keys: readonly (string | undefined)[]): Promise<void> {
    const until = performance.now() + trip.timeout;
    const left = (): Trip => ({ timeout: Math.max(1, until - performance.now()) });
    if (!this.#map) {
      this.#mapping ??= this.#readMap(left()).finally(() => {
        this.#mapping = undefined;
      });
      await this.#mapping;
    }
    const nodes = new Set<OwnConnection>();
    for (const key of keys) {
      const node = this.#nodeOf(key);
      if (!node) {
        this.#map = undefined;
        throw new NotConnectedError(new Error('CLUSTERDOWN a slot has no node'));
      }
      nodes.add(node);
    }
    try {
      await Promise.all([...nodes].map(async (node) => node.ready(left())));
    } catch (error) {
      // a node that cannot be reached may have been replaced
      this.#map = undefined;
      throw error;
    }
  }

  /** Asks some nodes, others each time; the first answer decides. */
  async #readMap(trip: Trip): Promise<void> {
    if (this.#closed) throw new NotConnectedError(new Error('the client is closed'));
    const all = [...new Set([...this.#known, ...this.#options.nodes.map(nameOf)])];
    const some = Array.from({ length: Math.min(ASKED, all.length) }, () => all[this.#asked++ % all.length] ?? '');
    const short = { timeout: Math.min(trip.timeout, ASK_FOR) };
    const asked = some.map(async (name) => {
      const node = this.#node(name);
      await node.ready(short);
      const [answer] = await within(node.send(undefined, [{ args: ['cluster', 'slots'] }]), short).catch((error: unknown) => {
        if (answerOf(error) === undefined) node.drop(); // it does not answer: a frozen node must not be asked again in vain
        throw error;
      });
      return { name, answer };
    });
    let first: { readonly name: string; readonly answer: unknown };
    try {
      first = await Promise.any(asked);
    } catch (error) {
      const [cause] = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
      throw cause instanceof NotConnectedError || answerOf(cause) !== undefined ? cause : new NotConnectedError(cause);
    }
    this.#take(first.name, first.answer);
  }

  #take(asked: string, answer: unknown): void {
    const map = Array.from({ length: SLOTS }, (): string | undefined => undefined);
    const known = new Set<string>();
    const ownHost = addressOf(asked).host;
    for (const range of listOf(answer)) {
      const [from, to, ...nodes] = listOf(range);
      nodes.forEach((node, i) => {
        const [host, port] = listOf(node);
        // a node that does not know its own name leaves it out
        const given = host === null ? '' : textOf(host);
        const name = nameOf({ host: given === '' || given === '?' ? ownHost : given, port: Number(textOf(port)) });
        known.add(name);
        if (i === 0) map.fill(name, Number(from), Number(to) + 1);
      });
    }
    this.#map = map;
    this.#known = [...known];
    for (const [name, node] of this.#nodes) {
      if (known.has(name)) continue;
      this.#nodes.delete(name);
      void node.close();
    }
  }

  #node(name: string): OwnConnection {
    let node = this.#nodes.get(name);
    if (!node) {
      node = new OwnConnection(() => this.#options.make(addressOf(name)), this.#options.waits);
      this.#nodes.set(name, node);
      if (this.#closed) void node.close();
    }
    return node;
  }

  #nodeOf(key: string | undefined): OwnConnection | undefined {
    const name = key === undefined ? this.#map?.find((one) => one !== undefined) : this.#map?.[slotOf(key)];
    return name === undefined ? undefined : this.#node(name);
  }

  // ---------------------------------------------------------------------------------------------------------- sending

  async send(key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
    const node = this.#nodeOf(key);
    if (!node) throw new NotConnectedError(new Error('the client is offline'));
    try {
      return await node.send(key, commands);
    } catch (error) {
      return await this.#redirected(error, key, commands);
    }
  }

  /** A node that sends away has done nothing. ASK is not followed: a script needs keys on both nodes then, and waits. */
  async #redirected(error: unknown, key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
    const [word, slot, name] = (answerOf(error) ?? '').split(' ');
    if (word === undefined || !/^(MOVED|CLUSTERDOWN|READONLY|MASTERDOWN|UNBLOCKED)$/.test(word)) throw error;
    const map = this.#map;
    this.#map = undefined;
    if (word !== 'MOVED' || name === undefined || name.startsWith(':')) throw error;
    const target = this.#nodes.get(name);
    if (!target?.isReady) throw error;
    if (map) {
      map[Number(slot)] = name;
      // good until a node contradicts: moving a hundred slots is no reason to ask a hundred times
      this.#map = map;
    }
    return await target.send(key, commands);
  }

  suspect(keys: readonly (string | undefined)[], since: number): void {
    const nodes = new Set(keys.map((key) => this.#nodeOf(key)));
    for (const node of nodes) {
      node?.suspect(keys, since);
      // it may have been replaced meanwhile
      if (node && !node.isReady) this.#map = undefined;
    }
  }

  metrics(): { readonly activeConnections: number } {
    let activeConnections = 0;
    for (const node of this.#nodes.values()) activeConnections += node.metrics().activeConnections;
    return { activeConnections };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#nodes.values()].map((node) => node.close()));
  }
}

function nameOf({ host, port }: Address): string {
  return `${host}:${port}`;
}

function addressOf(name: string): Address {
  const colon = name.lastIndexOf(':');
  return { host: name.slice(0, colon), port: Number(name.slice(colon + 1)) };
}
