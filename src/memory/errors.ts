/**
 * The errors of the memory. Each has a stable `code`, says whether trying again can help (`retryable`) and whether the
 * write may have happened (`outcome`). None holds message content, credentials or query parameters.
 *
 * @module
 */

/** Fields of every error. */
export interface MemoryErrorFields {
  /** Name of the backend, e.g. `sqlite`. */
  readonly provider: string;
  /** Default: that of the class (`error` for {@link MemoryError} itself). */
  readonly code?: string | undefined;
  /** Default false; true for {@link MemoryConnectionError}. */
  readonly retryable?: boolean | undefined;
  /** `not_applied` (default): nothing was written. `unknown`: the write may or may not have happened. */
  readonly outcome?: 'not_applied' | 'unknown' | undefined;
}

/** The base of all errors here: `catch (e) { if (e instanceof MemoryError) … }`. */
export class MemoryError extends Error {
  /** Stable, machine-readable. */
  readonly code: string;
  /** Name of the backend, e.g. `sqlite`; `custom` for a provider of your own, `none` where no store took part. */
  readonly provider: string;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /**
   * `not_applied`: nothing was written. `unknown`: it may or may not have been; only a write with an `operationId` can be
   * sent again without risk of happening twice.
   */
  readonly outcome: 'not_applied' | 'unknown';
  /**
   * @param message - what, why, and what to do; shown as `[jaf: code] message`
   * @param fields - see {@link MemoryErrorFields}
   */
  constructor(message: string, fields: MemoryErrorFields) {
    const code = fields.code ?? 'error';
    super(`[jaf: ${code}] ${message}`);
    this.name = new.target.name;
    this.code = code;
    this.provider = fields.provider;
    this.retryable = fields.retryable ?? false;
    this.outcome = fields.outcome ?? 'not_applied';
  }
}

/** The store could not be reached or did not answer. Codes: `refused`, `lost`, `timeout`, `overloaded`, `closed`, `unreplicated`. */
export class MemoryConnectionError extends MemoryError {
  constructor(message: string, fields: MemoryErrorFields) {
    super(message, { retryable: true, ...fields, code: fields.code ?? 'lost' });
  }
}

/** There is no such conversation, or it has expired. Code: `not_found`. */
export class MemoryNotFoundError extends MemoryError {
  /** The id that was asked for. */
  readonly conversationId: string;
  constructor(message: string, fields: MemoryErrorFields & { readonly conversationId: string }) {
    super(message, { ...fields, code: fields.code ?? 'not_found' });
    this.conversationId = fields.conversationId;
  }
}

/** The store answered with a failure. Codes: `storage`, `corrupt` (stored data is damaged), `unsupported`. */
export class MemoryStorageError extends MemoryError {
  /** The method that failed. */
  readonly operation: string;
  constructor(message: string, fields: MemoryErrorFields & { readonly operation: string }) {
    super(message, { ...fields, code: fields.code ?? 'storage' });
    this.operation = fields.operation;
  }
}

/** Somebody else wrote first. Codes: `version` (not the expected version), `operation_reused` (an operation id with other content). */
export class MemoryConflictError extends MemoryError {
  /** The version the caller named; absent when it named none. */
  readonly expectedVersion?: number;
  /** The version the conversation has; 0 = there is none. */
  readonly actualVersion?: number;
  constructor(
    message: string,
    fields: MemoryErrorFields & { readonly expectedVersion?: number | undefined; readonly actualVersion?: number | undefined },
  ) {
    super(message, { ...fields, code: fields.code ?? 'version' });
    if (fields.expectedVersion !== undefined) this.expectedVersion = fields.expectedVersion;
    if (fields.actualVersion !== undefined) this.actualVersion = fields.actualVersion;
  }
}

/** Not allowed. Codes: `owner` (another user's conversation), `erased` (the user was erased), `legal_hold`. */
export class MemoryAccessError extends MemoryError {
  constructor(message: string, fields: MemoryErrorFields) {
    super(message, { ...fields, code: fields.code ?? 'owner' });
  }
}

/** An argument is not what it must be; nothing was written. Code: `invalid`. */
export class MemoryValidationError extends MemoryError {
  /** Each thing that is wrong: where, and why. */
  readonly issues: readonly { readonly path: string; readonly reason: string }[];
  constructor(
    message: string,
    fields: MemoryErrorFields & { readonly issues: readonly { readonly path: string; readonly reason: string }[] },
  ) {
    super(message, { ...fields, code: fields.code ?? 'invalid' });
    this.issues = fields.issues;
  }
}

/** A setting is wrong or something it needs is missing. Codes: `config`, `missing_peer`, `schema_newer`. */
export class MemoryConfigError extends MemoryError {
  /** The option or environment variable. */
  readonly setting: string;
  constructor(message: string, fields: MemoryErrorFields & { readonly setting: string }) {
    super(message, { ...fields, code: fields.code ?? 'config' });
    this.setting = fields.setting;
  }
}

/** The caller's `AbortSignal` ended the call. Code: `aborted`; its `name` is `AbortError`, as for every aborted API. */
export class MemoryAbortError extends MemoryError {
  constructor(message: string, fields: MemoryErrorFields) {
    super(message, { ...fields, code: fields.code ?? 'aborted' });
    this.name = 'AbortError';
  }
}
