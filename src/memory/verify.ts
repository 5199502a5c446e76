/**
 * Whether a stored conversation can be read, and what is wrong with it.
 *
 * @module
 */
import { MemoryStorageError } from './errors.js';
import { internalsOf } from './internals.js';
import { ownIssues, type Verification, verifyMessages } from './integrity.js';
import { damageOf, MISSING } from './reads.js';
import type { Issue, MemoryProvider, MemoryProviderCore } from './types.js';

/** Messages read at a time where a conversation cannot be read as a whole: those of one segment. */
const PAGE = 128;

/** Whether a failure says that stored data is damaged, and not that it could not be reached. */
export function isCorrupt(error: unknown): error is MemoryStorageError {
  return error instanceof MemoryStorageError && error.code === 'corrupt';
}

/**
 * Reads a whole conversation and checks its messages. Where stored data cannot be decoded, it finds out which messages are
 * affected and checks the others one by one.
 *
 * @param provider - where it is
 * @param conversationId - which one
 * @returns see {@link verifyMessages}; also the kinds `not-found` (no such conversation) and, with sequence numbers in `detail`:
 * `damaged-segment` (a packed run of messages), `damaged` (one message, or at index -1 the metadata) and
 * `non-monotonic-sequence` (a message is missing, or numbers do not go up by one). `index` is the position from the first
 * message that is kept, -1 for the conversation itself
 * @throws MemoryError when the conversation cannot be read for another reason
 * @example
 * const { valid, issues } = await verifyConversation(provider, 'chat-1');
 */
export async function verifyConversation(provider: MemoryProviderCore, conversationId: string): Promise<Verification> {
  const full = 'getMessages' in provider ? (provider as MemoryProvider) : undefined;
  try {
    const conversation = await provider.getConversation(conversationId);
    if (!conversation) return { valid: false, issues: [{ index: -1, kind: 'not-found', detail: 'no such conversation (or expired)' }] };
    const found = verifyMessages(conversation.messages);
    // reading in our own providers fails where a sequence is missing
    return internalsOf(provider) || !full ? found : both(found, await sequenceIssues(full, conversationId));
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    if (!full) return { valid: false, issues: [{ index: -1, kind: 'damaged', detail: 'the stored data cannot be decoded' }] };
    const { issues, unreadable } = await damagedParts(full, conversationId);
    const metadata = { index: -1, kind: 'damaged', detail: 'the metadata cannot be decoded' };
    return { valid: false, issues: unreadable > 0 ? issues : [metadata, ...issues] };
  }
}

function both(found: Verification, more: readonly Issue[]): Verification {
  return more.length === 0 ? found : { valid: false, issues: [...found.issues, ...more].sort((a, b) => a.index - b.index) };
}

/** Whether numbers go up by one, and from the first to the last that the conversation says it has. */
async function sequenceIssues(provider: MemoryProvider, id: string): Promise<Issue[]> {
  const issues: Issue[] = [];
  const { firstSeq, nextSeq } = await provider.getMessages(id, { limit: 0 });
  const wrong = (index: number, detail: string): unknown => issues.push({ index, kind: 'non-monotonic-sequence', detail });
  let expected = firstSeq;
  for (let after = firstSeq - 1; after < nextSeq - 1; ) {
    const { items } = await provider.getMessages(id, { after, before: nextSeq, limit: PAGE });
    for (const { seq } of items) {
      if (seq !== expected) wrong(expected - firstSeq, `expected message ${expected}, found ${seq}`);
      expected = seq + 1;
    }
    // numbers that do not grow must not keep this going for ever
    const last = Math.max(...items.map(({ seq }) => seq));
    if (!(last > after)) break;
    after = last;
  }
  if (expected < nextSeq) wrong(expected - firstSeq, `messages ${expected} to ${nextSeq - 1} are missing`);
  return issues;
}

/** What can be read, page by page, and what cannot, message by message; neighbours with the same damage become one issue. */
async function damagedParts(provider: MemoryProvider, id: string): Promise<{ issues: Issue[]; unreadable: number }> {
  const { firstSeq, nextSeq } = await provider.getMessages(id, { limit: 0 });
  const issues: Issue[] = [];
  let unreadable = 0;
  let run: { kind: string; reason: string; from: number; to: number } | undefined;
  const endRun = (): void => {
    if (!run) return;
    const which = run.from === run.to ? `message ${run.from}` : `messages ${run.from} to ${run.to}`;
    issues.push({ index: run.from - firstSeq, kind: run.kind, detail: `${which}: ${run.reason}` });
    run = undefined;
  };
  const note = (seq: number, error: MemoryStorageError): void => {
    unreadable++;
    const reason = damageOf(error)?.reason ?? 'the stored data cannot be decoded';
    const kind = reason.includes('segment') ? 'damaged-segment' : reason === MISSING ? 'non-monotonic-sequence' : 'damaged';
    if (run && (run.kind !== kind || run.to !== seq - 1)) endRun();
    run = run ? { ...run, to: seq } : { kind, reason, from: seq, to: seq };
  };
  /** `[from, to)`, halved until what fails is one message. */
  const look = async (from: number, to: number): Promise<void> => {
    try {
      const { items } = await provider.getMessages(id, { after: from - 1, before: to, limit: to - from });
      for (const { seq, message } of items) issues.push(...ownIssues(message, seq - firstSeq));
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      if (to - from === 1) return note(from, error);
      const middle = from + Math.ceil((to - from) / 2);
      await look(from, middle);
      await look(middle, to);
    }
  };
  for (let from = firstSeq; from < nextSeq; from += PAGE) await look(from, Math.min(nextSeq, from + PAGE));
  endRun();
  issues.sort((a, b) => a.index - b.index);
  return { issues, unreadable };
}
