/**
 * A prepared statement as a query object of `pg`, as pg-cursor is one. It leaves in one piece (Bind, Execute and Sync in one
 * buffer instead of four writes), does not ask for the columns of its answer, which its {@link Statement} knows, and takes
 * them as text without type parsers: of the time `pg` itself takes for a statement, this takes about half.
 *
 * @module
 */
import type { Row } from './records.js';
import type { Statement } from './statements.js';

/** What is used of the connection of a `pg` client. */
interface RawConnection {
  readonly stream: { readonly writable: boolean; write(data: Buffer): unknown };
  readonly parsedStatements: Readonly<Record<string, string | undefined>>;
  parse(query: { readonly name: string; readonly text: string }): void;
  sync(): void;
  sendCopyFail(reason: string): void;
}

/** Fixed bytes of the three messages, beside the name of the statement and the values. */
const FIXED = 1 + 4 + 1 + 1 + 2 + 2 + 2 + (1 + 4 + 1 + 4) + (1 + 4);

/** Bind, Execute and Sync for the unnamed portal, all values and columns as text. */
function encode(name: string, values: readonly (string | null)[]): Buffer {
  let size = FIXED + name.length + 4 * values.length;
  const lengths: number[] = [];
  for (const value of values) {
    const length = value === null ? 0 : Buffer.byteLength(value);
    lengths.push(length);
    size += length;
  }
  const out = Buffer.allocUnsafe(size);
  let at = 5;
  out[0] = 0x42; // Bind
  out.writeInt32BE(size - 1 - 10 - 5, 1);
  out[at++] = 0;
  at += out.write(name, at);
  out[at++] = 0;
  at = out.writeInt16BE(0, at);
  at = out.writeInt16BE(values.length, at);
  for (let n = 0; n < values.length; n++) {
    const value = values[n] ?? null;
    if (value === null) {
      at = out.writeInt32BE(-1, at);
      continue;
    }
    const length = lengths[n] ?? 0;
    at = out.writeInt32BE(length, at);
    out.write(value, at);
    at += length;
  }
  at = out.writeInt16BE(0, at);
  out[at++] = 0x45; // Execute
  at = out.writeInt32BE(9, at);
  out[at++] = 0;
  at = out.writeInt32BE(0, at);
  out[at++] = 0x53; // Sync
  out.writeInt32BE(4, at);
  return out;
}

/** One use of a statement. `pg` calls its methods as the answer comes in. */
class LeanQuery {
  readonly name: string;
  readonly text: string;
  /** Called once; `pg` looks for it when a client has a `query_timeout`. */
  callback: (error: Error | null, rows: readonly Row[]) => void;
  readonly #row: (columns: readonly (string | null)[]) => Row;
  readonly #values: readonly (string | null)[];
  readonly #rows: Row[] = [];

  /**
   * @param statement - what to send
   * @param row - makes a row of its columns
   * @param values - as text
   * @param callback - gets the rows, or what went wrong
   */
  constructor(
    statement: Statement,
    row: (columns: readonly (string | null)[]) => Row,
    values: readonly (string | null)[],
    callback: (error: Error | null, rows: readonly Row[]) => void,
  ) {
    this.name = statement.name;
    this.text = statement.text;
    this.callback = callback;
    this.#row = row;
    this.#values = values;
  }

  submit(connection: RawConnection): void {
    // pg notes it as parsed when the server has said so
    if (connection.parsedStatements[this.name] === undefined) connection.parse({ name: this.name, text: this.text });
    if (connection.stream.writable) connection.stream.write(encode(this.name, this.#values));
  }

  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void {
    this.#rows.push(this.#row(message.fields));
  }

  handleReadyForQuery(): void {
    this.callback(null, this.#rows);
  }

  /** The server has the Sync already: it is ready for the next statement by itself. */
  handleError(error: Error): void {
    this.callback(error, []);
  }

  handleRowDescription(): void {
    // nobody asked
  }

  handleCommandComplete(): void {
    // ReadyForQuery follows
  }

  handleEmptyQuery(): void {
    // ReadyForQuery follows
  }

  handlePortalSuspended(): void {
    // all rows were asked for
  }

  handleCopyInResponse(connection: RawConnection): void {
    connection.sendCopyFail('no data');
  }

  handleCopyData(): void {
    // no statement of ours copies
  }
}

/**
 * Sends a statement.
 *
 * @param client - of `pg`, connected
 * @param statement - what to send
 * @param row - makes a row of its columns
 * @param values - as text
 * @returns its rows
 */
export function sendLean(
  client: { query(query: never): unknown },
  statement: Statement,
  row: (columns: readonly (string | null)[]) => Row,
  values: readonly (string | null)[],
): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    const query = new LeanQuery(statement, row, values, (error, rows) => (error === null ? resolve(rows) : reject(error)));
    client.query(query as never);
  });
}
