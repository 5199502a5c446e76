/**
 * The frequent writes: which statement of sql/append.sql is likely to do for a write, and its parameters. Each decides by
 * itself from the stored row; what is remembered here are guesses, and a wrong one costs a trip.
 *
 * @module
 */
import type { Body, Write, WriteOutcome } from '../../driver.js';
import type { StoreNames } from './names.js';
import { arrayText, type Row } from './records.js';
import { type Statement, Statements } from './statements.js';

/** Conversations of which something is remembered. */
const KNOWN = 16_384;
/** Writes to a conversation somebody else also writes to before `follow` is tried again. */
const CONTESTED = 16;
/** Bodies that are parameters one by one: each number is a statement of its own. */
const SINGLE_BODIES = 4;

/** What this process knows of a conversation since its last write to it. */
interface Known {
  /** Visible messages. */
  length: number;
  /** The last write was ours from 0 on; below, that many writes of ours must come first. */
  streak: number;
}

/** A statement, its parameters, and whether it supposes that the last write was ours. */
export interface Plain {
  readonly statement: Statement;
  readonly values: readonly (string | null)[];
  readonly follows: boolean;
}

/** Answers of one text, and of a number and a text. */
const answerRow = ([answer = null]: readonly (string | null)[]): Row => ({ answer });
const placedRow = ([n = null, answer = null]: readonly (string | null)[]): Row => ({ n, answer });

/** The frequent writes of one store. */
export class Appends {
  readonly #statements: Statements;
  readonly #made = new Map<number, Statement>();
  readonly #known = new Map<string, Known>();

  constructor(names: StoreNames) {
    this.#statements = new Statements(names);
  }

