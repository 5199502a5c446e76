/**
 * Conversations that earlier implementations stored under the same prefix, converted: put if absent, read back, compared,
 * and their keys removed where that is wanted.
 *
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { canonicalJson } from '../../canonical.js';
import { encodeMessage } from '../../codec.js';
import type { Core } from '../../core.js';
import type { Window } from '../../driver.js';
import { MemoryAccessError, MemoryStorageError, MemoryValidationError } from '../../errors.js';
import { internalsOf } from '../../internals.js';
import { type OlderConversation, readOlder } from '../../older.js';
import { decodeMessages } from '../../reads.js';
import type { ConversationSnapshot, MemoryProvider, Message, RedisConfig } from '../../types.js';
import { OlderKeys } from './older-keys.js';

/** Conversations under way at the same time. */
const PARALLEL = 8;
/** Keys of one kind that a report names; the others are counted. Keeps memory constant. */
const NAMED = 1000;
/** The expiry of a conversation found there may differ so much (ms) from what is left of its source's: clocks, and a run before. */
const EXPIRY_SLACK = 60_000;

/** Keys that need a person: how many, and the first 1,000 of them. */
export interface NamedKeys {
  count: number;
  readonly keys: { readonly key: string; readonly reason: string }[];
}

/** What a conversion found and did. */
export interface OlderReport {
  readonly prefix: string;
  /** Keys that begin with the prefix and are not of a store of this version. */
  keys: number;
  /** Conversations of earlier implementations among them, their messages, and the bytes of their texts. */
  conversations: number;
  messages: number;
  bytes: number;
  /** Put into the store by this run, and compared. In a dry run: those that would be. */
  converted: number;
  /** There already, and equal. */
  found: number;
  /** There already with the same messages, and later ones behind them. */
  continued: number;
  /** Sources that were removed. */
  removed: number;
  /** Sources that expired or were deleted meanwhile. */
  gone: number;
  /** The store holds something else under their ids; nothing was changed. */
  readonly different: NamedKeys;
  /** Sources somebody wrote to after they were read; they were kept. */
  readonly changed: NamedKeys;
  /** Conversations that cannot be read, or that the store refuses. */
  readonly unreadable: NamedKeys;
  /** Not conversations. */
  readonly foreign: NamedKeys;
  interrupted: boolean;
}

/** How to convert. */
export interface OlderOptions {
  /** Where to; absent in a dry run of a store that is not there yet. */
  readonly provider: MemoryProvider | undefined;
  readonly dryRun: boolean;
  readonly removeSource: boolean;
  readonly signal: AbortSignal;
  /** Keys done, and how many there were when it began. */
  onProgress(done: number, total: number): void;
}

/**
 * Converts every conversation of an earlier implementation under the prefix. May be interrupted at any time and run again.
 *
 * @param config - of the store
 * @param options - see {@link OlderOptions}
 * @throws MemoryError when the server cannot be reached or used; what was done stays
 */
export async function convertOlder(config: RedisConfig, options: OlderOptions): Promise<OlderReport> {
  const keys = await OlderKeys.open(config);
  try {
    return await new Conversion(keys, options).run();
  } finally {
    await keys.close();
  }
}

const none = (): NamedKeys => ({ count: 0, keys: [] });

class Conversion {
  readonly #keys: OlderKeys;
  readonly #options: OlderOptions;
  readonly #report: OlderReport;

