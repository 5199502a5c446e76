/**
 * Erasing a user (GDPR article 17).
 *
 * @module
 */
import { digestOf } from './canonical.js';
import { MemoryAbortError, MemoryAccessError, MemoryStorageError } from './errors.js';
import { internalsOf } from './internals.js';
import { Problems } from './problems.js';
import { forgetRemains, purgeUser } from './purging.js';
import { type CallContext, describeCall } from './retry.js';
import type { MemoryProvider } from './types.js';
import { checkId, checkInteger, checkSignal } from './validate.js';

/** Where erasures are recorded: append-only, kept outside the store that is erased from. `createAuditLog` makes one. */
export interface AuditLog {
  /** Appends an entry. @returns the hash of the log's new head */
  append(entry: object): Promise<{ hash: string }>;
  /** The name of a user in the log: keyed, so that it cannot be guessed. Default: the hash the store bars the user under. */
  subject?(userId: string): string;
}

/** Proof of an erasure; holds no user id. */
export interface ErasureReceipt {
  /** Conversations that were visible; those that had expired were erased too, but do not count. */
  readonly conversations: number;
  /** Messages of the counted conversations. */
  readonly messages: number;
  /** When it was done, by the provider's clock. */
  readonly at: Date;
  /** SHA-256 of the audit entry. */
  readonly digest: string;
  /** Hash of the audit log's new head, as `append` answered it. */
  readonly auditHead: string;
  /** Writes that name the user are refused before this time; absent when the user may return at once. */
  readonly barredUntil?: Date;
  /** Hooks that were called, all with success. */
  readonly hooks?: number;
}

/**
 * Erases copies that are kept elsewhere (a cache, a search index). It may be called again for a user who is gone already.
 * What it throws makes the erasure fail.
 */
export type ErasureHook = (erasure: { readonly userId: string; readonly provider: MemoryProvider }) => void | Promise<void>;

/** How to erase. */
export interface EraseOptions {
  /** Where it is recorded. */
  readonly audit: AuditLog;
  /** Erases conversations under legal hold too. Default false: one of them stops the erasure before anything is done. */
  readonly allowLegalHold?: boolean | undefined;
  /** Seconds in which late writes that name the user are refused: longer than any run in flight. Default 3600. */
  readonly barFor?: number | undefined;
  /** Lifts the bar (and earlier ones) when everything is done: the user may come back at once. Default false. */
  readonly allowReturn?: boolean | undefined;
  /** Called in order when the store holds nothing any more. */
  readonly hooks?: readonly ErasureHook[] | undefined;
  /** Stops between two batches; what is erased stays so, and the bar stays. */
  readonly signal?: AbortSignal | undefined;
  /** Told after each batch how many conversations went so far. */
  readonly onProgress?: ((conversations: number) => void) | undefined;
}

/** Default of `barFor`, in seconds. */
const BAR_SECONDS = 3600;

/**
 * Removes everything of a user: conversations (expired ones too), bodies, segments, index entries and operation ids, without
 * tombstones; then what earlier deletions and expiries left behind (of all users: it does not say whose it was). While it works and for `barFor` seconds after, writes that name the user as
 * owner are refused (`erased`), those already under way included. It is safe to run again, also after an error.
 *
 * @param provider - one made by this package
 * @param userId - whom
 * @param options - see {@link EraseOptions}
 * @throws MemoryAccessError (`legal_hold`) when a conversation is held and that is not allowed: nothing is erased then;
 * MemoryStorageError (`unsupported`) for a provider that cannot bar the user, (`hook_failed`) when a hook failed: the store is
 * erased and that is recorded, run it again for the hooks; MemoryAbortError; what the audit log throws: the store is erased, but
 * not recorded
 * @example
 * const receipt = await eraseUser(provider, 'user-123', { audit: createAuditLog({ path: './audit.ndjson' }) });
 */
