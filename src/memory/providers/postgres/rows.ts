/**
 * The layout `rows`: a table of headers, one of messages, one of segments. Each operation is one statement of sql/.
 *
 * @module
 */
import type {
  Inspect,
  Inspection,
  List,
  Pack,
  PackOutcome,
  Page,
  Purge,
  PurgeOutcome,
  Read,
  Remove,
  RemoveOutcome,
  StatsPage,
  StatsQuery,
  Stored,
  Trip,
  Write,
  WriteOutcome,
} from '../../driver.js';
import { TOMBSTONE_MS } from '../../driver.js';
import { EARLIEST, resolveWindow } from '../../local.js';
import { Appends } from './append.js';
import { sendBar } from './bar.js';
import type { Connections } from './client.js';
import type { Layout } from './layout.js';
import type { StoreNames } from './names.js';
import {
  appendedOf,
  collect,
  collectOne,
  headerOfRow,
  itemOf,
  outcomeOf,
  removalOf,
  removalOutcomeOf,
  type Row,
  textOf,
} from './records.js';
import { Reads } from './reads.js';
import { type Statement, Statements, type Variant } from './statements.js';

/** Reads of newest messages that look for segments after one that should have. */
const PACKED_READS = 64;
/** Headers one statistics page folds: about 10 ms. */
const FOLD = 5000;
/** Messages and segments (up to 1 MB each) one purge deletes: below 100 ms. */
const REAP_MESSAGES = 5000;
const REAP_SEGMENTS = 100;
/** Tables whose rows belong to a conversation. */
const INSPECTED = ['messages', 'segments', 'operations'] as const;

/** The layout `rows` of one store. */
export class RowsLayout implements Layout {
  readonly #connections: Connections;
  readonly #names: StoreNames;
  readonly #statements: Statements;
  readonly #appends: Appends;
  readonly #reads: Reads;
  /** So many reads of newest messages look for segments. */
  #packedReads = 0;

  constructor(connections: Connections, names: StoreNames) {
    this.#connections = connections;
    this.#names = names;
    this.#statements = new Statements(names);
    this.#appends = new Appends(names);
    this.#reads = new Reads(names);
  }

