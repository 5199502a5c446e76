/**
 * Opening a store: what the user may do, and the settings of the namespace.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { StoreInfo, Trip } from '../../driver.js';
import { MemoryConfigError } from '../../errors.js';
import type { Redis } from './client.js';
import { answerOf, classify, ScriptError } from './failures.js';
import type { Keys } from './keys.js';
import { listOf, textOf } from './replies.js';
import { scripts } from './scripts.js';

/** Version of the keys and what they hold. 1, with headers as text, was never released. */
export const FORMAT = 2;

/** Every command the driver needs, as an ACL names them. */
export const COMMANDS: string =
  '+eval +evalsha +unlink +hsetnx +hset +hget +hmget +hgetall +hlen +hdel +rpush +llen +lrange +ltrim +zadd +zcard +zcount +zscore +zrank +zrange +zrangebyscore +zrevrangebyscore +zremrangebyscore +zrem +set +get +pexpire +persist +time +ping +info';
/** Beside them, for sentinels, a cluster and waitReplicas. */
const MORE = '(through sentinels also +role, on a cluster +cluster|slots, with waitReplicas +wait)';

function configError(text: string, setting: string, code?: string): MemoryConfigError {
  return new MemoryConfigError(`createRedisProvider "${setting}": ${text}`, { provider: 'redis', setting, ...(code ? { code } : {}) });
}

/**
 * Tries the commands the driver needs, then makes or reads the settings.
 *
 * @param redis - connected
 * @param keys - of the namespace
 * @param buckets - how many a store that is made gets, and one that is there must have
 * @throws MemoryConfigError naming what the user may not do or what does not fit
 */
export async function openStore(redis: Redis, keys: Keys, buckets: number, trip: Trip): Promise<StoreInfo> {
  await checkRights(redis, keys, trip);
  const secret = randomBytes(16).toString('hex');
  const reply = await redis.eval({ script: scripts.open, keys: [keys.settings], args: [secret, String(buckets), String(FORMAT)] }, trip);
  const [key, stored, format] = listOf(reply).map(textOf);
  if (key === undefined || Number(format) > FORMAT) {
    throw configError(
      `the data under this prefix has format ${format}, newer than this version of jaf knows (${FORMAT}). Update jaf.`,
      'keyPrefix',
      'schema_newer',
    );
  }
  if (Number(format) < FORMAT) {
    throw configError(
      `the data under this prefix has format ${format}, of a version before the first release. Give another prefix, or export it with that version and import it here.`,
      'keyPrefix',
    );
  }
  if (Number(stored) !== buckets) {
    throw configError(
      `the data under this prefix is spread over ${stored} buckets, and this client would look in ${buckets}: it was made ${
        Number(stored) > 1 ? 'on a cluster' : 'on a single server'
      }. Connect as it was made, give another prefix, or export it there and import it here.`,
      'keyPrefix',
    );
  }
  return { key };
}

async function checkRights(redis: Redis, keys: Keys, trip: Trip): Promise<void> {
  const none = keys.none(keys.tag(0));
  const failed: string[] = [];
  // in full, and by its SHA-1: a user needs the rights to both
  const probe = { script: scripts.probe, keys: [none], args: [] };
  for (const ask of [() => redis.command(['eval', scripts.probe.text, '1', none], trip, none), () => redis.eval(probe, trip)]) {
    try {
      failed.push(...listOf(await ask()).map(textOf));
    } catch (error) {
      const answer = answerOf(error) ?? '';
      const command = /\b(evalsha|eval)\b/i.exec(answer)?.[1];
      if (classify(error).kind !== 'config' || !answer.startsWith('NOPERM')) throw error;
      failed.push(command?.toLowerCase() ?? 'eval', answer);
    }
  }
  const [, error] = failed;
  if (error === undefined) return;
  const failure = classify(new ScriptError(error));
  if (failure.kind !== 'config') throw new ScriptError(error);
  const names = failed.filter((_, i) => i % 2 === 0);
  const what = /access.*key/i.test(error)
    ? `the user may not use keys that begin with ${JSON.stringify(keys.start)}`
    : `the user may not run ${[...new Set(names)].map((name) => name.toUpperCase()).join(', ')}`;
  throw configError(`${what}. Grant what the store needs ${MORE}: ACL SETUSER … ~${keys.start}* ${COMMANDS}`, 'username');
}
