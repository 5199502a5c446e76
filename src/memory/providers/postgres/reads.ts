/**
 * The statements of sql/read.sql for reads and lists, and their parameters.
 *
 * @module
 */
import type { List, Read, Window } from '../../driver.js';
import { compareCursors, EARLIEST, LATEST } from '../../local.js';
import { escapeJson } from './escape.js';
import type { StoreNames } from './names.js';
import { HEADER_COLUMNS, type Row } from './records.js';
import { type Statement, Statements, type Variant } from './statements.js';

/** Headers one list looks at when it filters, and bytes of bodies it gives, about. */
const SCAN = 1000;
const PAGE_BYTES = 8_388_608;

type Values = (string | null)[];
type Columns = readonly (string | null)[];

const bodyRow = ([seq = null, text = null]: Columns): Row => ({ seq, text });
const placedRow = ([at = null, seq = null, text = null]: Columns): Row => ({ at, seq, text });
const headerRow = (columns: Columns): Row => Object.fromEntries(HEADER_COLUMNS.map((name, n) => [name, columns[n] ?? null]));

/** The numbers of a window; which there are follows from its kind. */
function numbersOf(window: Window): Values {
  switch (window.kind) {
    case 'none':
    case 'all':
      return [];
    case 'last':
      return [String(window.count)];
    case 'after':
      return [String(window.seq), window.before === undefined ? null : String(window.before), String(window.limit)];
    case 'before':
      return [String(window.seq), String(window.limit)];
  }
}

/** The variant of a window whose first number is parameter `from`. */
function windowVariant(kind: Window['kind'], from: number): Variant {
  return { [kind]: true, w1: `$${from}`, w2: `$${from + 1}`, w3: `$${from + 2}` };
}

/** The reads of one store. */
export class Reads {
  readonly #statements: Statements;
  readonly #made = new Map<string, Statement>();

  constructor(names: StoreNames) {
    this.#statements = new Statements(names);
  }

  /** @param row - makes a row of it */
  #get(key: string, name: string, row: (columns: Columns) => Row, variant: () => Variant): Statement {
    let made = this.#made.get(key);
    if (!made) {
      made = { ...this.#statements.get(name, variant()), row };
      this.#made.set(key, made);
    }
    return made;
  }

  /**
   * Reads one conversation.
   *
   * @param packed - whether segments are looked for
   */
  one({ id, now, window }: Read, packed: boolean): { readonly statement: Statement; readonly values: Values } {
    const { kind } = window;
    const statement = this.#get(packed ? `${kind} packed` : kind, 'read', bodyRow, () => ({
      ...windowVariant(kind, 3),
      packed,
      of: '$1',
      place: '',
    }));
    return { statement, values: [id, String(now), ...numbersOf(window)] };
  }

  /** One page of a walk. */
  list(list: List): {
    readonly statement: Statement;
    readonly values: Values;
    /** Rows it looks at, at most: fewer are the last. */
    readonly scan: number;
    /** Every row is a header. */
    readonly headersOnly: boolean;
  } {
    const asc = list.direction === 'asc';
    const byUpdate = list.by === 'updated';
    // ids are never empty: (time, '') stands before everything of that time
    const bound = asc
      ? { at: (byUpdate ? list.since : undefined) ?? EARLIEST.at, id: '' }
      : { at: byUpdate && list.until !== undefined ? list.until + 1 : LATEST.at, id: '' };
    const start = list.after && compareCursors(list.after, bound) > 0 === asc ? list.after : bound;
    const end = asc ? ((byUpdate ? list.until : undefined) ?? LATEST.at) : ((byUpdate ? list.since : undefined) ?? EARLIEST.at);
    const filters =
      list.trace !== undefined || list.metadata !== undefined || (!byUpdate && (list.since !== undefined || list.until !== undefined));
    const { kind } = list.window;
    const headersOnly = !filters && kind === 'none';
    const limit = Math.min(list.limit, SCAN);
    const scan = filters ? SCAN : limit;
    const owner = list.owner === undefined ? [] : [list.owner];
    const place = [String(start.at), start.id, String(end), String(scan)];
    const key = `${headersOnly ? 'headers' : kind} ${list.by} ${list.direction} ${owner.length}`;
    const statement = this.#get(key, headersOnly ? 'headers' : 'list', headersOnly ? headerRow : placedRow, () => ({
      ...windowVariant(kind, 12 + owner.length),
      packed: true,
      of: 'h.conversation_id',
      place: 'h.place,',
      owner: owner.length > 0,
      time: byUpdate ? 'updated_at' : 'created_at',
      direction: asc ? 'ASC' : 'DESC',
      behind: asc ? '>' : '<',
      upto: asc ? '<=' : '>=',
    }));
    if (headersOnly) return { statement, values: [...place, ...owner], scan, headersOnly };
    const values = [
      String(list.now),
      ...place,
      String(limit),
      String(PAGE_BYTES),
      list.trace ?? null,
      list.metadata === undefined ? null : escapeJson(list.metadata),
      list.since === undefined ? null : String(list.since),
      list.until === undefined ? null : String(list.until),
      ...owner,
      ...numbersOf(list.window),
    ];
    return { statement, values, scan, headersOnly };
  }
}
