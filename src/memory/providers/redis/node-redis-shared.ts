/**
 * Clients of the `redis` package that the caller made and connected: client, pool, sentinel or cluster, told apart by what
 * they can do.
 *
 * @module
 */
import { MemoryConfigError } from '../../errors.js';
import type { NodeRedisLike } from '../../types.js';
import { type Argument, type Command, type Connection, markAgain } from './client.js';
import { answerOf, NotConnectedError, ResentError } from './failures.js';
import { commandOptions, inOrder } from './node-redis.js';

interface Multi {
  addCommand(...args: readonly unknown[]): Multi;
  execAsPipeline(): Promise<readonly unknown[]>;
}
interface Shared {
  readonly isOpen: boolean;
  /** A pool has none. */
  readonly isReady?: boolean;
  sendCommand(...args: readonly unknown[]): Promise<unknown>;
  multi(): Multi;
}

/**
 * A connection through the caller's client.
 *
 * @throws MemoryConfigError when it is none of those that are known
 */
export function shareNodeRedis(client: NodeRedisLike): Connection {
  const has = (name: string): boolean => name in client;
  const shared = client as unknown as Shared;
  if (has('nodeClient')) return new SharedCluster(shared);
  if (has('getSentinelNode')) return new SharedSentinel(shared);
  if (has('isReady') || has('idleClients')) return new SharedConnection(client);
  throw new MemoryConfigError(
    'createRedisProvider: the client is neither a client, pool, sentinel or cluster of the "redis" package nor one of "ioredis".',
    { provider: 'redis', setting: 'client' },
  );
}

abstract class Base implements Connection {
  abstract readonly spread: boolean;
  readonly sequential: boolean = false;
  readonly marks = true;
  protected readonly client: Shared;

  constructor(client: Shared) {
    this.client = client;
  }

  ready(): Promise<void> | undefined {
    // a client that reconnects would keep commands and send them much later
    return (this.client.isReady ?? this.client.isOpen)
      ? undefined
      : Promise.reject(new NotConnectedError(new Error('the client is offline')));
  }

  abstract send(key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]>;

  suspect(): void {
    // the caller's connection is the caller's to replace
  }

  metrics(): { readonly activeConnections?: number } {
    return {};
  }

  async close(): Promise<void> {
    // the caller's
  }
}

/** A client or a pool. What it has sent it never sends again. */
export class SharedConnection extends Base {
  readonly spread = false;
  /** A pool takes another of its connections for each command. */
  override readonly sequential: boolean;

  constructor(client: NodeRedisLike) {
    super(client as unknown as Shared);
    this.sequential = this.client.isReady !== undefined;
  }

  send(_key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
    if (this.sequential || commands.length === 1) {
      return inOrder(commands.map((command) => this.client.sendCommand(command.args, commandOptions(command))));
    }
    const multi = this.client.multi();
    for (const { args } of commands) multi.addCommand(args);
    return multi.execAsPipeline();
  }

  override metrics(): { readonly activeConnections?: number } {
    return this.client.isReady === undefined ? {} : { activeConnections: this.client.isReady ? 1 : 0 };
  }
}

/** A sentinel. When a connection ends it sends what was under way again, to the primary it finds. */
class SharedSentinel extends Base {
  readonly spread = false;

  async send(_key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
    const [first] = commands;
    let sent: Promise<readonly unknown[]>;
    if (first && commands.length === 1) sent = inOrder([this.client.sendCommand(false, first.args, commandOptions(first))]);
    else {
      const multi = this.client.multi();
      for (const { args } of commands) multi.addCommand(false, args);
      sent = multi.execAsPipeline();
    }
    // It leaves in this turn of the event loop or the next, unless the socket is behind, and again only after looking for the
    // primary. A mark that changes too early is a retry too many: careful, never wrong.
    setImmediate(() => setImmediate(() => commands.forEach(markAgain)));
    try {
      return await sent;
    } catch (error) {
      throw answerOf(error) === undefined || isPassing(error) ? new ResentError(error) : error;
    }
  }
}

/** Answers of a server that is going or coming: an attempt before may have reached another. */
function isPassing(error: unknown): boolean {
  return /^(READONLY|LOADING|MASTERDOWN|UNBLOCKED|CLUSTERDOWN) /.test(answerOf(error) ?? '');
}

/** A cluster. It sends again what a node sends away, which that node has not done. */
class SharedCluster extends Base {
  readonly spread = true;

  async send(key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
    const [first] = commands;
    if (first && commands.length === 1) return [await this.client.sendCommand(key, false, copyOf(first.args), commandOptions(first))];
    const multi = this.client.multi();
    for (const { args } of commands) multi.addCommand(key, false, copyOf(args));
    try {
      return await multi.execAsPipeline();
    } catch (error) {
      // it does not follow for pipelines: a command of its own makes it look where the slot is
      if (key !== undefined && /^(MOVED|READONLY) /.test(answerOf(error) ?? '')) {
        this.client.sendCommand(key, false, ['get', key]).catch(() => undefined);
      }
      throw error;
    }
  }
}

/** Its routing looks commands up by name in capitals. */
function copyOf([name, ...args]: readonly Argument[]): Argument[] {
  return [String(name).toUpperCase(), ...args];
}
