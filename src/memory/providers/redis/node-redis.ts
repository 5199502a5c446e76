/**
 * Connections through the `redis` package: one of our own, or a client of the caller.
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import { MemoryConfigError } from '../../errors.js';
import type { NodeRedisLike, RedisConfig } from '../../types.js';
import type { Command, Connection } from './client.js';
import { NotConnectedError } from './failures.js';

/** What is used of a node-redis client. */
interface Client {
  readonly isOpen: boolean;
  readonly isReady: boolean;
  sendCommand(args: readonly unknown[], options?: object): Promise<unknown>;
}
interface OwnClient extends Client {
  connect(): Promise<unknown>;
  close(): Promise<void>;
  destroy(): void;
  unref(): void;
  on(event: 'error', listener: () => void): unknown;
}
interface RedisModule {
  createClient(options: object): OwnClient;
}

/** `$` in the protocol: answers of this type come as Buffers. */
const BUFFERS = { 36: Buffer };

/**
 * The `redis` package.
 *
 * @param load - how it is imported
 * @throws MemoryConfigError (`missing_peer`)
 */
export async function loadNodeRedis(load: () => Promise<unknown> = () => import('redis')): Promise<RedisModule> {
  try {
    const module = (await load()) as { default?: RedisModule } & RedisModule;
    return module.default ?? module;
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    const absent = (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && /['"]redis['"]/.test(String(message));
    throw new MemoryConfigError(
      absent
        ? 'Redis needs the "redis" package: npm install redis'
        : `Redis: the "redis" package is installed but could not be loaded (${typeof code === 'string' ? code : 'no error code'}). Reinstall it.`,
      { provider: 'redis', setting: 'type', code: 'missing_peer' },
    );
  }
}

/** Options of `createClient` for a checked configuration. `connectTimeout` in ms. */
export function clientOptions(config: RedisConfig, connectTimeout: number): object {
  const { host = 'localhost', port = 6379, username, password, db, tls } = config;
  return {
    socket: {
      host,
      port,
      connectTimeout,
      // a connection that is lost is replaced by the next call: no timer keeps a finished program alive
      reconnectStrategy: false,
      ...(tls ? { ...(tls === true ? {} : tls), tls: true } : {}),
    },
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(db === undefined ? {} : { database: db }),
    RESP: 3,
    name: 'jaf',
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // nothing waits in the client: what cannot be sent now is refused, and the layer tries again until the deadline
    disableOfflineQueue: true,
    commandOptions: { timeout: undefined },
  };
}

function send(client: Client, commands: readonly Command[]): Promise<unknown>[] {
  return commands.map(({ args, buffers }) =>
    client.sendCommand(args, { timeout: undefined, ...(buffers === true ? { typeMapping: BUFFERS } : {}) }),
  );
}

/** A connection of our own. It is made when it is needed and there is none. */
export class OwnConnection implements Connection {
  readonly spread = false;
  readonly #make: () => OwnClient;
  #client: OwnClient | undefined;
  #connecting: Promise<void> | undefined;
  #closed = false;

  /** @param make - makes a client that is not connected */
  constructor(make: () => OwnClient) {
    this.#make = make;
  }

  ready(trip: Trip): Promise<void> | undefined {
    if (this.#client?.isReady) return undefined;
    this.#connecting ??= this.#connect(trip).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(trip: Trip): Promise<void> {
    if (this.#closed) throw new NotConnectedError(new Error('the client is closed'));
    this.#drop();
    const client = this.#make();
    client.on('error', () => undefined); // every failure also reaches the call it concerns
    client.unref();
    // from here on, so that closing finds it
    this.#client = client;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('connect timeout')), trip.timeout);
    });
    try {
      await Promise.race([client.connect(), late]);
    } catch (error) {
      if (this.#client === client) this.#drop();
      throw new NotConnectedError(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #drop(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.destroy();
  }

  send(_key: string | undefined, commands: readonly Command[]): readonly Promise<unknown>[] {
    const client = this.#client;
    if (!client?.isReady) return commands.map(() => Promise.reject(new NotConnectedError(new Error('the client is closed'))));
    return send(client, commands);
  }

  suspect(): void {
    if (!this.#connecting) this.#drop();
  }

  metrics(): { readonly activeConnections: number } {
    return { activeConnections: this.#client?.isReady ? 1 : 0 };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#drop();
  }
}

/** A client of the caller, connected by the caller. */
export class SharedConnection implements Connection {
  readonly spread = false;
  readonly #client: Client;

  constructor(client: NodeRedisLike) {
    this.#client = client as unknown as Client;
  }

  ready(): Promise<void> | undefined {
    // a client that reconnects would keep commands and send them much later
    return this.#client.isReady ? undefined : Promise.reject(new NotConnectedError(new Error('the client is offline')));
  }

  send(_key: string | undefined, commands: readonly Command[]): readonly Promise<unknown>[] {
    return send(this.#client, commands);
  }

  suspect(): void {
    // the caller's connection is the caller's to replace
  }

  metrics(): { readonly activeConnections: number } {
    return { activeConnections: this.#client.isReady ? 1 : 0 };
  }

  async close(): Promise<void> {
    // the caller's
  }
}
