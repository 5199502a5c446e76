/**
 * Takes connection URLs apart. What a URL names wins over the single fields, and fields fill in what it leaves out; of
 * two statements about encryption the stricter one holds, and two that exclude each other are an error. No text of a
 * URL ever gets into an error: it may hold a password.
 *
 * @module
 */
import type { MemoryConfigError } from './errors.js';
import type { Problem } from './config.js';
import { pairHosts, takeHosts } from './providers/postgres/hosts.js';
import type { PostgresConfig, RedisConfig } from './types.js';

type Fail = (problem: Problem) => MemoryConfigError;

const ENCODE = 'Percent-encode special characters in user and password (@ is %40, : is %3A, / is %2F, # is %23, % is %25).';

/** A URL with one of the given schemes, or an error that does not show it. */
function parse(value: string, setting: string, schemes: readonly string[], example: string, fail: Fail): URL {
  const bad = (expected: string, hint?: string): MemoryConfigError => fail({ setting, expected, value, secret: true, hint });
  if (/\s/.test(value)) {
    throw bad(
      `a URL such as ${example}, without spaces`,
      / #/.test(value) ? 'Is that a comment? Some readers of .env files (docker --env-file) keep it as part of the value.' : undefined,
    );
  }
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    throw bad(`a URL such as ${example}`, ENCODE);
  }
  if (!schemes.includes(url.protocol)) throw bad(`a URL that begins with ${schemes.map((s) => `${s}//`).join(' or ')}`);
  if (url.hash !== '') throw bad(`a URL such as ${example}, without "#"`, ENCODE);
  return url;
}

function decoded(part: string, setting: string, fail: Fail): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw fail({ setting, expected: 'a URL whose user, password and path are percent-encoded', value: '', secret: true, hint: ENCODE });
  }
}

/** IPv6 addresses stand in brackets in a URL and without them elsewhere. */
const bare = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

/**
 * Replaces `url` by the parts it names. `redis://token@host` (no colon) is a password; `rediss:` means TLS.
 *
 * @param config - checked, field by field
 * @param fail - makes the error for a bad field
 * @returns the parts, without `url`; without `host` and `port` when sentinels or cluster nodes are given
 */
export function mergeRedisUrl(config: RedisConfig, fail: Fail): RedisConfig {
  const { url: value, ...parts } = config;
  const merged: RedisConfig = parts;
  if (value !== undefined) {
    const url = parse(value, 'url', ['redis:', 'rediss:'], 'redis://localhost:6379/0', fail);
    const [user, password] = [decoded(url.username, 'url', fail), decoded(url.password, 'url', fail)];
    if (url.hostname !== '') merged.host = bare(decoded(url.hostname, 'url', fail));
    if (url.port !== '') merged.port = Number(url.port);
    if (password !== '') {
      merged.password = password;
      if (user === '') delete merged.username;
      else merged.username = user;
    } else if (user !== '') merged.password = user;
    const path = url.pathname.replace(/^\//, '');
    if (path !== '') {
      if (!/^\d{1,9}$/.test(path)) {
        throw fail({ setting: 'url', expected: 'a URL whose path is the number of a database, such as /0', value, secret: true });
      }
      merged.db = Number(path);
    }
    if (url.search !== '') {
      throw fail({
        setting: 'url',
        expected: 'a URL without parameters ("?…")',
        value,
        secret: true,
        hint: 'Use the single settings instead.',
      });
    }
    if (url.protocol === 'rediss:') {
      if (merged.tls === false) {
        throw fail({ setting: 'tls', expected: 'true or left out when the URL begins with rediss:', value: false });
      }
      merged.tls ??= true;
    }
  }
  if (merged.sentinels ?? merged.clusterNodes) {
    delete merged.host;
    delete merged.port;
  }
  return merged;
}

/** How much a statement about encryption asks for; `open` leaves the choice to the server. */
type SslMode = 'off' | 'open' | 'encrypted' | 'authority' | 'full';
const STRICTNESS: readonly SslMode[] = ['off', 'open', 'encrypted', 'authority', 'full'];
const SSL_MODES: Readonly<Record<string, SslMode>> = {
  disable: 'off',
  allow: 'open',
  prefer: 'open',
  require: 'encrypted',
  'no-verify': 'encrypted',
  'verify-ca': 'authority',
  'verify-full': 'full',
};
const SSL_FLAGS: Readonly<Record<string, SslMode>> = { true: 'full', '1': 'full', false: 'off', '0': 'off' };
const REFUSED_FILES = ['sslpassword', 'sslcrl', 'sslcrldir'];

/** What the URL says about encryption, taken out of it; names of files stay. */
function takeSslMode(url: URL, fail: Fail): SslMode | undefined {
  for (const name of REFUSED_FILES) {
    if (url.searchParams.has(name)) {
      throw fail({
        setting: 'connectionString',
        expected: `a URL without ${name}`,
        value: '',
        secret: true,
        hint: 'Pass the options of the TLS client to createPostgresProvider as ssl: { ca, cert, key, passphrase, crl }.',
      });
    }
  }
  const mode = url.searchParams.get('sslmode');
  const flag = url.searchParams.get('ssl');
  for (const name of ['sslmode', 'ssl', 'uselibpqcompat']) if (url.searchParams.has(name)) url.searchParams.delete(name);
  // as libpq: whoever names an authority wants it checked, and direct negotiation is TLS
  const authority = url.searchParams.get('sslrootcert');
  const files = authority ?? url.searchParams.get('sslcert');
  const implied = files !== null || url.searchParams.get('sslnegotiation') === 'direct' ? 'full' : undefined;
  const named = mode === null ? implied : SSL_MODES[mode];
  const byMode = named !== 'encrypted' || authority === null ? named : authority === 'system' ? 'full' : 'authority';
  const byFlag = flag === null ? undefined : SSL_FLAGS[flag];
  if (mode !== null && named === undefined) {
    throw fail({
      setting: 'connectionString',
      expected: `a URL whose sslmode is one of ${Object.keys(SSL_MODES).join(', ')}`,
      value: '',
      secret: true,
    });
  }
  if (flag !== null && byFlag === undefined) {
    throw fail({ setting: 'connectionString', expected: 'a URL whose ssl is true or false', value: '', secret: true });
  }
  return stricter(byMode, byFlag, 'connectionString', fail);
}

/** The stricter of two statements; "off" and any kind of encryption exclude each other. */
function stricter(a: SslMode | undefined, b: SslMode | undefined, setting: string, fail: Fail): SslMode | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  if (a === 'open' || b === 'open') return a === 'open' ? b : a;
  if ((a === 'off') !== (b === 'off')) {
    throw fail({
      setting,
      expected: 'in agreement about encryption: the connection string and the setting contradict each other',
      value: '',
      secret: true,
      hint: 'Take one of them out.',
    });
  }
  return STRICTNESS.indexOf(a) > STRICTNESS.indexOf(b) ? a : b;
}