  #run(name: string, variant: Variant, values: readonly unknown[], trip: Trip): Promise<readonly Row[]> {
    return this.#connections.run(this.#statements.get(name, variant), values, trip);
  }

  // ----------------------------------------------------------------------------------------------------------- writes

  async write(batch: readonly Write[], trip: Trip): Promise<readonly WriteOutcome[]> {
    const [first] = batch;
    if (first && batch.length === 1) return [await this.#writeOne(first, trip)];
    const outcomes: WriteOutcome[] = batch.map(() => ({ kind: 'busy' }));
    const plain = this.#appends.many(batch);
    if (plain) {
      // no row: somebody has it locked, or sql/write.sql has to find out what is the matter, for which it goes alone
      for (const row of await this.#connections.run(plain.statement, plain.values, trip)) outcomes[Number(row['n']) - 1] = appendedOf(row);
    } else {
      const [statement, values] = this.#writeStatement(batch, true, false);
      for (const row of await this.#connections.run(statement, values, trip)) {
        const outcome = outcomeOf(row);
        // a new life after an expiry is rare: alone it is done
        outcomes[Number(row['n'])] = outcome.kind === 'full' ? { kind: 'busy' } : outcome;
      }
    }
    for (let n = 0; n < batch.length; n++) this.#appends.note(batch[n]?.id ?? '', outcomes[n] ?? { kind: 'busy' });
    return outcomes;
  }

  async #writeOne(write: Write, trip: Trip): Promise<WriteOutcome> {
    const plain = this.#appends.one(write);
    if (!plain) return this.#noted(write, await this.#writeFull(write, trip));
    const end = performance.now() + trip.timeout;
    const [row] = await this.#connections.run(plain.statement, plain.values, trip);
    if (row) return this.#noted(write, appendedOf(row));
    if (plain.follows) this.#appends.missed(write.id);
    const again = this.#appends.one(write);
    if (plain.follows && again && !again.follows) {
      const [other] = await this.#connections.run(again.statement, again.values, { timeout: Math.max(1, end - performance.now()) });
      if (other) return this.#noted(write, appendedOf(other));
    }
    return this.#noted(write, await this.#writeFull(write, { timeout: Math.max(1, end - performance.now()) }));
  }

  #noted(write: Write, outcome: WriteOutcome): WriteOutcome {
    this.#appends.note(write.id, outcome);
    return outcome;
  }

  async #writeFull(write: Write, trip: Trip): Promise<WriteOutcome> {
    for (const discard of [false, true]) {
      const [statement, values] = this.#writeStatement([write], false, discard);
      const [row] = await this.#connections.run(statement, values, trip);
      const outcome = outcomeOf(row ?? { outcome: 'again' });
      if (outcome.kind !== 'full') return outcome;
    }
    return { kind: 'again' };
  }

  #writeStatement(batch: readonly Write[], inBatch: boolean, discard: boolean): [Statement, unknown[]] {
    const bodies: string[] = [];
    const items: number[] = [];
    const places: number[] = [];
    for (const [n, write] of batch.entries()) {
      for (const [at, body] of write.bodies.entries()) {
        bodies.push(body.text);
        items.push(n);
        places.push(at);
      }
    }
    const statement = this.#statements.get('write', {
      batch: inBatch,
      creates: !inBatch && batch.some((w) => w.create),
      operation: batch.some((w) => w.operation !== undefined),
      discard: discard || batch.some((w) => w.kind !== 'append' || w.maxMessages !== undefined),
    });
    const list = batch.map(itemOf);
    return [statement, [JSON.stringify(inBatch ? list : list[0]), bodies, items, places]];
  }

  async remove(remove: Remove, trip: Trip): Promise<RemoveOutcome> {
    this.#appends.forget(remove.id);
    const [row] = await this.#run('remove', {}, [JSON.stringify(removalOf(remove))], trip);
    return removalOutcomeOf(row ?? { outcome: 'busy' });
  }

  async pack(pack: Pack, trip: Trip): Promise<PackOutcome> {
    if (typeof pack.data !== 'string') throw new TypeError('a segment must be text');
    const [row] = await this.#run('pack', {}, [pack.id, pack.epoch, pack.from, pack.to, pack.data], trip);
    return Number(row?.['packed']) === 1 ? 'ok' : 'stale';
  }

  bar(ownerHash: string, until: number, trip: Trip): Promise<void> {
    return sendBar(this.#connections, this.#statements, this.#names, ownerHash, until, trip);
  }

  // ------------------------------------------------------------------------------------------------------------ reads

  async read(read: Read, trip: Trip): Promise<Stored | undefined> {
    const { window } = read;
    // the newest messages are rarely packed: looking for segments is a quarter of the statement's time
    const packed = window.kind !== 'last' || this.#packedReads > 0;
    if (packed && this.#packedReads > 0) this.#packedReads--;
    const end = performance.now() + trip.timeout;
    const { statement, values } = this.#reads.one(read, packed);
    const stored = collectOne(await this.#connections.run(statement, values, trip));
    if (packed || !stored || stored.header.packedTo <= resolveWindow(stored.header, window).from) return stored;
    this.#packedReads = PACKED_READS;
    const full = this.#reads.one(read, true);
    return collectOne(await this.#connections.run(full.statement, full.values, { timeout: Math.max(1, end - performance.now()) }));
  }

  async list(list: List, trip: Trip): Promise<Page> {
    const { statement, values, scan, headersOnly } = this.#reads.list(list);
    const rows = await this.#connections.run(statement, values, trip);
    if (headersOnly) {
      const headers = rows.map(headerOfRow);
      const items = headers
        .filter(({ expiresAt }) => expiresAt === undefined || expiresAt > list.now)
        .map((header) => ({ header, bodies: [], segments: [] }));
      const last = headers.at(-1);
      if (headers.length < scan || !last) return { items };
      return { items, cursor: { at: list.by === 'updated' ? last.updatedAt : last.createdAt, id: last.id } };
    }
    const { items, end: reached } = collect(rows);
    const [looked, foundMore, at, id] = reached ?? [0, false, null, null];
    if ((looked < scan && !foundMore) || at === null || id === null) return { items };
    return { items, cursor: { at, id } };
  }

  async stats(query: StatsQuery, trip: Trip): Promise<StatsPage> {
    const { at, id } = query.after ?? EARLIEST;
    const limit = Math.min(query.limit, FOLD);
    const owner = query.owner === undefined ? [] : [query.owner];
    const [row] = await this.#run('stats', { owner: owner.length > 0 }, [query.now, at, id, limit, ...owner], trip);
    if (!row) return { conversations: 0, messages: 0, bytes: 0 };
    const more = Number(row['looked']) >= limit;
    return {
      conversations: Number(row['conversations']),
      messages: Number(row['messages']),
      bytes: Number(row['bytes']),
      oldest: row['oldest'] === null ? undefined : Number(row['oldest']),
      newest: row['newest'] === null ? undefined : Number(row['newest']),
      ...(more ? { cursor: { at: Number(row['at']), id: textOf(row['id']) } } : {}),
    };
  }

  // ----------------------------------------------------------------------------------------------------------- purges

  async purge(purge: Purge, trip: Trip): Promise<PurgeOutcome> {
    const { now, limit } = purge;
    switch (purge.kind) {
      case 'expired': {
        const owner = purge.owner === undefined ? [] : [purge.owner];
        return this.#purge('expired', { owner: owner.length > 0 }, [now, limit, ...owner], trip);
      }
      case 'idle': {
        const owner = purge.owner === undefined ? [] : [purge.owner];
        const { at, id } = purge.after ?? EARLIEST;
        return this.#purge('idle', { owner: owner.length > 0 }, [now, limit, at, id, purge.until, ...owner], trip);
      }
      case 'user': {
        const { at, id } = purge.after ?? EARLIEST;
        const { upTo, owner, allowHold, forget } = purge;
        const values = [now, limit, owner, at, id, upTo.at, upTo.id, allowHold];
        const outcome = forget
          ? await this.#purge('forget', {}, [...values, REAP_MESSAGES, REAP_SEGMENTS], trip)
          : await this.#purge('user', {}, values, trip);
        // a batch that could finish no conversation continues where it began
        return outcome.more && !outcome.cursor && purge.after ? { ...outcome, cursor: purge.after } : outcome;
      }
      case 'reap':
        return this.#purge(
          'reap',
          { forget: purge.forget === true },
          [now, limit, REAP_MESSAGES, REAP_SEGMENTS, purge.forget ? Number.MAX_SAFE_INTEGER : now - TOMBSTONE_MS],
          trip,
        );
    }
  }

  /** `after`: number of the table, epoch and conversation. */
  async inspect({ after = '0 0 ', limit, fix }: Inspect, trip: Trip): Promise<Inspection> {
    const [, table = '0', epoch = '0', id = ''] = /^(\d+) (\d+) ([^]*)$/.exec(after) ?? [];
    const next = Number(table) + 1 < INSPECTED.length ? `${Number(table) + 1} 0 ` : undefined;
    const variant = { table: `{${INSPECTED[Number(table)] ?? 'messages'}}`, fix };
    const [row] = await this.#run('inspect', variant, [id, epoch, limit], trip);
    if (!row) return { looked: 0, orphans: 0, after: next };
    const looked = Number(row['looked']);
    const here = `${table} ${textOf(row['epoch'])} ${textOf(row['id'])}`;
    return { looked, orphans: Number(row['orphans']), after: looked < limit ? next : here };
  }

  async #purge(name: string, variant: Variant, values: readonly unknown[], trip: Trip): Promise<PurgeOutcome> {
    const limits = { limit: String(values[1]), messages: String(REAP_MESSAGES), segments: String(REAP_SEGMENTS) };
    const [row] = await this.#run(name, { ...variant, ...limits }, values, trip);
    if (!row) return { removed: 0, messages: 0, bytes: 0, more: false };
    const more = row['more'] === true;
    return {
      removed: Number(row['removed']),
      messages: Number(row['messages']),
      bytes: Number(row['bytes']),
      more,
      ...(more && row['at'] !== null && row['id'] !== null ? { cursor: { at: Number(row['at']), id: textOf(row['id']) } } : {}),
    };
  }
}
