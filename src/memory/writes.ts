/**
 * From the arguments of a write to a {@link Write}, and from its outcome to a receipt or an error.
 *
 * @module
 */
import { hash } from 'node:crypto';
import { QUEUE_BYTES, type QueuedWrite } from './coalesce.js';
import { encodeMessage, encodeMetadata, weightOf } from './codec.js';
import type { Body, RemoveOutcome, WriteOutcome, WriterMark } from './driver.js';
import { MemoryAccessError, MemoryConflictError, type MemoryError, MemoryNotFoundError, MemoryStorageError } from './errors.js';
import { type CallContext, describeCall } from './retry.js';
import type { AppendOptions, ConversationSnapshot, Message, MessageInput, ProviderOptions, RestoreOptions, WriteReceipt } from './types.js';
import { kindOf, Problems } from './problems.js';
import { checkDate, checkId, checkInteger, checkMessages, checkMetadata, checkOptionNames, checkSignal, checkTtl } from './validate.js';

/** What a provider or handle adds to every write. */
export interface WriteScope {
  readonly now: number;
  readonly mark: WriterMark;
  /** The user of a `forUser` handle. */
  readonly scope: string | undefined;
  readonly defaults: ProviderOptions;
  readonly call: CallContext;
}

/** A checked write, its size in the queue, and what the layer does afterwards. */
export interface PreparedWrite {
  readonly write: QueuedWrite;
  /** About: see `weightOf`. */
  readonly bytes: number;
  readonly compressionThreshold: number | undefined;
}

const WRITE_OPTIONS = [
  'userId',
  'traceId',
  'ttl',
  'maxMessages',
  'compressionThreshold',
  'expectedVersion',
  'operationId',
  'signal',
] as const;
const STORE_NAMES: ReadonlySet<string> = new Set(WRITE_OPTIONS);
const APPEND_NAMES: ReadonlySet<string> = new Set([...WRITE_OPTIONS, 'createIfMissing']);
const RESTORE_NAMES: ReadonlySet<string> = new Set(['onConflict', 'expectedVersion']);

/**
 * Checks the arguments of `storeMessages` and `appendMessages` and copies them: nothing the caller changes later reaches
 * the store.
 *
 * @throws MemoryValidationError naming everything that is wrong; MemoryAccessError when a handle names another owner
 */
export function prepareWrite(
  kind: 'put' | 'append',
  id: string,
  messages: readonly MessageInput[],
  metadata: object | undefined,
  options: AppendOptions | undefined,
  scope: WriteScope,
): PreparedWrite {
  const problems = new Problems();
  checkId('conversationId', id, problems);
  const copies = checkMessages(messages, problems);
  const reserved = checkMetadata(metadata, problems, true);
  if (checkOptionNames(options, kind === 'put' ? STORE_NAMES : APPEND_NAMES, problems)) checkWriteOptions(options, problems);
  const owner = agreedOwner(options?.userId, reserved.owner, problems);
  const trace = options?.traceId ?? reserved.trace;
  if (options?.traceId !== undefined && reserved.trace !== undefined && options.traceId !== reserved.trace) {
    problems.add('options.traceId', 'contradicts the trace in the metadata');
  }
  const bodies = copies.map(encodeMessage);
  const bytes = sizeOf(copies, bodies, problems);
  problems.throwIfAny(scope.call);
  const text = metadata === undefined ? undefined : encodeMetadata(metadata);
  const { defaults } = scope;
  const write: QueuedWrite = {
    kind,
    id,
    now: scope.now,
    writer: scope.mark,
    retry: false,
    scoped: scope.scope !== undefined,
    owner: scopedOwner(owner, scope),
    trace,
    create: kind === 'put' || options?.createIfMissing === true,
    expectedVersion: options?.expectedVersion,
    operation: options?.operationId === undefined ? undefined : operationOf(options.operationId, kind, bodies, text),
    bodies,
    metadata: text,
    hold: reserved.hold ?? (kind === 'put' && metadata !== undefined ? false : undefined),
    ttl: typeof options?.ttl === 'number' ? milliseconds(options.ttl) : options?.ttl,
    defaultTtl: defaults.ttl === undefined ? undefined : milliseconds(defaults.ttl),
    maxMessages: smaller(options?.maxMessages, defaults.maxMessages),
  };
  return { write, bytes, compressionThreshold: options?.compressionThreshold ?? defaults.compressionThreshold };
}

/**
 * Checks the arguments of `restoreConversation`.
 *
 * @throws MemoryValidationError; MemoryAccessError when a handle restores another's conversation
 */
