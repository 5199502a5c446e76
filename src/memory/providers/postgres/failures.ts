/**
 * What failures of PostgreSQL, its client and the network mean. The server's own messages are never passed on: they can
 * quote SQL and values.
 *
 * @module
 */
import type { Classified } from '../../driver.js';
import { LOST, REFUSED, TLS } from '../../network.js';

/** There is no connection; nothing was sent. */
export class NotConnectedError extends Error {
  constructor(cause: unknown) {
    super('no connection', { cause });
  }
}

/** The server that took the connection takes no writes, and one that does was asked for. */
export class NotWritableError extends Error {
  readonly standby: boolean;

  /** @param standby - a standby, or a primary whose transactions are read-only */
  constructor(standby: boolean) {
    super('not writable');
    this.standby = standby;
  }
}

/** None of several hosts took a connection. */
export class HostsError extends Error {
  readonly failures: readonly { readonly host: string; readonly failure: unknown }[];

  /** @param failures - what each said; `host` as `host:port` */
  constructor(failures: HostsError['failures']) {
    super('no host took the connection');
    this.failures = failures;
  }
}

/** No connection of the pool was free in time; nothing was sent. */
export class PoolBusyError extends Error {}

/** A statement was sent and not answered in time. */
export class TripTimeoutError extends Error {}

/** The five characters of an error the server sent; undefined for everything else. */
export function sqlState(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code) ? code : undefined;
}

/** The {@link sqlState} of a failure to connect; of several hosts each one's. */
export function statesOf(cause: unknown): readonly (string | undefined)[] {
  return cause instanceof HostsError ? cause.failures.map(({ failure }) => sqlState(failure)) : [sqlState(cause)];
}

/** Whether a connection is as good as before after this failure. */
export function isSane(error: unknown): boolean {
  const state = sqlState(error);
  if (state === undefined) return false;
  const { severity } = error as { severity?: unknown };
  // a read-only server may be a primary that was: another connection may find the new one
  return severity === 'ERROR' && !/^(08|57P|25006|26000|0A000)/.test(state);
}

const GRANT = 'GRANT USAGE on the schema and SELECT, INSERT, UPDATE, DELETE on the tables of the store to this role';

const RESHAPED: Classified = {
  kind: 'config',
  reason: 'the tables of the store have another shape than this version expects (moved to another layout?)',
};

/** By SQLSTATE, else by class. */
const STATES: Readonly<Record<string, Classified>> = {
  '08001': { kind: 'refused', reason: 'the server does not accept connections' },
  '08004': { kind: 'refused', reason: 'the server rejected the connection' },
  '08P01': {
    kind: 'config',
    reason: 'the server or a pooler in front of it refused the protocol; behind PgBouncer set preparedStatements: false',
  },
  '0A000': { kind: 'retryable', reason: 'the tables were altered since the statement was prepared' },
  '22021': { kind: 'storage', reason: 'the database is not UTF-8 encoded' },
  '22P05': { kind: 'storage', reason: 'the database cannot hold a character' },
  // waits as for a connection: another attempt means another one
  '25006': {
    kind: 'refused',
    reason: 'the server is read-only (a standby, or default_transaction_read_only); connect to the primary, or name all servers in the URL',
  },
  '25P02': { kind: 'storage', reason: 'the caller’s transaction has failed before; roll it back' },
  '26000': { kind: 'config', reason: 'a prepared statement is gone; behind a pooler in transaction mode set preparedStatements: false' },
  '28000': {
    kind: 'config',
    reason:
      'the server does not let this user in: is the role there, does pg_hba.conf name it, does the server want TLS (ssl: true) or a client’s certificate (ssl: { cert, key })',
  },
  '28P01': { kind: 'config', reason: 'the server rejected the password; check the settings "username" and "password"' },
  '3D000': { kind: 'config', reason: 'there is no such database; create it, or correct the setting "database"' },
  '3F000': { kind: 'config', reason: 'there is no such schema; create it, or correct the setting "schema"' },
  '42501': { kind: 'config', reason: `the database role may not do this (permission denied): ${GRANT}` },
  '42703': RESHAPED,
  '42804': RESHAPED,
  '42883': RESHAPED,
  '42P01': { kind: 'config', reason: 'a table of the store does not exist (dropped, or another search_path?)' },
  '42P05': {
    kind: 'config',
    reason: 'a prepared statement is there already; behind a pooler in transaction mode set preparedStatements: false',
  },
  '53100': { kind: 'storage', reason: 'the disk of the server is full' },
  '53200': { kind: 'storage', reason: 'the server is out of memory' },
  '53300': { kind: 'retryable', reason: 'the server has too many connections' },
  '55006': { kind: 'retryable', reason: 'an object is in use' },
  '55P03': { kind: 'retryable', reason: 'a lock was not available in time' },
  '57014': { kind: 'retryable', reason: 'the server cancelled the statement (statement_timeout)' },
  '57P03': { kind: 'refused', reason: 'the server is starting up or shutting down' },
  '57P04': { kind: 'config', reason: 'the database was dropped' },
  XX001: { kind: 'corrupt', reason: 'the server reports damaged data' },
  XX002: { kind: 'corrupt', reason: 'the server reports a damaged index; try REINDEX' },
};
const CLASSES: Readonly<Record<string, Classified>> = {
  '08': { kind: 'lost', reason: 'the connection to the server was lost' },
  '28': { kind: 'config', reason: 'the server rejected user name or password (or pg_hba.conf does)' },
  '40': { kind: 'retryable', reason: 'another transaction was in the way (serialization failure or deadlock)' },
  '57': { kind: 'lost', reason: 'the server ended the connection' },
};