function modeOf(ssl: boolean | object): SslMode {
  if (typeof ssl === 'boolean') return ssl ? 'full' : 'off';
  const { rejectUnauthorized, checkServerIdentity } = ssl as { rejectUnauthorized?: unknown; checkServerIdentity?: unknown };
  if (rejectUnauthorized === false) return 'encrypted';
  return checkServerIdentity === undefined ? 'full' : 'authority';
}

/** The option of the TLS client. */
function sslOf(mode: SslMode, fail: Fail): boolean | object {
  switch (mode) {
    case 'off':
      return false;
    case 'encrypted':
      return { rejectUnauthorized: false };
    case 'authority':
      return { rejectUnauthorized: true, checkServerIdentity: () => undefined };
    case 'full':
      return true;
    case 'open':
      // falling back to clear text is what sslmode=prefer asks for, and what nobody notices
      throw fail({
        setting: 'connectionString',
        expected: 'a URL with sslmode=disable, require, verify-ca or verify-full (prefer and allow may go on in clear text)',
        value: '',
        secret: true,
      });
  }
}

/** Checks the hosts of a URL, and what is asked of them. */
function checkHosts(url: URL, bad: (expected: string, hint?: string) => MemoryConfigError): void {
  if (!pairHosts(url.searchParams.get('host') || 'localhost', url.searchParams.get('port') ?? ''))
    throw bad('a URL with as many ports as hosts, or one port for all, each from 1 to 65535');
  const needs = url.searchParams.get('target_session_attrs');
  if (needs !== null && !['any', 'primary', 'read-write'].includes(needs)) {
    throw bad(
      'a URL whose target_session_attrs is any, primary or read-write',
      'For a provider that only reads name the standby alone, without target_session_attrs.',
    );
  }
  const patience = url.searchParams.get('connect_timeout');
  if (patience !== null && !/^\d{1,6}$/.test(patience)) throw bad('a URL whose connect_timeout is a whole number of seconds');
}

/**
 * Takes `sslmode` out of the connection string into an explicit `ssl`, and leaves out the fields the string names.
 *
 * @param config - checked, field by field
 * @param fail - makes the error for a bad field
 */
export function mergePostgresUrl(config: PostgresConfig, fail: Fail): PostgresConfig {
  if (config.connectionString === undefined) return config;
  const bad = (expected: string, hint?: string): MemoryConfigError =>
    fail({ setting: 'connectionString', expected, value: '', secret: true, hint });
  const list = takeHosts(config.connectionString);
  if (!list) throw bad('a URL whose hosts are written as host1:5432,host2:5432 or [::1]:5432', ENCODE);
  const url = parse(list.text, 'connectionString', ['postgresql:', 'postgres:'], 'postgresql://user:password@localhost:5432/jaf', fail);
  for (const part of [url.username, url.password, url.hostname, url.pathname]) decoded(part, 'connectionString', fail);
  const merged: PostgresConfig = { ...config };
  if (list.hosts !== undefined && !url.searchParams.has('host')) {
    const named = list.hosts || config.host;
    if (named !== undefined) url.searchParams.set('host', named);
  }
  if (list.ports !== undefined && !url.searchParams.has('port')) url.searchParams.set('port', list.ports);
  checkHosts(url, bad);
  const mode = takeSslMode(url, fail);
  if (mode !== undefined) {
    const own = config.ssl;
    const agreed = stricter(mode, own === undefined ? undefined : modeOf(own), 'ssl', fail) ?? mode;
    if (typeof own === 'object' && STRICTNESS.indexOf(modeOf(own)) < STRICTNESS.indexOf(agreed)) {
      throw fail({ setting: 'ssl', expected: 'at least as strict as the sslmode of the connection string', value: '', secret: true });
    }
    merged.ssl = typeof own === 'object' ? own : sslOf(agreed, fail);
  }
  merged.connectionString = url.href;
  if (url.hostname !== '' || url.searchParams.has('host')) delete merged.host;
  if (url.port !== '' || url.searchParams.has('port')) delete merged.port;
  if (url.pathname.length > 1 || url.searchParams.has('dbname')) delete merged.database;
  if (url.username !== '' || url.searchParams.has('user')) delete merged.username;
  if (url.password !== '' || url.searchParams.has('password')) delete merged.password;
  return merged;
}
