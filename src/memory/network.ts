/**
 * What failures of sockets mean, for clients of servers.
 *
 * @module
 */

/** Nothing was sent: why there is no connection, by Node's error code. */
export const REFUSED: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at the server’s address',
  ENOTFOUND: 'the server’s host name is unknown',
  EAI_AGAIN: 'the server’s host name cannot be looked up now',
  EHOSTUNREACH: 'the server cannot be reached',
  ENETUNREACH: 'the server cannot be reached',
  ENOENT: 'there is no such socket',
  EACCES: 'the socket may not be used by this user',
};

/** A connection broke: what was sent may have arrived. */
export const LOST: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED']);

/** Codes of failures of TLS. */
export const TLS: RegExp = /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET))/;
