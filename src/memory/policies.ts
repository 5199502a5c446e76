/**
 * Retention policies: which conversations may go, by age, by number for each user, and by metadata.
 *
 * @module
 */
import type { Cursor } from './driver.js';
import { internalsOf } from './internals.js';
import { compareCursors } from './local.js';
import { Problems } from './problems.js';
import { candidates, deleteUnchanged, type Sized } from './retention.js';
import { readings } from './snapshots.js';
import type { ConversationSnapshot, MemoryProvider, MemoryQuery, Metadata } from './types.js';
import { checkId, checkInteger, checkMetadata, checkSignal, checkTtl } from './validate.js';

/** One rule. A conversation it matches may go: it must be both old enough and surplus where both are given. */
export interface RetentionPolicy {
  /** Of the policy, for the report. */
  readonly name: string;
  /** Seconds since the last write. */
  readonly olderThan?: number | undefined;
  /**
   * So many conversations of each user stay: those last written. Conversations without an owner have no user, and stay. With all
   * users one number for each user is kept in memory (of a provider that is not ours: so many ids).
   */
  readonly keepNewest?: number | undefined;
  /** Only conversations this user owns; default all. */
  readonly userId?: string | undefined;
  /** Only conversations whose metadata holds this; `keepNewest` counts only them, too. */
  readonly metadata?: Metadata | undefined;
}

/** How to apply policies. */
export interface RetentionOptions {
  /** Counts only. Default false. */
  readonly dryRun?: boolean | undefined;
  /**
   * Called with the next conversations, whole, before they are deleted. They are deleted when it has resolved: by then they must be
   * safe. What it throws ends the work, and none of them is deleted.
   */
  readonly archive?: ((conversations: readonly ConversationSnapshot[]) => Promise<void>) | undefined;
  /** Deletions under way at the same time. Default 16. */
  readonly concurrency?: number | undefined;
  /** Stops after the batch under way; the report then says `stopped`. Run it again for the rest. */
  readonly signal?: AbortSignal | undefined;
  /** Told after every batch. */
  readonly onProgress?: ((report: PolicyReport) => void) | undefined;
}

/** What became of one policy. */
export interface PolicyReport {
  /** Its name. */
  readonly policy: string;
  /** Conversations the policy matches, held ones included. */
  readonly matched: number;
  /** Taken by `archive`. One that was written meanwhile is archived, but not deleted. */
  readonly archived: number;
  /** With `dryRun` always 0. */
  readonly deleted: number;
  /** Kept: under legal hold. */
  readonly held: number;
  /** Kept: written, or gone, since they were looked at. */
  readonly changed: number;
  /** Stored bytes of the deleted conversations; with `dryRun` of those that would be. */
  readonly bytes: number;
}

/** What {@link applyRetention} answers. */
export interface RetentionReport {
  /** In the order of the policies. */
  readonly policies: readonly PolicyReport[];
  /** The signal ended it before everything was looked at. */
  readonly stopped: boolean;
}

/** Conversations of one batch, and their bytes when they are read whole for the archive. */
const BATCH = 64;
const BATCH_BYTES = 16_777_216;
const CONCURRENCY = 16;

type Totals = { -readonly [K in keyof PolicyReport]: PolicyReport[K] };

/**
 * Applies retention policies, one after the other: looks at every conversation a policy is about, and deletes what may go, each only
 * if nobody has written to it meanwhile. Conversations under legal hold stay. Memory stays bounded; it is safe to stop and to run
 * again. Age is by the clock of this process. With `dryRun` a conversation that two policies match is counted for both.
 *
 * @param provider - any
 * @param policies - see {@link RetentionPolicy}; each needs `olderThan` or `keepNewest`
 * @param options - see {@link RetentionOptions}
 * @throws MemoryValidationError naming the policy and the field; what the store and `archive` throw
 * @example
 * const { policies } = await applyRetention(provider, [
 *   { name: 'a quarter', olderThan: 90 * 86_400 },
 *   { name: 'drafts', olderThan: 86_400, metadata: { kind: 'draft' } },
 *   { name: 'at most 100', keepNewest: 100 },
 * ]);
 */
export async function applyRetention(
  provider: MemoryProvider,
  policies: readonly RetentionPolicy[],
  options: RetentionOptions = {},
): Promise<RetentionReport> {
  checkPolicies(policies, options);
  const reports: PolicyReport[] = [];
  for (const policy of policies) {
    const totals: Totals = { policy: policy.name, matched: 0, archived: 0, deleted: 0, held: 0, changed: 0, bytes: 0 };
    reports.push(totals);
    if (!(await applyOne(provider, policy, options, totals))) return { policies: reports, stopped: true };
  }
  return { policies: reports, stopped: false };
}

/** @returns false when it was stopped */
async function applyOne(provider: MemoryProvider, policy: RetentionPolicy, options: RetentionOptions, totals: Totals): Promise<boolean> {
  const { dryRun = false, signal } = options;
  const until = policy.olderThan === undefined ? undefined : new Date(Date.now() - policy.olderThan * 1000);
  let batch: Sized[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    if (batch.length > 0) await removeAll(provider, batch, until, options, totals);
    batch = [];
    bytes = 0;
    options.onProgress?.({ ...totals });
  };
  let looked = 0;
  for await (const one of matching(provider, policy, until)) {
    // before anything is counted: what is not looked at is neither deleted nor counted
    if (signal?.aborted) break;
    totals.matched++;
    if (one.conversation.metadata['legalHold'] === true) totals.held++;
    else if (dryRun) totals.bytes += one.bytes;
    else {
      batch.push(one);
      bytes += one.bytes;
    }
    if (batch.length >= BATCH || bytes >= BATCH_BYTES || (dryRun && ++looked % BATCH === 0)) await flush();
  }
  if (!signal?.aborted) await flush();
  return signal?.aborted !== true;
}