  constructor(keys: OlderKeys, options: OlderOptions) {
    this.#keys = keys;
    this.#options = options;
    this.#report = {
      prefix: keys.prefix,
      keys: 0,
      conversations: 0,
      messages: 0,
      bytes: 0,
      converted: 0,
      found: 0,
      continued: 0,
      removed: 0,
      gone: 0,
      different: none(),
      changed: none(),
      unreadable: none(),
      foreign: none(),
      interrupted: false,
    };
  }

  async run(): Promise<OlderReport> {
    const { signal, onProgress } = this.#options;
    const report = this.#report;
    let total = 0;
    for await (const page of this.#keys.scan()) {
      total += page.keys.length;
      if (signal.aborted) break;
    }
    for await (const page of this.#keys.scan()) {
      const waiting = [...page.keys].reverse();
      const worker = async (): Promise<void> => {
        for (let key = waiting.pop(); key && !signal.aborted; key = waiting.pop()) {
          report.keys++;
          await this.#key(key);
          onProgress(Math.min(report.keys, total), total);
        }
      };
      // all have ended before a failure is passed on: nothing goes on in the background
      const workers = Array.from({ length: PARALLEL }, worker);
      await Promise.allSettled(workers);
      await Promise.all(workers);
      if (signal.aborted) break;
    }
    report.interrupted = signal.aborted;
    return report;
  }

  #name(list: NamedKeys, key: string, reason: string): void {
    list.count++;
    if (list.keys.length < NAMED) list.keys.push({ key, reason });
  }

  async #key(bytes: Buffer): Promise<void> {
    const report = this.#report;
    const id = this.#keys.idOf(bytes);
    const key = bytes.toString();
    if (id === undefined) return this.#name(report.foreign, bytes.toString('latin1'), 'the key is not UTF-8');
    const source = await this.#keys.read(id);
    if (source.type === 'none') return void report.gone++;
    if (source.type === 'other') return this.#name(report.foreign, key, `its type is ${source.name}, not string`);
    if (!isUtf8(source.bytes)) return this.#name(report.foreign, key, 'not UTF-8');
    const text = readOlder(id, source.bytes.toString());
    if (text.kind !== 'conversation') {
      return this.#name(text.kind === 'foreign' ? report.foreign : report.unreadable, key, text.reason);
    }
    const { conversation } = text;
    const snapshot = snapshotOf(id, conversation, source.left);
    report.conversations++;
    report.messages += snapshot.messageCount;
    report.bytes += source.bytes.length;
    const state = await this.#put(key, snapshot, conversation);
    if (state === 'refused') return;
    if (state === 'absent' || state === 'different') {
      if (source.left !== undefined && (await this.#keys.read(id)).type === 'none') return void report.gone++;
      return this.#name(
        report.different,
        key,
        state === 'absent' ? 'it is not in the store' : 'the store has another conversation of this id',
      );
    }
    report[state]++;
    if (!this.#options.removeSource || this.#options.dryRun) return;
    const removal = await this.#keys.remove(id, source.sha1);
    if (removal === 'removed') report.removed++;
    else if (removal === 'changed') this.#name(report.changed, key, 'somebody wrote to it after it was read');
  }

  /** Puts a conversation, unless it is there, and compares what is there with it. */
  async #put(
    key: string,
    snapshot: ConversationSnapshot,
    source: OlderConversation,
  ): Promise<'converted' | 'found' | 'continued' | 'different' | 'absent' | 'refused'> {
    const { provider, dryRun } = this.#options;
    if (!provider) return 'converted';
    const core = internalsOf(provider)?.core;
    if (!core) throw new TypeError('convertOlder needs a provider of this package');
    let created = false;
    if (!dryRun) {
      const result = await provider.restoreConversation(snapshot, { onConflict: 'skip' });
      if (!result.ok) {
        const { error } = result;
        if (!(error instanceof MemoryValidationError || error instanceof MemoryAccessError)) throw error;
        const why = error instanceof MemoryValidationError ? error.issues.map(({ path, reason }) => `${path}: ${reason}`) : [error.message];
        this.#name(this.#report.unreadable, key, why.slice(0, 3).join('; '));
        return 'refused';
      }
      created = !result.data.duplicate;
    }
    const there = await compare(core, snapshot, source, created);
    if (dryRun && there === 'absent') return 'converted';
    return there === 'equal' ? (created ? 'converted' : 'found') : there;
  }
}

function snapshotOf(id: string, source: OlderConversation, left: number | undefined): ConversationSnapshot {
  const now = Date.now();
  const { userId, messages, metadata, createdAt = now, updatedAt = createdAt } = source;
  return {
    conversationId: id,
    ...(userId === undefined ? {} : { userId }),
    messages: messages as unknown as readonly Message[],
    messageCount: messages.length,
    metadata,
    createdAt: new Date(createdAt),
    updatedAt: new Date(updatedAt),
    // 1 ms at least: what the server has not expired yet is there
    ...(left === undefined ? {} : { expiresAt: new Date(now + Math.max(1, left)) }),
    version: 0,
    firstSeq: 1,
  };
}

/** Compares the store with a source. `continued`: all messages of the source, and later ones. */
async function compare(
  core: Core,
  snapshot: ConversationSnapshot,
  source: OlderConversation,
  created: boolean,
): Promise<'equal' | 'continued' | 'different' | 'absent'> {
  const { conversationId: id, messages } = snapshot;
  const call = core.call('migrate', id);
  const window: Window = { kind: 'after', seq: 0, before: messages.length + 1, limit: Math.max(1, messages.length) };
  try {
    const stored = await core.trip(call, (trip) => core.driver.read({ id, now: core.now(), window }, trip));
    if (!stored) return 'absent';
    const { header } = stored;
    const times = source.createdAt === undefined || header.createdAt === snapshot.createdAt.getTime();
    if (header.first !== 1 || header.next <= messages.length || header.owner !== snapshot.userId || !times) return 'different';
    const found = await decodeMessages(stored, window, call);
    const same = messages.every((message, i) => {
      const there = found[i];
      return there !== undefined && encodeMessage(there).text === encodeMessage(message).text;
    });
    if (!same) return 'different';
    const written = snapshot.updatedAt.getTime();
    // written since: what is not a message may have been changed by whoever wrote
    const later = header.next > messages.length + 1 || (source.updatedAt !== undefined && header.updatedAt > written);
    if (!created && later) return 'continued';
    const expires = snapshot.metadata['legalHold'] === true ? undefined : snapshot.expiresAt?.getTime();
    const slack = created ? 0 : EXPIRY_SLACK;
    const expiry =
      expires === undefined || header.expiresAt === undefined
        ? expires === header.expiresAt
        : Math.abs(header.expiresAt - expires) <= slack;
    const equal =
      header.next === messages.length + 1 &&
      (header.updatedAt === written || source.updatedAt === undefined) &&
      canonicalJson(JSON.parse(header.metadata)) === canonicalJson(snapshot.metadata) &&
      expiry;
    return equal ? 'equal' : 'different';
  } catch (error) {
    if (error instanceof MemoryStorageError && error.code === 'corrupt') return 'different';
    throw error;
  }
}
