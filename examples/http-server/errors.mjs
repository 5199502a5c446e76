// From errors to HTTP: the status says what a client can do, the body says which error it was.
import { RunError } from 'jaf';
import { MemoryError } from 'jaf/memory';

/** Status by `MemoryError.code`; docs/http-api.md has the same table. */
export const STATUS = {
  invalid: 400,
  owner: 403,
  erased: 403,
  not_found: 404,
  version: 409,
  legal_hold: 409,
  operation_reused: 422,
  aborted: 499,
  storage: 500,
  corrupt: 500,
  internal: 500,
  config: 500,
  missing_peer: 500,
  schema_newer: 500,
  unsupported: 501,
  refused: 503,
  lost: 503,
  overloaded: 503,
  closed: 503,
  unreplicated: 503,
  timeout: 504,
};

/** An error of this server. */
export class HttpError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * What a client is told. The text of errors on our side may name hosts and files: it goes to the log, not to the client.
 *
 * @param {unknown} error
 */
export function describeError(error) {
  if (error instanceof HttpError) return { status: error.status, code: error.code, message: error.message, retryable: false };
  if (error instanceof MemoryError) {
    const status = STATUS[error.code] ?? 500;
    const { code, retryable, outcome } = error;
    return { status, code, message: status < 500 ? error.message : `The store failed (${code}).`, retryable, outcome };
  }
  if (error instanceof RunError) return { status: 502, code: error.code, message: error.message, retryable: false };
  return { status: 502, code: 'model_failed', message: 'The model failed.', retryable: true };
}