export async function eraseUser(provider: MemoryProvider, userId: string, options: EraseOptions): Promise<ErasureReceipt> {
  checkOptions(userId, options);
  const internals = internalsOf(provider);
  if (!internals) {
    throw new MemoryStorageError(
      'eraseUser: only a provider made by this package can keep late writes out. Use clearUserConversations().',
      { provider: 'custom', operation: 'eraseUser', code: 'unsupported' },
    );
  }
  const { core, scope } = internals;
  const { audit, allowLegalHold: allowHold = false, barFor = BAR_SECONDS, allowReturn = false, hooks = [], signal } = options;
  const call = core.call('eraseUser', userId);
  if (scope !== undefined && scope !== userId) {
    throw new MemoryAccessError(`${describeCall(call)}: this handle is limited to another user.`, { provider: call.provider });
  }
  core.checkUsable(call, signal);
  if (!allowHold) await refuseHeld(provider, call, userId, 'is under legal hold. Nothing was erased');

  const hash = await core.ownerHash(userId);
  const until = core.now() + barFor * 1000;
  await core.trip(call, (trip) => core.driver.bar(hash, until, trip), { signal });
  call.begun = true;
  let seen = 0;
  const onBatch = (removed: number): void => {
    options.onProgress?.((seen += removed));
    if (signal?.aborted) throw aborted(call);
  };
  const { removed, messages } = await purgeUser(core, call, userId, { allowHold, forget: true, onBatch });
  if (!allowHold) await refuseHeld(provider, call, userId, 'came under legal hold meanwhile. The others are erased');
  await forgetRemains(core, call, signal);

  await internals.eraseCopies?.(userId, { until, allowHold });
  const failures = await callHooks(hooks, userId, provider);
  if (allowReturn && failures.length === 0) await core.trip(call, (trip) => core.driver.bar(hash, 0, trip));
  const at = new Date(core.now());
  const entry = {
    action: 'erase-user',
    subject: audit.subject?.(userId) ?? hash,
    provider: core.driver.name,
    conversations: removed,
    messages,
    at: at.toISOString(),
    ...(allowReturn ? {} : { barredUntil: new Date(until).toISOString() }),
    ...(allowHold ? { legalHold: 'allowed' } : {}),
    ...(hooks.length === 0 ? {} : { hooks: hooks.length, hooksFailed: failures.map(({ number }) => number) }),
  };
  const digest = digestOf(entry);
  const { hash: auditHead } = await audit.append({ ...entry, digest });
  const [failure] = failures;
  if (failure) throw hookError(call, failure, hooks.length, failures.length);
  return Object.freeze({
    conversations: removed,
    messages,
    at,
    digest,
    auditHead,
    ...(allowReturn ? {} : { barredUntil: new Date(until) }),
    ...(hooks.length === 0 ? {} : { hooks: hooks.length }),
  });
}

function checkOptions(userId: string, options: EraseOptions): void {
  const problems = new Problems();
  checkId('userId', userId, problems);
  if (typeof options?.audit?.append !== 'function') problems.add('options.audit', 'expected an audit log with append()');
  else {
    if (options.barFor !== undefined) checkInteger('options.barFor', options.barFor, 1, problems);
    options.hooks?.forEach((hook: unknown, n) => {
      if (typeof hook !== 'function') problems.add(`options.hooks[${n}]`, 'expected a function');
    });
    checkSignal('options.signal', options.signal, problems);
  }
  problems.throwIfAny({ provider: 'none', operation: 'eraseUser' });
}

const aborted = (call: CallContext): MemoryAbortError =>
  new MemoryAbortError(`${describeCall(call)}: stopped. Late writes are refused; run it again to erase the rest.`, {
    provider: call.provider,
    outcome: 'unknown',
  });

async function refuseHeld(provider: MemoryProvider, call: CallContext, userId: string, what: string): Promise<void> {
  const held = { userId, metadata: { legalHold: true }, messageLimit: 0, limit: 1 };
  for await (const { conversationId } of provider.iterateConversations(held)) {
    throw new MemoryAccessError(
      `${describeCall(call)}: conversation ${JSON.stringify(conversationId)} ${what}; pass { allowLegalHold: true } to erase it too.`,
      { provider: call.provider, code: 'legal_hold', outcome: call.begun ? 'unknown' : 'not_applied' },
    );
  }
}

interface HookFailure {
  /** From 1. */
  readonly number: number;
  readonly error: unknown;
}

/** Calls all of them, also behind one that failed: what can go shall go. */
async function callHooks(hooks: readonly ErasureHook[], userId: string, provider: MemoryProvider): Promise<readonly HookFailure[]> {
  const failures: HookFailure[] = [];
  for (const [n, hook] of hooks.entries()) {
    try {
      await hook({ userId, provider });
    } catch (error) {
      failures.push({ number: n + 1, error });
    }
  }
  return failures;
}

function hookError(call: CallContext, { number, error }: HookFailure, of: number, failed: number): MemoryStorageError {
  const more = failed === 1 ? '' : `, and ${failed - 1} more`;
  const reason = error instanceof Error ? error.name : typeof error;
  const wrapped = new MemoryStorageError(
    `${describeCall(call)}: the store is erased and that is recorded, but hook ${number} of ${of} failed (${reason}${more}). Mend it and run eraseUser again: that is safe, and the user stays barred.`,
    { provider: call.provider, operation: call.operation, code: 'hook_failed', outcome: 'unknown' },
  );
  wrapped.cause = error;
  return wrapped;
}