export function prepareRestore(snapshot: ConversationSnapshot, options: RestoreOptions, scope: WriteScope): PreparedWrite {
  const problems = new Problems();
  if (typeof snapshot !== 'object' || snapshot === null) {
    problems.add('snapshot', `expected an object, got ${kindOf(snapshot)}`);
    problems.throwIfAny(scope.call);
  }
  checkId('conversationId', snapshot.conversationId, problems);
  if (snapshot.userId !== undefined) checkId('userId', snapshot.userId, problems);
  if (snapshot.traceId !== undefined) checkId('traceId', snapshot.traceId, problems);
  const copies = checkMessages(snapshot.messages, problems);
  const given = Array.isArray(snapshot.messages) ? snapshot.messages.length : 0;
  if (snapshot.messageCount !== undefined && snapshot.messageCount !== given) {
    problems.add('messages', `the conversation has ${String(snapshot.messageCount)} messages, got ${given}: a window cannot be restored`);
  }
  const metadata = snapshot.metadata ?? {};
  const reserved = checkMetadata(metadata, problems, false);
  const owner = agreedOwner(snapshot.userId, reserved.owner, problems);
  checkDate('createdAt', snapshot.createdAt, problems);
  checkDate('updatedAt', snapshot.updatedAt, problems);
  if (snapshot.expiresAt !== undefined) checkDate('expiresAt', snapshot.expiresAt, problems);
  checkInteger('firstSeq', snapshot.firstSeq, 1, problems, Number.MAX_SAFE_INTEGER - given);
  if (checkOptionNames(options, RESTORE_NAMES, problems)) {
    const { onConflict, expectedVersion } = options as Partial<RestoreOptions>;
    if (onConflict === undefined || !['skip', 'replace', 'fail'].includes(onConflict))
      problems.add('options.onConflict', `expected skip, replace or fail, got ${kindOf(onConflict)}`);
    if (expectedVersion !== undefined) checkInteger('options.expectedVersion', expectedVersion, 0, problems);
  } else if (options === undefined) problems.add('options.onConflict', 'expected skip, replace or fail, got nothing');
  const bodies = copies.map(encodeMessage);
  const bytes = sizeOf(copies, bodies, problems);
  problems.throwIfAny(scope.call);
  const expiresAt = snapshot.expiresAt?.getTime();
  if (expiresAt !== undefined && expiresAt <= scope.now) {
    problems.add('expiresAt', 'the conversation is over; restoring it would store nothing anybody can see');
    problems.throwIfAny(scope.call);
  }
  const write: QueuedWrite = {
    kind: 'restore',
    id: snapshot.conversationId,
    now: scope.now,
    writer: scope.mark,
    retry: false,
    scoped: scope.scope !== undefined,
    owner: scopedOwner(owner, scope),
    trace: snapshot.traceId ?? reserved.trace,
    create: true,
    expectedVersion: options.expectedVersion,
    bodies,
    metadata: encodeMetadata(metadata),
    hold: reserved.hold ?? false,
    restore: {
      createdAt: snapshot.createdAt.getTime(),
      updatedAt: snapshot.updatedAt.getTime(),
      expiresAt,
      firstSeq: snapshot.firstSeq,
      onConflict: options.onConflict,
    },
  };
  return { write, bytes, compressionThreshold: scope.defaults.compressionThreshold };
}

function checkWriteOptions(options: AppendOptions, problems: Problems): void {
  if (options.userId !== undefined) checkId('options.userId', options.userId, problems);
  if (options.traceId !== undefined) checkId('options.traceId', options.traceId, problems);
  if (options.operationId !== undefined) checkId('options.operationId', options.operationId, problems);
  if (options.ttl !== undefined) checkTtl('options.ttl', options.ttl, problems);
  if (options.maxMessages !== undefined) checkInteger('options.maxMessages', options.maxMessages, 1, problems);
  if (options.compressionThreshold !== undefined) checkInteger('options.compressionThreshold', options.compressionThreshold, 1, problems);
  if (options.expectedVersion !== undefined) checkInteger('options.expectedVersion', options.expectedVersion, 0, problems);
  checkFlag('options.createIfMissing', options.createIfMissing, problems);
  checkSignal('options.signal', options.signal, problems);
}

function checkFlag(path: string, value: unknown, problems: Problems): void {
  if (value !== undefined && typeof value !== 'boolean') problems.add(path, `expected true or false, got ${kindOf(value)}`);
}

function agreedOwner(option: string | undefined, inMetadata: string | undefined, problems: Problems): string | undefined {
  if (option !== undefined && inMetadata !== undefined && option !== inMetadata) {
    problems.add('userId', 'contradicts the user id in the metadata');
  }
  return option ?? inMetadata;
}

