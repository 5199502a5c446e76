/**
 * Connections of our own through the `redis` package: how a client is made, and the connection to one server. Sentinel and
 * Cluster (own files) are made of these: the package's own topologies send a command again by themselves, and hold it back
 * while they look for its server, and neither can be seen from outside.
 *
 * @module
 */
import type { Trip } from '../../driver.js';
import { MemoryConfigError } from '../../errors.js';
import type { RedisConfig } from '../../types.js';
import type { Command, Connection } from './client.js';
import { NotConnectedError } from './failures.js';

/** What is used of a client of our own. */
export interface OwnClient {
  readonly isReady: boolean;
  sendCommand(args: readonly unknown[], options?: object): Promise<unknown>;
  connect(): Promise<unknown>;
  close(): Promise<void>;
  destroy(): void;
  unref(): void;
  on(event: 'error', listener: () => void): unknown;
}
interface RedisModule {
  createClient(options: object): OwnClient & { duplicate(options: object): OwnClient };
}

/** Where a server listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Makes a client for a server; it is not connected. */
export type MakeClient = (address: Address) => OwnClient;

let template: ReturnType<RedisModule['createClient']> | undefined;

/**
 * Makes a client that is not connected. `createClient` makes a class of some hundred methods for each new set of options, 60 ms
 * of the event loop, and it remembers one: a duplicate takes the class of the first.
 *
 * @param options - of `createClient`
 */
export function createOwnClient({ createClient }: RedisModule, options: object): OwnClient {
  template ??= createClient({ RESP: 3 });
  return template.duplicate(options);
}

/** Options of a command. `$` in the protocol: answers of this type come as Buffers. Our own deadline bounds it. */
export function commandOptions({ buffers }: Command): object {
  return buffers === true ? AS_BUFFERS : AS_TEXT;
}
const AS_TEXT = { timeout: undefined };
const AS_BUFFERS = { timeout: undefined, typeMapping: { 36: Buffer } };

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

/**
 * Options of `createClient` for a checked configuration.
 *
 * @param address - of the server
 * @param connectTimeout - in ms
 */
export function clientOptions(config: RedisConfig, { host, port }: Address, connectTimeout: number): object {
  const { username, password, db, tls } = config;
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

/** One connection. It is made when it is needed and there is none. */
class Line {
  readonly #make: () => OwnClient;
  #client: OwnClient | undefined;
  #connecting: Promise<void> | undefined;
  #closed = false;
  #lastAnswer = 0;

  constructor(make: () => OwnClient) {
    this.#make = make;
  }

  get isReady(): boolean {
    return this.#client?.isReady ?? false;
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
    this.drop();
    const client = this.#make();
    client.on('error', () => undefined); // every failure also reaches the call it concerns
    client.unref();
    // from here on, so that closing finds it
    this.#client = client;
    try {
      await within(client.connect(), trip);
    } catch (error) {
      if (this.#client === client) this.drop();
      throw new NotConnectedError(error);
    }
  }

  drop(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.destroy();
  }

  close(): void {
    this.#closed = true;
    this.drop();
  }

  send(commands: readonly Command[]): Promise<readonly unknown[]> {
    const client = this.#client;
    if (!client?.isReady) return Promise.reject(new NotConnectedError(new Error('the client is closed')));
    const heard = (): void => {
      this.#lastAnswer = performance.now();
    };
    const answers = inOrder(commands.map((command) => client.sendCommand(command.args, commandOptions(command))));
    answers.then(heard, heard);
    return answers;
  }

  suspect(since: number): void {
    if (!this.#connecting && this.#lastAnswer < since) this.drop();
  }
}

/**
 * The answers of commands that were sent together.
 *
 * @throws the failure of the first that failed
 */
export function inOrder(answers: readonly Promise<unknown>[]): Promise<readonly unknown[]> {
  const [first] = answers;
  return first && answers.length === 1 ? first.then((answer) => [answer]) : Promise.all(answers);
}

/** Connections of our own to one server. */
export class OwnConnection implements Connection {
  readonly spread = false;
  readonly sequential = true;
  readonly marks = false;
  readonly #line: Line;
  /** For writes that wait for replicas: whatever follows on their connection waits with them. */
  readonly #waiting: Line | undefined;

  /**
   * @param make - makes a client that is not connected
   * @param waits - whether writes wait for replicas
   */
  constructor(make: () => OwnClient, waits = false) {
    this.#line = new Line(make);
    if (waits) this.#waiting = new Line(make);
  }

  get isReady(): boolean {
    return this.#line.isReady && this.#waiting?.isReady !== false;
  }

  ready(trip: Trip): Promise<void> | undefined {
    const line = this.#line.ready(trip);
    const waiting = this.#waiting?.ready(trip);
    return line && waiting ? Promise.all([line, waiting]).then(() => undefined) : (line ?? waiting);
  }

  send(_key: string | undefined, commands: readonly Command[]): Promise<readonly unknown[]> {
    return ((commands.at(-1)?.waits && this.#waiting) || this.#line).send(commands);
  }

  suspect(_keys: readonly (string | undefined)[], since: number): void {
    this.#line.suspect(since);
    this.#waiting?.suspect(since);
  }

  metrics(): { readonly activeConnections: number } {
    return { activeConnections: [this.#line, this.#waiting].filter((line) => line?.isReady).length };
  }

  /** Lets the connections go; the next call makes new ones. */
  drop(): void {
    this.#line.drop();
    this.#waiting?.drop();
  }

  async close(): Promise<void> {
    this.#line.close();
    this.#waiting?.close();
  }
}

/** The result, or a failure when it takes longer than the trip may. */
export async function within<T>(work: Promise<T>, trip: Trip): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('connect timeout')), trip.timeout);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