/**
 * What a failure means. Never throws.
 *
 * @param error - anything thrown by the driver
 */
export function classify(error: unknown): Classified {
  if (error instanceof TripTimeoutError) return { kind: 'timeout', reason: 'the server did not answer in time' };
  if (error instanceof PoolBusyError) return { kind: 'retryable', reason: 'no connection of the pool was free in time' };
  if (error instanceof NotConnectedError) return connectionFailure(error.cause);
  if (error instanceof SyntaxError) return { kind: 'corrupt', reason: 'a stored row is damaged (not JSON)' };
  const state = sqlState(error);
  if (state !== undefined)
    return STATES[state] ?? CLASSES[state.slice(0, 2)] ?? { kind: 'storage', reason: `PostgreSQL failed with SQLSTATE ${state}` };
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string' && REFUSED[code] !== undefined) return { kind: 'refused', reason: REFUSED[code] };
  // said by the client before it sends
  if (typeof message === 'string' && /not queryable/i.test(message)) return { kind: 'refused', reason: 'the connection is closed' };
  if (typeof code === 'string' && LOST.has(code)) return { kind: 'lost', reason: `the connection to the server was lost (${code})` };
  if (typeof message === 'string' && /connection terminated/i.test(message))
    return { kind: 'lost', reason: 'the connection to the server was lost' };
  return {
    kind: 'storage',
    reason: `the PostgreSQL driver failed (${error instanceof Error ? (typeof code === 'string' ? code : error.name) : typeof error})`,
  };
}

/** What to do about a certificate. */
function tlsFailure(code: string): string {
  const what = `the TLS connection failed (${code})`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `${what}: the server’s certificate is for another host name; connect by a name it holds, or accept any name of its authority with sslmode=verify-ca`;
  if (code === 'CERT_HAS_EXPIRED') return `${what}: the server’s certificate has expired; renew it`;
  if (code === 'CERT_NOT_YET_VALID') return `${what}: the server’s certificate is not valid yet; compare the clocks`;
  if (/^(DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET))/.test(code))
    return `${what}: the authority of the server’s certificate is unknown; pass it as ssl: { ca } (sslrootcert in the URL), or connect without checking it with ssl: { rejectUnauthorized: false } (sslmode=require)`;
  if (/ALERT|HANDSHAKE/.test(code)) return `${what}: the server did not accept the client’s certificate or version; see ssl: { cert, key }`;
  return `${what}: check the texts in the setting "ssl" (ca, cert, key)`;
}

/** Why there is no connection: nothing was sent, whatever it was. */
function connectionFailure(cause: unknown): Classified {
  if (cause instanceof HostsError) {
    const each = cause.failures.map(({ host, failure }) => ({ host, ...connectionFailure(failure) }));
    return {
      // as long as one of them may come back, it is worth trying again
      kind: each.every(({ kind }) => kind === 'config') ? 'config' : 'refused',
      reason: `none of the servers took the connection: ${each.map(({ host, reason }) => `${host}: ${reason}`).join('; ')}`,
    };
  }
  if (cause instanceof NotWritableError)
    return { kind: 'refused', reason: cause.standby ? 'it is a standby, which takes no writes' : 'its transactions are read-only' };
  const { code, message, errors } = (cause ?? {}) as { code?: unknown; message?: unknown; errors?: unknown };
  const text = typeof message === 'string' ? message : '';
  if (/does not support SSL/i.test(text)) {
    return {
      kind: 'config',
      reason:
        'the server has no TLS, and going on in clear text is not what was asked for; set ssl: false (sslmode=disable) if that is meant',
    };
  }
  if (typeof code === 'string' && TLS.test(code)) return { kind: 'config', reason: tlsFailure(code) };
  if (/SASL|password must be/i.test(text))
    return { kind: 'config', reason: 'the server wants a password, and none (or no usable one) is configured' };
  if (Array.isArray(errors) && errors.length > 0 && code === undefined) return connectionFailure(errors[0]);
  if (/timeout/i.test(text)) return { kind: 'refused', reason: 'the server did not take the connection in time' };
  const meaning = classify(cause);
  return meaning.kind === 'lost' || meaning.kind === 'timeout' || meaning.kind === 'storage'
    ? { kind: 'refused', reason: 'the server took no connection' }
    : meaning;
}
