/**
 * The statements of sql/*.sql by name.
 *
 * @module
 */
import type { Database, SqlValue, Statement } from './client.js';
import { sql } from './sql.generated.js';

/** The columns of {@link HeaderRow} (rows.ts), in its order. */
const HEADER =
  'key, base, id, owner, trace, epoch, version, created_at, updated_at, ttl, expires_at, hold, first, next, packed_to, bytes, metadata';

/** The statements of sql/*.sql that are not migrations: name and text. */
export function statementTexts(): readonly (readonly [name: string, text: string])[] {
  return (
    Object.entries(sql)
      .filter(([file]) => !/^\d/.test(file))
      // the first piece is what stands above the first name
      .flatMap(([, text]) => text.split(/^-- name: /m).slice(1))
      .map((piece) => [piece.slice(0, piece.indexOf('\n')), piece.slice(piece.indexOf('\n')).replace('{header}', HEADER)])
  );
}

/** A prepared statement. `names`: its rows come as arrays, of these columns; the SQLite of an older Node can only give objects. */
interface Prepared {
  readonly statement: Statement;
  readonly names: readonly string[] | undefined;
}

/**
 * The statements of sql/*.sql, prepared once for a connection. Rows are taken as arrays: setting each property from outside
 * JavaScript takes twice as long (measured on a window of 50 bodies: 57 against 33 µs).
 */
export class Statements {
  readonly #prepared = new Map<string, Prepared>();

  /** @param db - a migrated database */
  constructor(db: Database) {
    for (const [name, text] of statementTexts()) {
      const statement = db.prepare(text);
      const names = statement.setReturnArrays && statement.columns?.().map((column) => column.name);
      if (names) statement.setReturnArrays?.(true);
      this.#prepared.set(name, { statement, names });
    }
  }

  #named(name: string): Prepared {
    const prepared = this.#prepared.get(name);
    if (!prepared) throw new Error(`no statement is named ${name}`);
    return prepared;
  }

  /** Runs a statement that answers nothing. With `get`: `run` would make an object of counts each time (measured: 0.7 µs). */
  run(name: string, ...values: readonly SqlValue[]): void {
    this.#named(name).statement.get(...values);
  }

  /** Runs a statement; returns the number of rows it changed. */
  count(name: string, ...values: readonly SqlValue[]): number {
    return Number(this.#named(name).statement.run(...values).changes);
  }

  /** Runs an INSERT; returns the key of the new row. */
  insert(name: string, ...values: readonly SqlValue[]): number {
    return Number(this.#named(name).statement.run(...values).lastInsertRowid);
  }

  /** The first row. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says what its statement selects, as with all()
  get<T>(name: string, ...values: readonly SqlValue[]): T | undefined {
    const { statement, names } = this.#named(name);
    const row = statement.get(...values);
    return row === undefined ? undefined : (toObject(row, names) as T);
  }

  /** All rows. */
  all<T>(name: string, ...values: readonly SqlValue[]): T[] {
    const { statement, names } = this.#named(name);
    return statement.all(...values).map((row) => toObject(row, names) as T);
  }

  /** The first row as an array: for long rows, because naming 17 columns one by one takes as long as reading them. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as with get()
  tuple<T extends readonly SqlValue[]>(name: string, ...values: readonly SqlValue[]): T | undefined {
    const row = this.#named(name).statement.get(...values);
    return row === undefined ? undefined : (toTuple(row) as T);
  }

  /** All rows as arrays. */
  tuples<T extends readonly SqlValue[]>(name: string, ...values: readonly SqlValue[]): T[] {
    return this.#named(name)
      .statement.all(...values)
      .map((row) => toTuple(row) as T);
  }

  /** The first column of the first row. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as with get()
  value<T extends SqlValue>(name: string, ...values: readonly SqlValue[]): T | undefined {
    return this.tuple<readonly [T]>(name, ...values)?.[0];
  }

  /** The first column of all rows. */
  values<T extends SqlValue>(name: string, ...values: readonly SqlValue[]): T[] {
    return this.#named(name)
      .statement.all(...values)
      .map((row) => toTuple(row)[0] as T);
  }
}

function toObject(row: unknown, names: readonly string[] | undefined): unknown {
  if (!names) return row;
  const named: Record<string, unknown> = {};
  for (let i = 0; i < names.length; i++) named[names[i] as string] = (row as readonly unknown[])[i];
  return named;
}

function toTuple(row: unknown): readonly unknown[] {
  return Array.isArray(row) ? row : Object.values(row as object);
}
