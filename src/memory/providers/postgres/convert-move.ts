/**
 * One move of a table of documents: copies, compares, catches up with writers and switches over.
 *
 * @module
 */
import type { Session } from './client.js';
import { CHUNK, Copier } from './convert-copy.js';
import { dropStaging, moveFailure, type MoveNames, switchOver } from './convert-switch.js';
import { documentOf } from './document-state.js';
import { type Shape, shapeVariant } from './document-shape.js';
import { sqlState } from './failures.js';
import { look, SCHEMA_VERSION, schemaStatements } from './migrate.js';
import { quoteName, tableOf } from './names.js';
import { textOf } from './records.js';
import { Statements } from './statements.js';

/** Ids of one page of a walk. */
const PAGE = 1000;
/** How often it is tried to get the table alone, and how often before each try to come near to what others write. */
const TRIES = 5;
const PASSES = 10;
/** Documents that are copied while everybody else waits: about half a second. More are copied before, beside the others. */
const HELD = 500;
/** Milliseconds to wait for the table: everybody else waits behind. */
const LOCK_MS = 3000;
/** How a move is made. */
export interface ConvertOptions {
  /** Conversations of one transaction at most. */
  readonly batch: number;
  /** Only look. */
  readonly dryRun: boolean;
  /** Ends it between two batches; the next run goes on. */
  readonly signal: AbortSignal;
  /** Told how far it is. */
  readonly onProgress: (stage: 'copy' | 'verify', done: number, total: number) => void;
}

/** What a move came to. */
export interface ConvertReport {
  /**
   * `already`: it has the layout rows. `planned`: a dry run. `moved`: done. To be run again: `interrupted`, and `busy` (others
   * keep writing, or hold the table). `different` (copies that were not as their documents; run again, they are copied again)
   * and `unreadable` (documents that mean nothing) leave everything in place.
   */
  readonly state: 'already' | 'planned' | 'moved' | 'interrupted' | 'busy' | 'different' | 'unreadable';
  /** Quoted. */
  readonly table: string;
  readonly shape?: Shape;
  /** Documents, tombstones among them. */
  readonly documents: number;
  readonly tombstones: number;
  /** Of a dry run: those whose time is over, and will be moved as such. */
  readonly expired: number;
  readonly messages: number;
  /** UTF-8 bytes of messages and metadata. */
  readonly bytes: number;
  /** By this run. */
  readonly copied: number;
  /** Left by earlier runs. */
  readonly found: number;
  /** Ids. */
  readonly different: readonly string[];
  readonly unreadable: readonly string[];
  /** Where the documents are kept; quoted. */
  readonly old?: string;
  /** Columns somebody added: they stay with the old table. */
  readonly others?: readonly string[];
}

/** A report that has nothing to count. */
export const NOTHING: Omit<ConvertReport, 'state' | 'table'> = {
  documents: 0,
  tombstones: 0,
  expired: 0,
  messages: 0,
  bytes: 0,
  copied: 0,
  found: 0,
  different: [],
  unreadable: [],
};

/** What is known of the table. */
export interface MovedTable {
  readonly shape: Shape;
  readonly owner: string;
  /** Columns that stay behind. */
  readonly others: readonly string[];
}

/** One move, from its beginning or from where an earlier run left it. */
export class Move {
  readonly #query: Session;
  readonly #names: MoveNames;
  readonly #table: MovedTable;
  readonly #options: ConvertOptions;
  readonly #source: Statements;
  readonly #copier: Copier;
  #copied = 0;
  #found = 0;
  readonly #unreadable = new Set<string>();

  constructor(query: Session, names: MoveNames, table: MovedTable, options: ConvertOptions) {
    this.#query = query;
    this.#names = names;
    this.#table = table;
    this.#options = options;
    this.#source = new Statements(names.final);
    this.#copier = new Copier(query, this.#source, new Statements(names.staging), { ...shapeVariant(table.shape), copied: names.copied });
  }

  #report(state: ConvertReport['state'], more: Partial<ConvertReport> = {}): ConvertReport {
    const { final, old } = this.#names;
    return {
      ...NOTHING,
      state,
      table: tableOf(final),
      shape: this.#table.shape,
      copied: this.#copied,
      found: this.#found,
      unreadable: [...this.#unreadable],
      old: tableOf({ ...final, table: old }),
      ...(this.#table.others.length > 0 ? { others: this.#table.others } : {}),
      ...more,
    };
  }

  /** Pages of ids with their marks, in order. */
  async *#walk(): AsyncGenerator<readonly { readonly id: string; readonly mark: string }[]> {
    for (let after: string | undefined; ; ) {
      const rows = await this.#copier.source('convertWalk', after === undefined ? [PAGE] : [PAGE, after], { behind: after !== undefined });
      const page = rows.map((row) => ({ id: textOf(row['id']), mark: textOf(row['mark']) }));
      if (page.length > 0) yield page;
      if (page.length < PAGE) return;
      after = page.at(-1)?.id;
    }
  }

