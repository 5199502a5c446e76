/**
 * Where a configuration points to: one host or several, of which one takes writes.
 *
 * @module
 */
import type { PostgresConfig } from '../../types.js';

/** One server: a host name, an address or the folder of a Unix socket, and a port. */
export interface Host {
  readonly host: string;
  readonly port: number;
}

/** What a connection needs of its server: nothing, that it is no standby, that a transaction on it may write. */
export type Needs = 'any' | 'primary' | 'read-write';

/** Where and as whom to connect. */
export interface Target {
  readonly hosts: readonly Host[];
  readonly needs: Needs;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: string | undefined;
  /** Milliseconds for one host (`connect_timeout`). */
  readonly patience: number | undefined;
  /** Parameters of the URL that `pg` passes on to the server. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Files the URL names: setting of the TLS client → path. */
  readonly files: Readonly<Record<string, string>>;
}

const PORT = 5432;
/** Parameters of a URL that go to the client as they are. Everything else that `libpq` knows and `pg` does not is left out. */
const PASSED = [
  'application_name',
  'fallback_application_name',
  'options',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'sslnegotiation',
];
/** Parameters that name files, and the setting of the TLS client they fill. */
export const TLS_FILES: Readonly<Record<string, 'ca' | 'cert' | 'key'>> = { sslrootcert: 'ca', sslcert: 'cert', sslkey: 'key' };

/**
 * Takes several hosts out of the authority of a connection string, which `URL` would refuse: they become `?host=…&port=…`,
 * which means the same.
 *
 * @param text - a connection string
 * @returns the string with one host, and the list; undefined when what stands there is no list of hosts
 */
export function takeHosts(text: string): { readonly text: string; readonly hosts?: string; readonly ports?: string } | undefined {
  const [, scheme, authority, rest] = /^([a-z]+:\/\/)([^/?#]*)([^]*)$/i.exec(text) ?? [];
  if (scheme === undefined || authority === undefined || rest === undefined) return { text };
  const at = authority.lastIndexOf('@') + 1;
  const list = authority.slice(at);
  // a user without a host is no URL; any host will do, because the caller's or a parameter is asked next
  if (list === '' && at > 0) return { text: `${scheme}${authority}localhost${rest}`, hosts: '' };
  if (!list.includes(',')) return { text };
  const parts = list.split(',').map((part) => /^(?:\[([0-9a-f:.%]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/i.exec(part));
  const hosts: string[] = [];
  for (const part of parts) {
    const host = part?.[1] ?? part?.[2];
    if (host === undefined) return undefined;
    try {
      hosts.push(decodeURIComponent(host));
    } catch {
      return undefined;
    }
  }
  const ports = parts.some((part) => part?.[3] !== undefined) ? parts.map((part) => part?.[3] ?? String(PORT)).join(',') : undefined;
  return {
    text: `${scheme}${authority.slice(0, at)}localhost${rest}`,
    hosts: hosts.join(','),
    ...(ports === undefined ? {} : { ports }),
  };
}

/**
 * Pairs hosts with ports as `libpq` does: one port for all, or one for each.
 *
 * @param hosts - `h1,h2`
 * @param ports - `5432` or `5432,5433`; empty: 5432
 * @returns undefined when they do not fit together
 */
export function pairHosts(hosts: string, ports: string): readonly Host[] | undefined {
  const names = hosts.split(',').map((name) => name.trim());
  const numbers = ports.split(',').map((port) => (port.trim() === '' ? PORT : /^\d{1,5}$/.test(port.trim()) ? Number(port) : 0));
  if (numbers.length !== 1 && numbers.length !== names.length) return undefined;
  if (names.includes('') || numbers.some((port) => port < 1 || port > 65_535)) return undefined;
  return names.map((host, i) => ({ host, port: numbers[i] ?? numbers[0] ?? PORT }));
}

/**
 * Where a configuration points to.
 *
 * @param config - checked: its connection string is a URL, and names nothing the single fields name too
 */
export function targetOf(config: PostgresConfig): Target {
  const url = config.connectionString === undefined ? undefined : new URL(config.connectionString);
  const parameter = (name: string): string | undefined => url?.searchParams.get(name) || undefined;
  const part = (text: string | undefined): string | undefined => (text ? decodeURIComponent(text) : undefined);
  const host = parameter('host') ?? part(url?.hostname)?.replace(/^\[(.*)\]$/, '$1') ?? config.host ?? 'localhost';
  const hosts = pairHosts(host, parameter('port') ?? (url?.port || String(config.port ?? PORT)));
  if (!hosts) throw new Error('hosts and ports that do not fit together were not noticed before');
  const seconds = Number(parameter('connect_timeout'));
  const pick = (names: readonly string[]): Record<string, string> =>
    Object.fromEntries(names.flatMap((name): [string, string][] => [[name, parameter(name) ?? '']]).filter(([, value]) => value !== ''));
  return {
    hosts,
    needs: (parameter('target_session_attrs') as Needs | undefined) ?? (hosts.length > 1 ? 'read-write' : 'any'),
    user: parameter('user') ?? part(url?.username) ?? config.username,
    password: parameter('password') ?? part(url?.password) ?? config.password,
    database: parameter('dbname') ?? part(url?.pathname.slice(1)) ?? config.database,
    patience: seconds > 0 ? seconds * 1000 : undefined,
    parameters: pick(PASSED),
    files: pick(Object.keys(TLS_FILES)),
  };
}

/** `host:port`, with IPv6 addresses in brackets. */
export function hostText({ host, port }: Host): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
