/**
 * Removing batch by batch: everything a user has (`clearUserConversations`, erasure), what is over, and what is left behind.
 *
 * @module
 */
import type { Core } from './core.js';
import type { Cursor, List, Purge, PurgeOutcome } from './driver.js';
import type { CallContext } from './retry.js';

/** Conversations removed per trip. */
const PURGE_BATCH = 500;

/** How to stop, and whom to tell. */
export interface PurgeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told how many conversations went with each batch. */
  readonly onBatch?: ((removed: number) => void) | undefined;
}

/**
 * Removes what has expired; without `owner` also what deletions left behind.
 *
 * @param owner - only this user's conversations
 * @returns conversations that had expired
 */
export async function purgeOver(core: Core, call: CallContext, owner: string | undefined, options: PurgeOptions): Promise<number> {
  const removed = await purgeRounds(core, call, () => ({ kind: 'expired', owner, now: core.now(), limit: PURGE_BATCH }), options);
  if (owner === undefined) await reapAll(core, call, options);
  if (removed > 0) core.emit({ type: 'expired', conversations: removed });
  return removed;
}

/**
 * Removes what deletions, replacements and trims left behind.
 *
 * @param options - `forget`: tombstones of any age, too (erasure)
 */
export async function reapAll(core: Core, call: CallContext, options: PurgeOptions & { readonly forget?: boolean }): Promise<void> {
  const { forget } = options;
  await purgeRounds(core, call, () => ({ kind: 'reap', forget, now: core.now(), limit: PURGE_BATCH }), options);
}

/** One batch. What removes conversations counts them, and is not repeated after a lost answer. */
async function sendBatch(core: Core, call: CallContext, purge: Purge, signal?: AbortSignal): Promise<PurgeOutcome> {
  const outcome = await core.trip(call, (trip) => core.driver.purge(purge, trip), { signal, repeatable: purge.kind === 'reap' });
  if (outcome.removed > 0) call.begun = true;
  return outcome;
}

async function purgeRounds(core: Core, call: CallContext, next: () => Purge, { signal, onBatch }: PurgeOptions): Promise<number> {
  let removed = 0;
  for (;;) {
    const purge = next();
    const outcome = await sendBatch(core, call, purge, signal);
    removed += outcome.removed;
    onBatch?.(outcome.removed);
    if (!outcome.more) return removed;
  }
}

/**
 * Removes what a user has at the time of the call: everything up to the newest conversation that exists now.
 *
 * @param options - `allowHold`: legal holds too; `forget`: leave no tombstones and no bodies (erasure); `onBatch`: told how many
 * went with each batch; what it throws ends the work
 * @throws MemoryConnectionError with outcome `unknown` when an answer was lost: what was removed cannot be counted then; call again
 */
export async function purgeUser(
  core: Core,
  call: CallContext,
  owner: string,
  options: { readonly allowHold: boolean; readonly forget: boolean; readonly onBatch?: (removed: number) => void },
): Promise<{ removed: number; messages: number; bytes: number }> {
  const { allowHold, forget, onBatch } = options;
  const total = { removed: 0, messages: 0, bytes: 0 };
  const last = await newestOf(core, call, owner);
  if (!last && !forget) return total;
  // erasure also takes what has expired and is outside every walk of visible conversations
  const upTo: Cursor = last && !forget ? last : { at: Number.MAX_SAFE_INTEGER, id: '' };
  let after: Cursor | undefined;
  for (;;) {
    const purge: Purge = { kind: 'user', owner, upTo, after, now: core.now(), limit: PURGE_BATCH, allowHold, forget };
    const outcome = await sendBatch(core, call, purge);
    total.removed += outcome.removed;
    total.messages += outcome.messages;
    total.bytes += outcome.bytes;
    onBatch?.(outcome.removed);
    if (!outcome.more) return total;
    after = outcome.cursor ?? after;
  }
}

/** Where the newest conversation of a user stands in creation order. */
async function newestOf(core: Core, call: CallContext, owner: string): Promise<Cursor | undefined> {
  let after: Cursor | undefined;
  do {
    const list: List = { now: core.now(), by: 'created', direction: 'desc', owner, after, limit: 1, window: { kind: 'none' } };
    const page = await core.trip(call, (trip) => core.driver.list(list, trip));
    const header = page.items[0]?.header;
    if (header) return { at: header.createdAt, id: header.id };
    after = page.cursor;
  } while (after);
  return undefined;
}

/**
 * The end of an erasure, in the store itself and in stores that hold copies: what {@link purgeUser} leaves goes too. Bodies and
 * tombstones of conversations that were deleted or over do not say whose they were, so all of them go, and then the pages they
 * stood on.
 */
export async function forgetRemains(core: Core, call: CallContext, signal?: AbortSignal): Promise<void> {
  await reapAll(core, call, { signal, forget: true });
  await core.trip(call, (trip) => core.driver.scrub?.(trip) ?? Promise.resolve(), { signal });
}
