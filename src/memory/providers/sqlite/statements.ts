/**
 * The statements of sql/*.sql by name.
 *
 * @module
 */
import type { Database, SqlValue, Statement } from './client.js';
import { sql } from './sql.generated.js';

/** The statements of sql/*.sql, prepared once for a connection. */
export class Statements {
  readonly #prepared = new Map<string, Statement>();

  /** @param db - a migrated database */
  constructor(db: Database) {
    for (const [file, text] of Object.entries(sql)) {
      if (/^\d/.test(file)) continue;
      // the first piece is what stands above the first name
      for (const piece of text.split(/^-- name: /m).slice(1)) {
        const end = piece.indexOf('\n');
        this.#prepared.set(piece.slice(0, end), db.prepare(piece.slice(end)));
      }
    }
  }

  #named(name: string): Statement {
    const statement = this.#prepared.get(name);
    if (!statement) throw new Error(`no statement is named ${name}`);
    return statement;
  }

  /** Runs a statement; returns the number of rows it changed. */
  run(name: string, ...values: readonly SqlValue[]): number {
    return Number(this.#named(name).run(...values).changes);
  }

  /** Runs an INSERT; returns the key of the new row. */
  insert(name: string, ...values: readonly SqlValue[]): number {
    return Number(this.#named(name).run(...values).lastInsertRowid);
  }

  /** The first row. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says what its statement selects, as with all()
  get<T>(name: string, ...values: readonly SqlValue[]): T | undefined {
    return this.#named(name).get(...values) as T | undefined;
  }

  /** All rows. */
  all<T>(name: string, ...values: readonly SqlValue[]): T[] {
    return this.#named(name).all(...values) as T[];
  }
}
