/**
 * What the server says of itself: version, memory, and settings that put the data at risk.
 *
 * @module
 */
import type { DriverHealth, Trip } from '../../driver.js';
import type { Redis } from './client.js';
import { classify } from './failures.js';
import { FORMAT } from './open.js';
import { textOf } from './replies.js';

/**
 * Asks the server; one round trip (two when the user may not run INFO).
 *
 * @param redis - connected
 */
export async function healthOf(redis: Redis, trip: Trip): Promise<DriverHealth> {
  let text: string;
  try {
    text = textOf(await redis.command(['info'], trip));
  } catch (error) {
    if (classify(error).kind !== 'config') throw error;
    await redis.command(['ping'], trip);
    return {
      message: 'Redis',
      metrics: redis.metrics(),
      warnings: ['the user may not run INFO, so the settings of the server are not checked'],
    };
  }
  const info = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const cut = line.indexOf(':');
    if (cut > 0) info.set(line.slice(0, cut), line.slice(cut + 1));
  }
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  const limited = info.get('maxmemory') !== '0';
  const warnings = [
    ...(policy === 'noeviction'
      ? []
      : [
          `maxmemory-policy is ${policy}: ${limited ? 'when memory is full the server' : 'once maxmemory is set the server'} deletes conversations, whole or in part; set it to noeviction`,
        ]),
    ...(info.get('aof_enabled') === '0'
      ? [
          'appendonly is off: a crash of the server loses what was written since the last snapshot; turn it on (appendfsync everysec or always)',
        ]
      : []),
    ...(info.get('aof_last_write_status') === 'err' ? ['the server cannot write its append-only file; see its log'] : []),
    ...(info.get('rdb_last_bgsave_status') === 'err' ? ['the last snapshot of the server failed; see its log'] : []),
    ...(info.get('role') === 'slave' ? ['the server is a read-only replica: writes will fail; connect to the primary'] : []),
  ];
  const used = Number(info.get('used_memory'));
  const micros = Number(info.get('server_time_usec'));
  const product =
    info.get('server_name') === 'valkey' ? `Valkey ${info.get('valkey_version') ?? ''}` : `Redis ${info.get('redis_version') ?? ''}`;
  return {
    message: product.trim(),
    metrics: { ...redis.metrics(), ...(Number.isFinite(used) ? { memoryUsage: used } : {}) },
    schema: `format ${FORMAT}, the newest this version knows`,
    ...(Number.isFinite(micros) ? { serverTime: Math.floor(micros / 1000) } : {}),
    ...(warnings.length > 0 ? { warnings } : {}),
  };
}
