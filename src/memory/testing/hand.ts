/**
 * A writer that speaks to a driver directly, for cases about what only the driver interface shows.
 *
 * @module
 */
import { setTimeout as wait } from 'node:timers/promises';
import { decodeMessage, encodeMessage } from '../codec.js';
import type {
  Body,
  Cursor,
  Header,
  List,
  Pack,
  PackOutcome,
  Page,
  Purge,
  PurgeOutcome,
  Remove,
  RemoveOutcome,
  StatsPage,
  StatsQuery,
  StorageDriver,
  Stored,
  Trip,
  Window,
  Write,
  WriteOutcome,
  WriterMark,
} from '../driver.js';
import { textOf } from '../message.js';
import { packSegment } from '../segment.js';
import { check, fail, present } from './assert.js';
import type { FakeClock } from './clock.js';

/** A trip may take a minute: no case is about time. */
export const TRIP: Trip = { timeout: 60_000 };
/** How often a write that finds the store busy is sent again. */
const ATTEMPTS = 2_000;
/** More pages than any walk of the kit has: a driver whose cursor stands still is stopped here. */
const MAX_PAGES = 10_000;

/** A body as the layer would encode it. */
export function bodyOf(text: string): Body {
  return encodeMessage({ role: 'user', content: text });
}

/** What the text in a body was. */
export function textIn(body: Body): string {
  return textOf(decodeMessage({ text: body.text, bytes: body.bytes }));
}

/** The texts of the bodies that are not in segments. */
export function textsIn(stored: Stored | undefined): string[] | undefined {
  return stored?.bodies.map(({ body }) => textIn(body));
}

/** A segment of these texts, in the form the driver stores. */
export function segmentOf(driver: StorageDriver, packed: readonly string[]): Promise<Uint8Array | string> {
  return packSegment(packed.map(bodyOf), driver.capabilities.segments);
}

/** Bytes of the bodies of these texts. */
export function bytesOf(bodies: readonly string[]): number {
  return bodies.reduce((sum, text) => sum + bodyOf(text).bytes, 0);
}

/** `m1 m2 m3 …`: texts of a run of messages. */
export function texts(from: number, to: number, prefix = 'm'): string[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => `${prefix}${from + i}`);
}

/** Fields of a write that differ from the usual. */
export type WriteFields = Partial<Omit<Write, 'id' | 'bodies' | 'kind'>>;
/** An applied write. */
export type Applied = Extract<WriteOutcome, { kind: 'ok' }>;

/** The outcome, which must be `ok`. */
export function applied(outcome: WriteOutcome, what: string): Applied {
  if (outcome.kind !== 'ok') fail(`${what}: expected outcome ok, got ${JSON.stringify(outcome)}`);
  return outcome;
}

let hands = 0;

/** One writer with its own id and counter. */
export class Hand {
  /** The driver it speaks to. */
  readonly driver: StorageDriver;
  readonly #clock: FakeClock;
  readonly #id: string;
  #counter = 0;

  /**
   * @param driver - an open driver
   * @param clock - gives `now` of every call
   */
  constructor(driver: StorageDriver, clock: FakeClock) {
    this.driver = driver;
    this.#clock = clock;
    this.#id = `hand-${++hands}`;
  }

