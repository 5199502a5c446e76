/**
 * Erasing a user (GDPR article 17).
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical.js';
import { MemoryAccessError, MemoryStorageError } from './errors.js';
import { internalsOf } from './internals.js';
import { purgeUser } from './purging.js';
import { describeCall } from './retry.js';
import type { MemoryProvider } from './types.js';
import { Problems } from './problems.js';
import { checkId } from './validate.js';

/** Where erasures are recorded: append-only, kept outside the store that is erased from. */
export interface AuditLog {
  /** Appends an entry. @returns the hash of the log's new head */
  append(entry: object): Promise<{ hash: string }>;
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
}

/** How long a late write cannot bring the user back (ms): longer than any run in flight. */
const BAR_MS = 3_600_000;

/**
 * Removes everything of a user: conversations, bodies, index entries and operation ids, without tombstones. For an hour
 * writes that name the user as owner are refused (`erased`), those already under way included.
 *
 * @param provider - one made by this package
 * @param userId - whom
 * @param options - `audit`: where to record it; `allowLegalHold`: conversations under legal hold too
 * @throws MemoryAccessError (`legal_hold`) when one is held and that is not allowed: nothing is erased then;
 * MemoryStorageError (`unsupported`) for a provider that cannot bar the user
 */
export async function eraseUser(
  provider: MemoryProvider,
  userId: string,
  options: { audit: AuditLog; allowLegalHold?: boolean },
): Promise<ErasureReceipt> {
  const problems = new Problems();
  checkId('userId', userId, problems);
  if (typeof options?.audit?.append !== 'function') problems.add('options.audit', 'expected an audit log with append()');
  problems.throwIfAny({ provider: 'none', operation: 'eraseUser' });
  const internals = internalsOf(provider);
  if (!internals) {
    throw new MemoryStorageError(
      'eraseUser: only a provider made by this package can keep late writes out. Use clearUserConversations().',
      {
        provider: 'custom',
        operation: 'eraseUser',
        code: 'unsupported',
      },
    );
  }
  const { core, scope } = internals;
  const call = core.call('eraseUser', userId);
  if (scope !== undefined && scope !== userId) {
    throw new MemoryAccessError(`${describeCall(call)}: this handle is limited to another user.`, { provider: call.provider });
  }
  core.checkUsable(call, undefined);
  const allowHold = options.allowLegalHold ?? false;
  if (!allowHold) {
    for await (const { conversationId } of provider.iterateConversations({
      userId,
      metadata: { legalHold: true },
      messageLimit: 0,
      limit: 1,
    })) {
      throw new MemoryAccessError(
        `${describeCall(call)}: conversation ${JSON.stringify(conversationId)} is under legal hold. Nothing was erased; pass { allowLegalHold: true } to erase it too.`,
        { provider: call.provider, code: 'legal_hold' },
      );
    }
  }
  const hash = await core.ownerHash(userId);
  const until = core.now() + BAR_MS;
  await core.trip(call, (trip) => core.driver.bar(hash, until, trip));
  const { removed, messages } = await purgeUser(core, call, userId, { allowHold, forget: true });
  await internals.eraseCopies?.(userId, { until, allowHold });
  const at = new Date(core.now());
  const entry = { action: 'erase-user', subject: hash, provider: core.driver.name, conversations: removed, messages, at: at.toISOString() };
  const digest = createHash('sha256').update(canonicalJson(entry)).digest('hex');
  const { hash: auditHead } = await options.audit.append({ ...entry, digest });
  return Object.freeze({ conversations: removed, messages, at, digest, auditHead });
}
