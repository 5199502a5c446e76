/**
 * What `jaf-memory doctor` finds out about a store that is open: clock, schema, settings, latency, and data that belongs to nothing.
 *
 * @module
 */
import { checkPostgresConfig, checkRedisConfig } from '../../memory/config.js';
import type { Inspection } from '../../memory/driver.js';
import { internalsOf } from '../../memory/internals.js';
import { targetOf } from '../../memory/providers/postgres/hosts.js';
import { purgeOver, reapAll } from '../../memory/purging.js';
import type { MemoryProvider, MemoryProviderConfig } from '../../memory/types.js';
import type { Session } from '../session.js';
import { counted } from '../text.js';

/** One thing the doctor looked at. */
export interface Finding {
  readonly check: string;
  /** `note`: worth knowing, nothing to do. `problem`: see `advice`. */
  readonly level: 'ok' | 'note' | 'problem';
  readonly detail: string;
  /** What to do. */
  readonly advice?: string;
}

/** Slower than this (ms) a store on the same machine, or in the same data centre, has a problem. */
const SLOW_MS = 100;
const PINGS = 5;
/** Clocks further apart than this (ms) are a problem: expiry and order go by the clocks of the clients. */
const SKEW_MS = 1000;
/** Conversations looked at in one page of a search for orphans. */
const PAGE = 1000;

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|::1|\[::1\])$/i.test(host) || host.startsWith('/');

/** Whether what goes over the network can be read on the way. Connects to nothing. */
export function transport(config: MemoryProviderConfig): Finding[] {
  const check = 'transport';
  const remote = remoteOf(config);
  if (!remote) return [];
  const { hosts, encrypted, secret, setting } = remote;
  const far = hosts.filter((host) => !isLoopback(host));
  if (encrypted) return [{ check, level: 'ok', detail: 'The connection is encrypted (TLS).' }];
  if (far.length === 0) return [{ check, level: 'ok', detail: 'The connection is not encrypted, and stays on this machine.' }];
  const what = secret ? 'The password and every conversation travel' : 'Every conversation travels';
  return [
    {
      check,
      level: 'problem',
      detail: `${what} in clear to ${far.join(', ')}.`,
      advice: `Turn TLS on (${setting}), or make sure that nobody can listen on this network.`,
    },
  ];
}

interface Remote {
  readonly hosts: readonly string[];
  readonly encrypted: boolean;
  readonly secret: boolean;
  readonly setting: string;
}

function remoteOf(config: MemoryProviderConfig): Remote | undefined {
  if (config.type === 'postgres') {
    const { type: _type, ...own } = config;
    const checked = checkPostgresConfig(own);
    const { hosts, password } = targetOf(checked);
    const secret = (password ?? checked.password) !== undefined;
    const encrypted = checked.ssl !== undefined && checked.ssl !== false;
    return { hosts: hosts.map(({ host }) => host), encrypted, secret, setting: 'sslmode=verify-full in the URL, or JAF_POSTGRES_SSL=true' };
  }
  if (config.type === 'redis') {
    const { type: _type, ...own } = config;
    const { host = 'localhost', sentinels, clusterNodes, tls, password, url } = checkRedisConfig(own);
    const hosts = (clusterNodes ?? sentinels)?.map((node) => node.host) ?? [host];
    const secret = password !== undefined || (url !== undefined && /\/\/[^/]*@/.test(url));
    const encrypted = tls !== undefined && tls !== false;
    return { hosts, encrypted, secret, setting: 'rediss:// in the URL, or JAF_REDIS_TLS=true' };
  }
  return undefined;
}

/** The store is asked a few times: one answer says little about its latency. */
export async function latency(provider: MemoryProvider): Promise<Finding[]> {
  const check = 'answer';
  const times: number[] = [];
  for (let i = 0; i < PINGS; i++) {
    const health = await provider.healthCheck();
    if (!health.healthy)
      return [
        { check, level: 'problem', detail: health.error, advice: 'Look at the store itself; doctor only asked whether it is there.' },
      ];
    times.push(health.latencyMs);
  }
  const median = times.sort((a, b) => a - b)[Math.floor(PINGS / 2)] ?? 0;
  const detail = `The store answers in ${median < 0.1 ? 'less than 0.1' : median.toFixed(1)} ms (median of ${PINGS}).`;
  if (median <= SLOW_MS) return [{ check, level: 'ok', detail }];
  return [
    {
      check,
      level: 'problem',
      detail,
      advice: `More than ${SLOW_MS} ms per call is slow: look at the network, the disk and the load of the store.`,
    },
  ];
}

