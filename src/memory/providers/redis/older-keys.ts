/**
 * The keys under a prefix that earlier implementations may have written: finding, reading, removing them. The only place
 * that walks the keyspace.
 *
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { checkRedisConfig } from '../../config.js';
import { DEADLINE } from '../../core.js';
import type { Trip } from '../../driver.js';
import { MemoryError } from '../../errors.js';
import { errorOf } from '../../retry.js';
import type { RedisConfig } from '../../types.js';
import { Redis } from './client.js';
import { classify } from './failures.js';
import { connectionFor } from './connect.js';
import { KEY_PREFIX, Keys } from './keys.js';
import { listOf, textOf } from './replies.js';
import { scripts } from './scripts.js';

/** Keys the server looks at in one SCAN: about 0.5 ms of its time. */
const SCAN = 1000;

/** What a key holds: nothing any more, a value of another type, or a text. `sha1` is of its bytes; `left` in ms. */
export type Source =
  | { readonly type: 'none' }
  | { readonly type: 'other'; readonly name: string }
  | { readonly type: 'text'; readonly bytes: Buffer; readonly sha1: string; readonly left: number | undefined };

/** The servers of one store, as far as earlier data is concerned. */
export class OlderKeys {
  readonly prefix: string;
  readonly #redis: Redis;
  /** One server, or the masters of a cluster: a walk has to visit each. */
  readonly #nodes: readonly Redis[];
  readonly #trip: Trip;

  private constructor(prefix: string, redis: Redis, nodes: readonly Redis[], trip: Trip) {
    this.prefix = prefix;
    this.#redis = redis;
    this.#nodes = nodes;
    this.#trip = trip;
  }

  /**
   * Connects.
   *
   * @param config - see {@link RedisConfig}
   * @throws MemoryError
   */
  static async open(config: RedisConfig): Promise<OlderKeys> {
    const checked = checkRedisConfig(config);
    const { deadline = DEADLINE, keyPrefix = KEY_PREFIX } = checked;
    const trip = { timeout: deadline };
    const opened: Redis[] = [];
    const connect = async (own: RedisConfig): Promise<Redis> => {
      const redis = new Redis(await connectionFor(own, undefined, deadline));
      opened.push(redis);
      return redis;
    };
    try {
      const redis = await connect(checked);
      const { clusterNodes, ...rest } = checked;
      const masters = redis.spread ? mastersOf(await redis.command(['CLUSTER', 'SLOTS'], trip), clusterNodes?.[0]?.host) : [];
      const nodes = redis.spread ? await Promise.all(masters.map((address) => connect({ ...rest, ...address }))) : [redis];
      return new OlderKeys(keyPrefix, redis, nodes, trip);
    } catch (error) {
      for (const redis of opened) await redis.close();
      throw failed(error);
    }
  }

  /** How many servers a walk visits. */
  get nodes(): number {
    return this.#nodes.length;
  }