/** What a policy is about. */
async function* matching(provider: MemoryProvider, policy: RetentionPolicy, until: Date | undefined): AsyncGenerator<Sized> {
  const { keepNewest, userId, metadata } = policy;
  const query: MemoryQuery = { userId, metadata, messageLimit: 0 };
  if (keepNewest === undefined) {
    yield* candidates(provider, { ...query, until });
    return;
  }
  const internals = internalsOf(provider);
  if (internals) {
    const kept = new Map<string, number>();
    for await (const one of internals.sized({ ...query, order: 'newest' }, 'updated')) {
      const { userId: owner, updatedAt } = one.conversation;
      if (owner === undefined) continue;
      const count = kept.get(owner) ?? 0;
      if (count < keepNewest) kept.set(owner, count + 1);
      else if (until === undefined || updatedAt <= until) yield one;
    }
    return;
  }
  const newest = await newestOf(provider, query, keepNewest);
  for await (const one of candidates(provider, { ...query, until })) {
    const { userId: owner, conversationId } = one.conversation;
    if (owner !== undefined && !newest.get(owner)?.some(({ id }) => id === conversationId)) yield one;
  }
}

/** The newest conversations of each user, of a provider that can only be walked in order of creation. */
async function newestOf(provider: MemoryProvider, query: MemoryQuery, count: number): Promise<ReadonlyMap<string, readonly Cursor[]>> {
  const newest = new Map<string, Cursor[]>();
  for await (const { userId: owner, conversationId: id, updatedAt } of provider.iterateConversations(query)) {
    if (owner === undefined) continue;
    const kept = newest.get(owner) ?? [];
    kept.push({ at: updatedAt.getTime(), id });
    newest.set(owner, kept.sort((a, b) => compareCursors(b, a)).slice(0, count));
  }
  return newest;
}

/** Archives a batch, then deletes it, a few at a time. */
async function removeAll(
  provider: MemoryProvider,
  batch: readonly Sized[],
  until: Date | undefined,
  { archive, concurrency = CONCURRENCY }: RetentionOptions,
  totals: Totals,
): Promise<void> {
  let going: readonly { readonly conversationId: string; readonly version: number; readonly bytes: number }[] = batch.map(
    ({ conversation: { conversationId, version }, bytes }) => ({ conversationId, version, bytes }),
  );
  if (archive) {
    const whole: ConversationSnapshot[] = [];
    const sizes = new Map(batch.map(({ conversation, bytes }) => [conversation.conversationId, bytes]));
    for (const { conversation } of batch) {
      const snapshot = await readWhole(provider, conversation.conversationId);
      // written since: it is not old any more, or not surplus; the next run looks again
      if (!snapshot || snapshot.version !== conversation.version || (until && snapshot.updatedAt > until)) totals.changed++;
      else if (snapshot.metadata['legalHold'] === true) totals.held++;
      else whole.push(snapshot);
    }
    if (whole.length > 0) await archive(whole);
    totals.archived += whole.length;
    going = whole.map(({ conversationId, version }) => ({ conversationId, version, bytes: sizes.get(conversationId) ?? 0 }));
  }
  const queue = going[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (const one of queue) {
      if (failure) return;
      try {
        const outcome = await deleteUnchanged(provider, one);
        totals[outcome]++;
        if (outcome === 'deleted') totals.bytes += one.bytes;
      } catch (error) {
        failure = { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, going.length) }, work));
  if (failure) throw failure.error;
}

async function readWhole(provider: MemoryProvider, conversationId: string): Promise<ConversationSnapshot | undefined> {
  for await (const { snapshot, error } of readings(provider, { conversationId }, 'retention')) {
    if (error) throw error;
    return snapshot;
  }
  return undefined;
}

function checkPolicies(policies: unknown, options: RetentionOptions): void {
  const problems = new Problems();
  if (!Array.isArray(policies) || policies.length === 0) problems.add('policies', 'expected at least one policy');
  else policies.forEach((policy: unknown, n) => checkPolicy(`policies[${n}]`, policy, problems));
  if (options.archive !== undefined && typeof options.archive !== 'function') problems.add('options.archive', 'expected a function');
  if (options.concurrency !== undefined) checkInteger('options.concurrency', options.concurrency, 1, problems);
  checkSignal('options.signal', options.signal, problems);
  problems.throwIfAny({ provider: 'none', operation: 'applyRetention' });
}

const FIELDS: ReadonlySet<string> = new Set(['name', 'olderThan', 'keepNewest', 'userId', 'metadata']);

function checkPolicy(path: string, policy: unknown, problems: Problems): void {
  if (typeof policy !== 'object' || policy === null || Array.isArray(policy)) return problems.add(path, 'expected an object');
  const { name, olderThan, keepNewest, userId, metadata } = policy as Record<string, unknown>;
  // a misspelt condition would match more than was meant
  for (const field of Object.keys(policy)) {
    if (!FIELDS.has(field)) problems.add(`${path}.${field}`, `expected one of ${[...FIELDS].join(', ')}`);
  }
  if (typeof name !== 'string' || name === '') problems.add(`${path}.name`, 'expected a name');
  if (olderThan === undefined && keepNewest === undefined)
    problems.add(path, 'expected olderThan (seconds) or keepNewest (conversations for each user)');
  if (olderThan !== undefined) checkTtl(`${path}.olderThan`, olderThan, problems, false);
  if (keepNewest !== undefined) checkInteger(`${path}.keepNewest`, keepNewest, 0, problems);
  if (userId !== undefined) checkId(`${path}.userId`, userId, problems);
  if (metadata !== undefined) checkMetadata(metadata, problems, false);
}