  /** The statement that is likely to do for a write; undefined: only sql/write.sql can. */
  one(write: Write): Plain | undefined {
    if (!isPlain(write)) return undefined;
    const known = this.#known.get(write.id);
    const { bodies, maxMessages, owner, trace, defaultTtl, ownerHash } = write;
    if (maxMessages !== undefined && (known?.length ?? maxMessages) + bodies.length > maxMessages) return undefined;
    const texts = bodies.map((body) => body.text);
    if (texts.length > SINGLE_BODIES && !texts.every(isLine)) return undefined;
    const follows = known !== undefined && known.streak >= 0;
    const named = !follows || (owner ?? trace ?? defaultTtl ?? maxMessages) !== undefined;
    const values: (string | null)[] = [
      write.id,
      String(write.now),
      write.writer.id,
      String(write.writer.counter),
      String(texts.length),
      String(sizeOf(bodies)),
    ];
    if (named) values.push(owner ?? null, trace ?? null, textOrNull(defaultTtl), textOrNull(maxMessages));
    if (!follows) values.push(write.scoped ? 't' : 'f');
    if (ownerHash !== undefined) values.push(ownerHash);
    const statement = this.#one(
      follows,
      named,
      write.create,
      ownerHash !== undefined,
      Math.min(texts.length, SINGLE_BODIES + 1),
      values.length,
    );
    if (texts.length > SINGLE_BODIES) values.push(texts.join('\n'));
    else values.push(...texts);
    return { statement, values, follows };
  }

  #one(follows: boolean, named: boolean, creates: boolean, barred: boolean, bodies: number, before: number): Statement {
    const key = (follows ? 1 : 0) | (named ? 2 : 0) | (creates && !follows ? 4 : 0) | (barred ? 8 : 0) | (bodies << 4);
    let made = this.#made.get(key);
    if (!made) {
      const single = Array.from({ length: bodies }, (_, at) => `(${at}, $${before + at + 1}::text)`);
      const text =
        bodies > SINGLE_BODIES
          ? `(SELECT u.n - 1, u.text FROM unnest(string_to_array($${before + 1}, E'\\n')) WITH ORDINALITY AS u(text, n))`
          : `(VALUES ${single.join(', ')})`;
      const variant = { named, barred, creates: creates && !follows, bodies: text, writer: '$3', counter: '$4', now: '$2', count: '$5' };
      made = { ...this.#statements.get(follows ? 'follow' : 'append', variant), row: answerRow };
      this.#made.set(key, made);
    }
    return made;
  }

  /** The statement that is likely to do for a batch; undefined: only sql/write.sql can. */
  many(batch: readonly Write[]): Plain | undefined {
    const writer = batch[0]?.writer.id;
    let named = false;
    for (const write of batch) {
      if (write.writer.id !== writer || !isPlain(write)) return undefined;
      const { owner, trace, defaultTtl, maxMessages } = write;
      if (maxMessages !== undefined && (this.#known.get(write.id)?.length ?? maxMessages) + write.bodies.length > maxMessages)
        return undefined;
      named ||= (owner ?? trace ?? defaultTtl ?? maxMessages) !== undefined;
    }
    const texts = batch.map(({ bodies }) => bodies.map((body) => body.text));
    if (writer === undefined || !texts.every((list) => list.every(isLine))) return undefined;
    const column = (of: (write: Write) => number | boolean | null | undefined): string =>
      `{${batch.map((write) => of(write) ?? 'NULL').join(',')}}`;
    const values = [
      writer,
      arrayText(batch.map((write) => write.id)),
      column((write) => write.now),
      column((write) => write.writer.counter),
      column((write) => write.bodies.length),
      column((write) => sizeOf(write.bodies)),
      texts.map((list) => list.join('\n')).join('\u001e'),
    ];
    if (named) {
      values.push(
        arrayText(batch.map((write) => write.owner)),
        arrayText(batch.map((write) => write.trace)),
        column((write) => write.defaultTtl),
        column((write) => write.maxMessages),
        column((write) => write.scoped),
        arrayText(batch.map((write) => write.ownerHash)),
      );
    }
    const key = named ? -2 : -1;
    let statement = this.#made.get(key);
    if (!statement) {
      const variant = { named, writer: '$1', counter: 'l.counter', now: 'l.now', count: 'l.count' };
      statement = { ...this.#statements.get('appends', variant), row: placedRow };
      this.#made.set(key, statement);
    }
    return { statement, values, follows: false };
  }

  /** Remembers what became of a write. */
  note(id: string, outcome: WriteOutcome): void {
    const known = this.#known.get(id);
    if (outcome.kind !== 'ok') {
      if (known) this.#known.delete(id);
      return;
    }
    if (known) {
      known.length = outcome.receipt.messageCount;
      known.streak++;
      return;
    }
    this.#known.set(id, { length: outcome.receipt.messageCount, streak: 0 });
    if (this.#known.size <= KNOWN) return;
    const [oldest] = this.#known.keys(); // its next write notes it anew
    if (oldest !== undefined) this.#known.delete(oldest);
  }

  /** `follow` was a wrong guess. */
  missed(id: string): void {
    const known = this.#known.get(id);
    if (known) known.streak = -CONTESTED;
  }

  /** Nothing is known of a conversation any more. */
  forget(id: string): void {
    this.#known.delete(id);
  }
}

/** Whether sql/append.sql has all that a write asks for. */
function isPlain({ kind, retry, operation, expectedVersion, metadata, hold, ttl, bodies }: Write): boolean {
  if (kind !== 'append' || retry || bodies.length === 0 || (operation ?? expectedVersion ?? hold) !== undefined || ttl !== undefined)
    return false;
  return metadata === undefined || metadata === '{}';
}

/** JSON text has neither character; other texts of other layers may. */
function isLine(text: string): boolean {
  return !text.includes('\n') && !text.includes('\u001e');
}

function sizeOf(bodies: readonly Body[]): number {
  let size = 0;
  for (const { bytes } of bodies) size += bytes;
  return size;
}

function textOrNull(value: number | undefined): string | null {
  return value === undefined ? null : String(value);
}
