/**
 * Retention by age.
 *
 * @module
 */
import { encodeMessage, encodeMetadata } from './codec.js';
import { MemoryAccessError, MemoryConflictError } from './errors.js';
import { internalsOf } from './internals.js';
import type { ConversationMemory, MemoryProvider, MemoryQuery } from './types.js';
import { Problems } from './problems.js';
import { checkDate, checkTtl } from './validate.js';

/** What to clean up: at least `until` or `olderThan`; of both the earlier time holds. */
export interface CleanupOptions {
  /** Last written at or before this time. */
  until?: Date;
  /** Last written at least so many seconds ago, by the clock of this process. */
  olderThan?: number;
  /** Only conversations this user owns; absent = all. */
  userId?: string;
  /** Count only. */
  dryRun?: boolean;
  /** Called with each whole conversation before it is deleted; when it throws, the clean-up stops and nothing more is deleted. */
  archive?: (conversation: ConversationMemory) => Promise<void>;
}

/** What a clean-up did. */
export interface CleanupReport {
  /** Conversations old enough. */
  matched: number;
  /** Conversations `archive` has taken. One that was written meanwhile is archived, but not deleted. */
  archived: number;
  /** Fewer than `matched` where a conversation was written meanwhile or is under legal hold. */
  deleted: number;
  /** Stored bytes of the deleted (with `dryRun`: matched) conversations. */
  bytes: number;
}

/**
 * Deletes conversations nobody has written to for a while, each only if it was not written meanwhile. Safe to stop and run again.
 *
 * @param provider - where
 * @param options - see {@link CleanupOptions}
 * @throws MemoryValidationError when neither `until` nor `olderThan` is given, or one is not what it must be
 * @example
 * await cleanupConversations(provider, { olderThan: 90 * 86_400, archive: (c) => upload(c) });
 */
export async function cleanupConversations(provider: MemoryProvider, options: CleanupOptions): Promise<CleanupReport> {
  const { userId, dryRun = false, archive } = options;
  const report: CleanupReport = { matched: 0, archived: 0, deleted: 0, bytes: 0 };
  const query: MemoryQuery = { until: untilOf(options), userId, messageLimit: archive && !dryRun ? undefined : 0 };
  for await (const { conversation, bytes } of candidates(provider, query)) {
    report.matched++;
    if (dryRun) {
      report.bytes += bytes;
      continue;
    }
    if (conversation.metadata['legalHold'] === true) continue;
    if (archive) {
      await archive(conversation);
      report.archived++;
    }
    if ((await deleteUnchanged(provider, conversation)) !== 'deleted') continue;
    report.deleted++;
    report.bytes += bytes;
  }
  return report;
}

function untilOf({ until, olderThan }: CleanupOptions): Date {
  const problems = new Problems();
  if (until === undefined && olderThan === undefined) problems.add('options', 'expected until (a Date) or olderThan (seconds)');
  if (until !== undefined) checkDate('options.until', until, problems);
  if (olderThan !== undefined) checkTtl('options.olderThan', olderThan, problems, false);
  problems.throwIfAny({ provider: 'none', operation: 'cleanupConversations' });
  const byAge = olderThan === undefined ? undefined : new Date(Date.now() - olderThan * 1000);
  return until && byAge ? (until < byAge ? until : byAge) : ((until ?? byAge) as Date);
}

/** A conversation and what it takes: as stored where the provider is ours, else as it would be stored. */
export interface Sized {
  readonly conversation: ConversationMemory;
  readonly bytes: number;
}

/**
 * Walks conversations in order of creation, each with its size.
 *
 * @param provider - any; of one that is not ours whole conversations are read
 * @param query - which
 */
export async function* candidates(provider: MemoryProvider, query: MemoryQuery): AsyncGenerator<Sized> {
  const internals = internalsOf(provider);
  if (internals) {
    yield* internals.sized(query);
    return;
  }
  for await (const conversation of provider.iterateConversations({ ...query, messageLimit: undefined })) {
    yield { conversation, bytes: sizeOf(conversation) };
  }
}

/** Bytes a whole conversation takes when it is stored. */
function sizeOf({ metadata, messages }: ConversationMemory): number {
  let bytes = Buffer.byteLength(encodeMetadata(metadata));
  for (const message of messages) bytes += encodeMessage(message).bytes;
  return bytes;
}

/**
 * Deletes a conversation if it still is what was read.
 *
 * @returns `changed`: it was written meanwhile, or is gone; `held`: it came under legal hold
 */
export async function deleteUnchanged(
  provider: MemoryProvider,
  { conversationId, version }: { readonly conversationId: string; readonly version: number },
): Promise<'deleted' | 'changed' | 'held'> {
  try {
    return (await provider.deleteConversation(conversationId, { expectedVersion: version })) ? 'deleted' : 'changed';
  } catch (error) {
    if (error instanceof MemoryConflictError) return 'changed';
    if (error instanceof MemoryAccessError && error.code === 'legal_hold') return 'held';
    throw error;
  }
}