/** Schema, clock and settings, as the driver's ping tells them. */
export async function server(provider: MemoryProvider, session: Session): Promise<Finding[]> {
  const core = internalsOf(provider)?.core;
  if (!core) return [];
  const before = core.now();
  const {
    warnings = [],
    serverTime,
    schema,
  } = await core.trip(core.call('doctor'), (trip) => core.driver.ping(trip), {
    signal: session.signal,
  });
  const after = core.now();
  const findings: Finding[] = schema === undefined ? [] : [{ check: 'schema', level: 'ok', detail: `${schema}.` }];
  if (serverTime !== undefined) findings.push(clock(serverTime, before, after));
  findings.push(...warnings.map((detail): Finding => ({ check: 'setting', level: 'problem', detail })));
  return findings;
}

/**
 * How far the server's clock is from ours; what the answer took is no skew.
 *
 * @param serverTime - milliseconds, read between `before` and `after`
 */
export function clock(serverTime: number, before: number, after: number): Finding {
  const check = 'clock';
  const skew = serverTime > after ? serverTime - after : serverTime < before ? serverTime - before : 0;
  const way = skew > 0 ? 'ahead of' : 'behind';
  if (Math.abs(skew) <= SKEW_MS)
    return { check, level: 'ok', detail: `The server's clock and this one agree (${Math.abs(skew)} ms apart).` };
  return {
    check,
    level: 'problem',
    detail: `The server's clock is ${(Math.abs(skew) / 1000).toFixed(1)} s ${way} this one.`,
    advice: 'Expiry and order go by the clocks of the programs: keep them right with NTP (chrony, systemd-timesyncd), on the server too.',
  };
}

const NOTHING: Inspection = { looked: 0, orphans: 0 };

/** Walks the whole store for data that belongs to no conversation. */
export async function orphans(provider: MemoryProvider, { out, signal }: Session, fix: boolean): Promise<Finding[]> {
  const check = 'orphans';
  const core = internalsOf(provider)?.core;
  if (!core?.driver.inspect) return [];
  const { driver } = core;
  const call = core.call('doctor');
  let [looked, found, told] = [0, 0, 0];
  let after: string | undefined;
  do {
    const inspect = { after, limit: PAGE, fix };
    const page: Inspection = await core.trip(call, (trip) => driver.inspect?.(inspect, trip) ?? Promise.resolve(NOTHING), { signal });
    looked += page.looked;
    found += page.orphans;
    after = page.after;
    if (looked - told >= 100 * PAGE) {
      told = looked;
      out.note(`${looked} looked at`);
    }
  } while (after !== undefined);
  if (found === 0) return [{ check, level: 'ok', detail: `Nothing that belongs to no conversation (${looked} looked at).` }];
  const what = `${counted(found, 'piece')} of data without a conversation (${looked} looked at)`;
  if (fix) {
    await reapAll(core, call, { signal });
    return [{ check, level: 'note', detail: `Removed: ${what}.` }];
  }
  return [
    { check, level: 'problem', detail: `${what}.`, advice: 'Nobody can read it; it takes space: jaf-memory doctor --fix removes it.' },
  ];
}

/** Removes what nobody can see: what has expired, and what deletions left behind. */
export async function purged(provider: MemoryProvider, { signal }: Session): Promise<Finding[]> {
  const core = internalsOf(provider)?.core;
  if (!core) return [];
  const removed = await purgeOver(core, core.call('doctor'), undefined, { signal });
  return [
    { check: 'purge', level: 'note', detail: `${counted(removed, 'expired conversation')} removed, and what deletions had left behind.` },
  ];
}
