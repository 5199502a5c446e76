/**
 * Clients of the `ioredis` package that the caller made: a client (of one server, or through sentinels) or a cluster.
 *
 * ioredis sends what was under way when a connection ended again as soon as there is another one, also when we have given
 * it up. Both are told to the server by the mark among the arguments, which ioredis reads each time it sends.
 *
 * @module
 */
import { MemoryConfigError } from '../../errors.js';
import type { IoRedisLike } from '../../types.js';
import { type Argument, type Command, type Connection, markAgain } from './client.js';
import { NotConnectedError, ResentError } from './failures.js';

interface Pipeline {
  call(...args: readonly unknown[]): Pipeline;
  callBuffer(...args: readonly unknown[]): Pipeline;
  exec(): Promise<readonly (readonly [Error | null, unknown])[] | null>;
}
interface Emitter {
  on(event: string, listener: (node: Emitter) => void): unknown;
  off(event: string, listener: (node: Emitter) => void): unknown;
}
interface Client extends Emitter {
  readonly status: string;
  readonly options?: { readonly keyPrefix?: unknown };
  call(...args: readonly unknown[]): Promise<unknown>;
  callBuffer(...args: readonly unknown[]): Promise<unknown>;
  pipeline(): Pipeline;
  /** Of a cluster only. */
  nodes?(role: 'all'): readonly Emitter[];
}

/**
 * A connection through the caller's client.
 *
 * @throws MemoryConfigError when it puts a prefix before keys: scripts would find theirs under other names
 */
export function shareIoRedis(client: IoRedisLike): Connection {
  const shared = client as unknown as Client;
  const prefix = shared.options?.keyPrefix;
  if (prefix !== undefined && prefix !== null && prefix !== '') {
    throw new MemoryConfigError(
      'createRedisProvider: the client has a keyPrefix of its own, which would part the keys of a script from those it derives. Give the prefix to createRedisProvider instead.',
      { provider: 'redis', setting: 'keyPrefix' },
    );
  }
  return new IoRedisConnection(shared);
}

class IoRedisConnection implements Connection {
  readonly spread: boolean;
  readonly sequential = true;
  readonly marks = true;
  readonly #client: Client;
  /** How often a connection has ended: what was under way then may be sent again. */
  #ends = 0;
  readonly #ended = (): void => {
    this.#ends++;
  };
  readonly #watched = new Set<Emitter>();
  readonly #watch = (node: Emitter): void => {
    this.#watched.add(node);
    node.on('close', this.#ended);
    node.on('end', this.#unwatch);
  };
  readonly #unwatch = (): void => {
    for (const node of this.#watched) if ((node as Partial<Client>).status === 'end') this.#forget(node);
  };

  constructor(client: Client) {
    this.#client = client;
    this.spread = typeof client.nodes === 'function';
    if (client.nodes) {
      client.on('+node', this.#watch);
      for (const node of client.nodes('all')) this.#watch(node);
    } else client.on('close', this.#ended);
  }

  #forget(node: Emitter): void {
    this.#watched.delete(node);
    node.off('close', this.#ended);
    node.off('end', this.#unwatch);
  }

  ready(): Promise<void> | undefined {
    // a client that reconnects would keep commands and send them much later
    return this.#client.status === 'ready' ? undefined : Promise.reject(new NotConnectedError(new Error('the client is offline')));
  }

  async send(key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
    const ends = this.#ends;
    const [first] = commands;
    const sent = first && commands.length === 1 ? this.#one(first) : this.#several(commands);
    // it has left, unless a node is still being connected
    for (const command of commands) markAgain(command);
    try {
      return await sent;
    } catch (error) {
      if (this.spread && key !== undefined && commands.length > 1 && /^(MOVED|READONLY) /.test((error as Error).message)) {
        // it does not follow for pipelines that write: a command of its own makes it look where the slot is
        this.#client.call('get', key).catch(() => undefined);
      }
      throw this.#ends === ends ? error : new ResentError(error);
    }
  }

  async #one({ args, buffers }: Command): Promise<readonly unknown[]> {
    const values = args.map(argumentOf);
    return [await (buffers === true ? this.#client.callBuffer(...values) : this.#client.call(...values))];
  }

  async #several(commands: readonly Command[]): Promise<readonly unknown[]> {
    const pipeline = this.#client.pipeline();
    for (const { args, buffers } of commands) {
      const values = args.map(argumentOf);
      if (buffers === true) pipeline.callBuffer(...values);
      else pipeline.call(...values);
    }
    const answers = (await pipeline.exec()) ?? [];
    return answers.map(([error, value]) => {
      if (error) throw error;
      return value;
    });
  }

  suspect(): void {
    // the caller's connection is the caller's to replace
  }

  metrics(): { readonly activeConnections?: number } {
    return this.spread ? {} : { activeConnections: this.#client.status === 'ready' ? 1 : 0 };
  }

  async close(): Promise<void> {
    this.#client.off('+node', this.#watch);
    this.#client.off('close', this.#ended);
    for (const node of this.#watched) this.#forget(node);
  }
}

/** Of byte arrays ioredis takes Buffers only. */
function argumentOf(value: Argument): string | Buffer {
  return typeof value === 'string' || Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