function scopedOwner(owner: string | undefined, { scope, call }: WriteScope): string | undefined {
  if (scope === undefined || owner === undefined || owner === scope) return owner ?? scope;
  throw new MemoryAccessError(`${describeCall(call)}: this handle is limited to another user. Use the handle of the owner.`, {
    provider: call.provider,
    code: 'owner',
  });
}

/** About the bytes of the bodies, for the queue; exact where the limit may be near. */
function sizeOf(messages: readonly Message[], bodies: readonly Body[], problems: Problems): number {
  let weight = 0;
  for (const message of messages) weight += weightOf(message);
  if (weight * MAX_BYTES_PER_UNIT <= QUEUE_BYTES) return weight;
  let bytes = 0;
  for (const body of bodies) bytes += body.bytes;
  if (bytes > QUEUE_BYTES)
    problems.add('messages', `expected at most ${QUEUE_BYTES} bytes in one write, got ${bytes}; write them in parts`);
  return bytes;
}
/** A control character becomes six in JSON text. */
const MAX_BYTES_PER_UNIT = 6;

function operationOf(name: string, kind: string, bodies: readonly Body[], metadata: string | undefined): { hash: string; digest: string } {
  let content = kind + (metadata ?? '');
  for (const body of bodies) content += `\n${body.text}`;
  return { hash: shortHash(name), digest: shortHash(content) };
}

/** 96 bits of SHA-256. In one call: a `Hash` object costs three times as much. */
function shortHash(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 16);
}

/** Seconds to whole milliseconds, at least one. */
function milliseconds(seconds: number): number {
  return Math.max(1, Math.round(seconds * 1000));
}

function smaller(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

/** The receipt of a write that has its place in the store. */
export function receiptOf(id: string, outcome: Extract<WriteOutcome, { readonly receipt: unknown }>): WriteReceipt {
  const { version, messageCount, created } = outcome.receipt;
  return {
    conversationId: id,
    messageCount,
    version,
    created,
    duplicate: outcome.kind === 'duplicate' || outcome.kind === 'skipped',
  };
}

/**
 * The error of a write or removal that was refused. When an earlier attempt was lost on its way it may still arrive, and find
 * the store in another state: the refusal is certain, that nothing was or will be applied is not.
 *
 * @param sent - the write or removal as it was sent last
 */
export function refusal(
  call: CallContext,
  outcome: Exclude<WriteOutcome, { readonly receipt: unknown }> | RemoveOutcome,
  sent: { readonly expectedVersion?: number | undefined; readonly retry: boolean },
): MemoryError {
  const what = describeCall(call);
  const { operation } = call;
  const { expectedVersion } = sent;
  const fields = { provider: call.provider, outcome: sent.retry ? ('unknown' as const) : ('not_applied' as const) };
  switch (outcome.kind) {
    case 'missing':
      return new MemoryNotFoundError(
        `${what}: no such conversation (or expired).${operation === 'appendMessages' ? ' Pass { createIfMissing: true } as the fourth argument.' : ''}`,
        { ...fields, conversationId: call.id ?? '' },
      );
    case 'forbidden':
      return new MemoryAccessError(
        `${what}: the conversation belongs to another user, and an owner is final. Use another conversation id.`,
        fields,
      );
    case 'held':
      return new MemoryAccessError(`${what}: legal hold. Release it first: appendMessages(id, [], { legalHold: false }).`, {
        ...fields,
        code: 'legal_hold',
      });
    case 'full':
      return new MemoryStorageError(`${what}: every conversation the store may keep is under legal hold. Raise maxConversations.`, {
        ...fields,
        operation,
      });
    case 'erased':
      return new MemoryAccessError(`${what}: the user was erased and may not come back yet.`, { ...fields, code: 'erased' });
    case 'reused':
      return new MemoryConflictError(`${what}: the operationId was used for another write. Use a new id for new content.`, {
        ...fields,
        code: 'operation_reused',
      });
    case 'conflict': {
      const { actualVersion } = outcome;
      const why =
        expectedVersion === undefined || expectedVersion === 0
          ? 'the conversation exists'
          : `expected version ${expectedVersion}, found ${actualVersion === 0 ? 'no conversation' : actualVersion}`;
      return new MemoryConflictError(`${what}: ${why}. Read it again and decide.`, { ...fields, expectedVersion, actualVersion });
    }
    default:
      return new MemoryStorageError(`${what}: the driver answered "${outcome.kind}".`, { ...fields, operation, outcome: 'unknown' });
  }
}