  async close(): Promise<void> {
    for (const redis of new Set([this.#redis, ...this.#nodes])) await redis.close();
  }

  /**
   * Walks over the keys that begin with the prefix, in pages; what is there throughout comes at least once. Keys of a store
   * of this version are left out.
   *
   * @param steps - SCANs of each node at most
   * @returns pages of keys, each with whether the walk over its node has ended
   * @throws MemoryError
   */
  async *scan(steps: number = Number.POSITIVE_INFINITY): AsyncGenerator<{ readonly keys: readonly Buffer[]; readonly ended: boolean }> {
    const own = new Keys(this.prefix).start;
    const pattern = `${this.prefix.replaceAll(/[\\*?[\]]/g, String.raw`\$&`)}*`;
    for (const node of this.#nodes) {
      let cursor = '0';
      for (let step = 0; step < steps; step++) {
        const args = ['SCAN', cursor, 'MATCH', pattern, 'COUNT', String(SCAN)];
        const [answer] = await node.commands([{ args, buffers: true }], this.#trip).catch((error: unknown) => {
          throw failed(error);
        });
        const [next, found] = listOf(answer);
        cursor = textOf(next);
        const keys = new Map((listOf(found) as Buffer[]).map((key) => [key.toString('latin1'), key]));
        yield { keys: [...keys.values()].filter((key) => !key.toString().startsWith(own)), ended: cursor === '0' };
        if (cursor === '0') break;
      }
    }
  }

  /** The conversation a key would be of; undefined when the key is not UTF-8. */
  idOf(key: Buffer): string | undefined {
    return isUtf8(key) ? key.toString().slice(this.prefix.length) : undefined;
  }

  /**
   * Reads the key of a conversation, in one step with the time it has left.
   *
   * @throws MemoryError
   */
  async read(id: string): Promise<Source> {
    const call = { script: scripts.olderRead, keys: [this.prefix + id], args: [], buffers: true };
    const [type, value, left] = listOf(await this.#eval(call));
    const name = textOf(type);
    if (name === 'none') return { type: 'none' };
    if (!(value instanceof Uint8Array)) return { type: 'other', name };
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const ms = Number(left);
    return { type: 'text', bytes, sha1: createHash('sha1').update(bytes).digest('hex'), left: ms < 0 ? undefined : ms };
  }

  /**
   * Removes the key of a conversation if it holds what was read.
   *
   * @returns what became of it
   * @throws MemoryError
   */
  async remove(id: string, sha1: string): Promise<'removed' | 'changed' | 'gone'> {
    const answer = Number(await this.#eval({ script: scripts.olderRemove, keys: [this.prefix + id], args: [sha1] }));
    return answer === 1 ? 'removed' : answer === 2 ? 'gone' : 'changed';
  }

  /** Which of these keys hold a text that may be a conversation: one that begins with a brace. */
  async countTexts(keys: readonly Buffer[]): Promise<number> {
    const ids = keys.flatMap((key) => this.idOf(key) ?? []);
    if (ids.length === 0) return 0;
    const calls = ids.map((id) => ({ script: scripts.olderPeek, keys: [this.prefix + id], args: [] }));
    const answers = await this.#redis.evalAll(calls, this.#trip).catch((error: unknown) => {
      throw failed(error);
    });
    return answers.filter((answer) => Number(answer) === 1).length;
  }

  async #eval(call: Parameters<Redis['eval']>[0]): Promise<unknown> {
    return await this.#redis.eval(call, this.#trip).catch((error: unknown) => {
      throw failed(error);
    });
  }
}

function failed(error: unknown): MemoryError {
  return error instanceof MemoryError ? error : errorOf({ provider: 'redis', operation: 'migrate' }, classify(error), false);
}

/** Masters in an answer to CLUSTER SLOTS. `asked`: the host for nodes that do not know their own name. */
function mastersOf(answer: unknown, asked: string = 'localhost'): { readonly host: string; readonly port: number }[] {
  const masters = new Map<string, { readonly host: string; readonly port: number }>();
  for (const range of listOf(answer)) {
    const [host, port] = listOf(listOf(range)[2]);
    const given = host === null ? '' : textOf(host);
    const master = { host: given === '' || given === '?' ? asked : given, port: Number(textOf(port)) };
    masters.set(`${master.host}:${master.port}`, master);
  }
  return [...masters.values()];
}

/** SCANs of each node, and conversations found, after which {@link countOlder} stops: about a second. */
const COUNT_STEPS = 100;
const COUNT_FOUND = 10_000;

/**
 * Counts conversations of earlier implementations under the prefix: up to about 10,000, among 100,000 keys of each node.
 *
 * @param config - see {@link RedisConfig}
 * @returns how many were found; `complete`: there are no others
 * @throws MemoryError
 */
export async function countOlder(config: RedisConfig): Promise<{ readonly found: number; readonly complete: boolean }> {
  const keys = await OlderKeys.open(config);
  try {
    let found = 0;
    let walks = 0;
    for await (const page of keys.scan(COUNT_STEPS)) {
      found += await keys.countTexts(page.keys);
      if (page.ended) walks++;
      if (found >= COUNT_FOUND) break;
    }
    return { found, complete: walks === keys.nodes };
  } finally {
    await keys.close();
  }
}