  /** The mark of the next write. */
  mark(): WriterMark {
    return { id: this.#id, counter: ++this.#counter };
  }

  /** A write that is not sent yet: its `writer` and `now` stay, so that it can be sent again. */
  prepare(kind: Write['kind'], id: string, bodies: readonly string[], fields: WriteFields = {}): Write {
    return {
      kind,
      id,
      now: this.#clock.now(),
      writer: this.mark(),
      retry: false,
      scoped: false,
      create: kind !== 'append',
      bodies: bodies.map(bodyOf),
      ...fields,
    };
  }

  /** Sends a prepared write until it is decided. */
  async send(write: Write): Promise<WriteOutcome> {
    const [outcome] = await this.sendAll([write]);
    return present(outcome, 'outcome of a write');
  }

  /** Sends prepared writes together, then alone those that the driver did not take. */
  async sendAll(batch: readonly Write[]): Promise<readonly WriteOutcome[]> {
    const outcomes = [...(await this.#undisturbed(() => this.driver.write(batch, TRIP)))];
    check(outcomes.length === batch.length, `write: ${batch.length} writes got ${outcomes.length} outcomes`);
    for (const [i, write] of batch.entries()) {
      for (let n = 0; outcomes[i]?.kind === 'busy' || outcomes[i]?.kind === 'again'; n++) {
        if (n === ATTEMPTS) fail(`write ${write.kind}: still ${outcomes[i]?.kind} after ${ATTEMPTS} attempts`);
        if (n > 0) await wait(1);
        const [outcome] = await this.#undisturbed(() => this.driver.write([write], TRIP));
        outcomes[i] = present(outcome, 'outcome of a write');
      }
    }
    return outcomes;
  }

  /** Sends a write that may have been applied before. */
  resend(write: Write): Promise<WriteOutcome> {
    return this.send({ ...write, retry: true });
  }

  /** Sends an append. */
  append(id: string, bodies: readonly string[], fields: WriteFields = {}): Promise<WriteOutcome> {
    return this.send(this.prepare('append', id, bodies, fields));
  }

  /** Sends a put. */
  put(id: string, bodies: readonly string[], fields: WriteFields = {}): Promise<WriteOutcome> {
    return this.send(this.prepare('put', id, bodies, fields));
  }

  /** Begins a conversation; fails the case when there is one. */
  async create(id: string, bodies: readonly string[], fields: WriteFields = {}): Promise<Applied> {
    const outcome = applied(await this.append(id, bodies, { create: true, ...fields }), `create ${id}`);
    check(outcome.receipt.created, `create ${id}: receipt.created is false`);
    return outcome;
  }

  /** Sends a restore. */
  restore(id: string, bodies: readonly string[], restore: NonNullable<Write['restore']>, fields: WriteFields = {}): Promise<WriteOutcome> {
    return this.send(this.prepare('restore', id, bodies, { restore, ...fields }));
  }

  /** Reads by the case's clock. */
  read(id: string, window: Window = { kind: 'all' }): Promise<Stored | undefined> {
    return this.#undisturbed(() => this.driver.read({ id, window, now: this.#clock.now() }, TRIP));
  }

  /** The conversation, which must be there. */
  async stored(id: string, window: Window = { kind: 'all' }): Promise<Stored> {
    return present(await this.read(id, window), `read ${id}`);
  }

  /** The header of a conversation that must be there. */
  async header(id: string): Promise<Header> {
    return (await this.stored(id, { kind: 'none' })).header;
  }

  /** Texts of all messages; nothing of it may be packed. */
  async texts(id: string): Promise<string[] | undefined> {
    return textsIn(await this.read(id));
  }

  /** A removal that is not sent yet. */
  prepareRemove(id: string, fields: Partial<Omit<Remove, 'id'>> = {}): Remove {
    return { id, now: this.#clock.now(), writer: this.mark(), retry: false, scoped: false, ...fields };
  }

  /** Sends a prepared removal until it is decided. */
  async sendRemove(remove: Remove): Promise<RemoveOutcome> {
    for (let n = 0; n < ATTEMPTS; n++) {
      const outcome = await this.#undisturbed(() => this.driver.remove(remove, TRIP));
      if (outcome.kind !== 'busy') return outcome;
      await wait(1);
    }
    return fail(`remove: still busy after ${ATTEMPTS} attempts`);
  }

  /** Sends a removal. */
  remove(id: string, fields: Partial<Omit<Remove, 'id'>> = {}): Promise<RemoveOutcome> {
    return this.sendRemove(this.prepareRemove(id, fields));
  }

  /** Swaps bodies for a segment. */
  pack(pack: Omit<Pack, 'now'>): Promise<PackOutcome> {
    return this.#undisturbed(() => this.driver.pack({ now: this.#clock.now(), ...pack }, TRIP));
  }

  /** One page of a list: by default the newest, headers only. */
  list(fields: Partial<List> = {}): Promise<Page> {
    const query: List = { now: this.#clock.now(), by: 'updated', direction: 'desc', limit: 100, window: { kind: 'none' }, ...fields };
    return this.#undisturbed(() => this.driver.list(query, TRIP));
  }

  /** All pages of a walk. */
  async walk(fields: Partial<List> = {}, between?: (page: Page) => Promise<void>): Promise<Stored[]> {
    const limit = fields.limit ?? 100;
    const items: Stored[] = [];
    let after: Cursor | undefined = fields.after;
    for (let n = 0; n < MAX_PAGES; n++) {
      const page = await this.list({ ...fields, after });
      check(page.items.length <= limit, `list: limit ${limit} gave ${page.items.length} items`);
      items.push(...page.items);
      if (!page.cursor) return items;
      after = page.cursor;
      await between?.(page);
    }
    return fail(`list: no end after ${MAX_PAGES} pages`);
  }

  /** Ids of a walk, in its order. */
  async ids(fields: Partial<List> = {}): Promise<string[]> {
    return (await this.walk(fields)).map(({ header }) => header.id);
  }

  /** Totals over all pages. */
  async stats(fields: Partial<StatsQuery> = {}): Promise<StatsPage> {
    let sum: StatsPage = { conversations: 0, messages: 0, bytes: 0 };
    let after: Cursor | undefined;
    for (let n = 0; n < MAX_PAGES; n++) {
      const page = await this.#undisturbed(() => this.driver.stats({ now: this.#clock.now(), limit: 100, ...fields, after }, TRIP));
      const times = [sum.oldest, sum.newest, page.oldest, page.newest].filter((t) => t !== undefined);
      sum = {
        conversations: sum.conversations + page.conversations,
        messages: sum.messages + page.messages,
        bytes: sum.bytes + page.bytes,
        ...(times.length > 0 ? { oldest: Math.min(...times), newest: Math.max(...times) } : {}),
      };
      if (!page.cursor) return sum;
      after = page.cursor;
    }
    return fail(`stats: no end after ${MAX_PAGES} pages`);
  }

  /** One batch of a purge. */
  purgeOnce(purge: Purge): Promise<PurgeOutcome> {
    return this.#undisturbed(() => this.driver.purge(purge, TRIP));
  }

  /** A purge, batch after batch to its end; no batch may remove more conversations than its limit. */
  async purge(purge: Purge): Promise<{ removed: number; messages: number; bytes: number; batches: number }> {
    const sum = { removed: 0, messages: 0, bytes: 0, batches: 0 };
    let next = purge;
    while (sum.batches < MAX_PAGES) {
      const batch = await this.purgeOnce(next);
      check(batch.removed <= purge.limit, `purge ${purge.kind}: limit ${purge.limit} removed ${batch.removed}`);
      sum.removed += batch.removed;
      sum.messages += batch.messages;
      sum.bytes += batch.bytes;
      sum.batches++;
      if (!batch.more) return sum;
      if (next.kind === 'user' || next.kind === 'idle') next = { ...next, after: batch.cursor ?? next.after };
    }
    return fail(`purge ${purge.kind}: no end after ${MAX_PAGES} batches`);
  }

  /** Repeats a trip while the driver says that it was not carried out and may be repeated (a locked file). */
  async #undisturbed<R>(trip: () => Promise<R>): Promise<R> {
    for (let n = 0; ; n++) {
      try {
        return await trip();
      } catch (error) {
        if (n === ATTEMPTS || this.driver.classify(error).kind !== 'retryable') throw error;
        await wait(1);
      }
    }
  }
}