  async #marks(ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#copier.source('convertMarks', [ids]);
    return new Map(rows.map((row) => [textOf(row['id']), textOf(row['mark'])]));
  }

  async #count(): Promise<number> {
    const [row] = await this.#query(`SELECT count(*) AS n FROM ${tableOf(this.#names.final)}`);
    return Number(row?.['n']);
  }

  /** What there is to do. */
  async plan(): Promise<ConvertReport> {
    const [begun] = await this.#query('SELECT to_regclass($1) IS NOT NULL AS there', [this.#names.copied]);
    const sums = { documents: 0, tombstones: 0, expired: 0, messages: 0, bytes: 0 };
    const now = Date.now();
    for await (const page of this.#walk()) {
      if (this.#options.signal.aborted) return this.#report('interrupted', sums);
      const ids = page.map(({ id }) => id);
      if (begun?.['there'] === true) {
        const marks = await this.#marks(ids);
        this.#found += page.filter(({ id, mark }) => marks.get(id) === mark).length;
      }
      const readable: string[] = [];
      for (const row of await this.#copier.source('convertSizes', [ids])) {
        if (row['kind'] === 'array') readable.push(textOf(row['id']));
        else this.#unreadable.add(textOf(row['id']));
      }
      for (const row of await this.#copier.source('convertRead', [readable], { whole: false })) {
        const { state } = documentOf(row);
        if (state.removedAt !== undefined) sums.tombstones++;
        else if (state.expiresAt !== undefined && state.expiresAt <= now) sums.expired++;
        sums.messages += state.next - state.first;
        sums.bytes += state.bytes;
      }
      sums.documents += page.length;
    }
    return this.#report(this.#unreadable.size > 0 ? 'unreadable' : 'planned', sums);
  }

  /** Does it. */
  async make(): Promise<ConvertReport> {
    const { signal } = this.#options;
    await this.#begin();
    await this.#copyAll();
    if (!this.#ended()) await this.#dropGone();
    let different = this.#ended() ? [] : await this.#verifyAll(true);
    for (let tries = 0; tries < TRIES; tries++) {
      // each pass is shorter than the one before, so there is less to copy after it
      for (let pass = 0; pass < PASSES && !this.#ended() && different.length === 0; pass++) {
        const changed = await this.#changed(PAGE);
        // the first pass also copies what is too large to be copied while others wait
        if (changed.length === 0 || (pass > 0 && changed.length <= HELD)) break;
        different = await this.#follow(changed);
      }
      if (this.#unreadable.size > 0) return this.#report('unreadable', { documents: await this.#count() });
      if (different.length > 0) return this.#report('different', { documents: await this.#count(), different });
      if (signal.aborted) return this.#report('interrupted', { documents: await this.#count() });
      const moved = await this.#switch();
      if (moved) return moved;
    }
    return this.#report('busy', { documents: await this.#count() });
  }

  #ended(): boolean {
    return this.#options.signal.aborted || this.#unreadable.size > 0;
  }

  /** Makes the new tables, unless an earlier run of this version did. */
  async #begin(): Promise<void> {
    const { staging, copied } = this.#names;
    const [there] = await this.#query('SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL AS there', [
      copied,
      tableOf(staging, 'migrations'),
    ]);
    if (there?.['there'] === true && (await look(this.#query, staging)).version === SCHEMA_VERSION) return;
    await this.#query('BEGIN');
    try {
      await dropStaging(this.#query, this.#names);
      await this.#query(schemaStatements(staging));
      await this.#copier.source('convertBegin', []);
    } catch (error) {
      if (sqlState(error) !== '42501') throw error;
      throw moveFailure(
        `the role may not create tables beside ${tableOf(this.#names.final)}. Run as an owner: GRANT CREATE ON SCHEMA ${quoteName(this.#names.final.schema)} TO that role.`,
      );
    }
    await this.#query('COMMIT');
  }

  async #copyAll(): Promise<void> {
    const { onProgress } = this.#options;
    const total = await this.#count();
    let done = 0;
    for await (const page of this.#walk()) {
      const marks = await this.#marks(page.map(({ id }) => id));
      const due = page.filter(({ id, mark }) => marks.get(id) !== mark).map(({ id }) => id);
      done += page.length - due.length;
      this.#found += page.length - due.length;
      const before = done;
      await this.#copy(due, (copied) => {
        done = before + copied;
        onProgress('copy', Math.min(done, total), total);
      });
      if (this.#options.signal.aborted) return;
      onProgress('copy', Math.min(done, total), total);
    }
  }

  /** Copies documents in batches. */
  async #copy(ids: readonly string[], tell: (done: number) => void): Promise<void> {
    const { signal, batch } = this.#options;
    for (let at = 0; at < ids.length && !signal.aborted; at += batch) {
      const group = ids.slice(at, at + batch);
      const { copied, unreadable } = await this.#copier.copy(group, false, signal);
      this.#copied += copied;
      for (const id of unreadable) this.#unreadable.add(id);
      tell(at + group.length);
    }
  }

  /** Copies whose document is gone go too. */
  async #dropGone(): Promise<void> {
    for (;;) {
      const rows = await this.#copier.source('convertGone', [PAGE]);
      if (rows.length === 0) return;
      await this.#copier.target('convertClear', [rows.map((row) => textOf(row['id'])), true]);
    }
  }

  async #verifyAll(tell: boolean): Promise<readonly string[]> {
    const { signal, onProgress } = this.#options;
    const [count] = await this.#query(`SELECT count(*) AS n FROM ${this.#names.copied} WHERE NOT verified`);
    const total = Number(count?.['n']);
    const different: string[] = [];
    let done = 0;
    for (let after = ''; ; ) {
      const rows = await this.#copier.source('convertUnverified', [PAGE, after]);
      const group = new Map<string, string>();
      let bytes = 0;
      const flush = async (): Promise<void> => {
        if (group.size > 0) different.push(...(await this.#copier.verify(group)));
        done += group.size;
        group.clear();
        bytes = 0;
        if (tell) onProgress('verify', Math.min(done, total), total);
      };
      for (const row of rows) {
        const size = Number(row['size']);
        if (group.size >= this.#options.batch || bytes + size > CHUNK) await flush();
        if (signal.aborted) return different;
        group.set(textOf(row['id']), textOf(row['digest']));
        bytes += size;
      }
      await flush();
      if (rows.length < PAGE) return different;
      after = textOf(rows.at(-1)?.['id']);
    }
  }

  /** Takes the table alone, copies what was written last, and gives the new tables their names. Undefined: not yet. */
  async #switch(): Promise<ConvertReport | undefined> {
    const { final } = this.#names;
    const query = this.#query;
    // each statement must see what was committed before the lock was got, whatever the database's default is
    await query('BEGIN ISOLATION LEVEL READ COMMITTED');
    try {
      await query(`SET LOCAL lock_timeout = ${LOCK_MS}`);
      // providers that start do not look while names change
      await query("SELECT pg_advisory_xact_lock(hashtextextended('jaf:migrate', 0))");
      await query(`LOCK TABLE ${tableOf(final)} IN ACCESS EXCLUSIVE MODE`);
      if (!(await this.#catchUp())) {
        await query('ROLLBACK');
        return undefined;
      }
      const [row] = await this.#copier.target('convertCounts', []);
      const documents = await this.#count();
      if (Number(row?.['headers']) !== documents || Number(row?.['copied']) !== documents) {
        await query('ROLLBACK');
        throw moveFailure(`${documents} documents, but ${Number(row?.['headers'])} copies. Nothing was switched over. Run this again.`);
      }
      await switchOver(query, this.#names, this.#source, this.#table.owner);
      await query('COMMIT');
      return this.#report('moved', {
        documents,
        tombstones: Number(row?.['tombstones']),
        messages: Number(row?.['messages']),
        bytes: Number(row?.['bytes']),
      });
    } catch (error) {
      // a lock that was not to be had, or a deadlock with somebody who waited for us
      if (!['55P03', '40P01'].includes(sqlState(error) ?? '')) throw error;
      await query('ROLLBACK');
      return undefined;
    }
  }

  /** What was written since it was copied. */
  async #changed(most: number): Promise<{ readonly length: number; readonly gone: readonly string[]; readonly due: readonly string[] }> {
    const rows = await this.#copier.source('convertChanged', [most]);
    const idsOf = (gone: boolean): string[] => rows.filter((row) => (row['gone'] === true) === gone).map((row) => textOf(row['id']));
    return { length: rows.length, gone: idsOf(true), due: idsOf(false) };
  }

  /** Copies it beside the others; returns the ids of copies that differ. */
  async #follow({ gone, due }: { readonly gone: readonly string[]; readonly due: readonly string[] }): Promise<readonly string[]> {
    await this.#copier.target('convertClear', [gone, true]);
    await this.#copy(due, () => {});
    return this.#ended() ? [] : this.#verifyAll(false);
  }

  /** What was written since the last look, when that is little. */
  async #catchUp(): Promise<boolean> {
    const { length, gone, due } = await this.#changed(HELD + 1);
    if (length === 0) return true;
    if (length > HELD) return false;
    const sizes = await this.#copier.source('convertSizes', [due]);
    if (sizes.some((row) => row['kind'] !== 'array') || sizes.reduce((sum, row) => sum + Number(row['size']), 0) > CHUNK) return false;
    await this.#copier.target('convertClear', [gone, true]);
    // no signal: from here on it is a matter of milliseconds
    const { copied, unreadable } = await this.#copier.copy(due, true, new AbortController().signal);
    if (unreadable.length > 0) return false;
    this.#copied += copied;
    const rows = await this.#copier.source('convertUnverified', [PAGE, '']);
    const different = await this.#copier.verify(new Map(rows.map((row) => [textOf(row['id']), textOf(row['digest'])])));
    return different.length === 0;
  }
}
