/**
 * Reading an export: from lines of text, or the single object, to records and to what is wrong with them.
 *
 * @module
 */
import { createHash, type Hash } from 'node:crypto';
import { type ConversationExport, END, FORMAT, OBJECT_END, OBJECT_HEAD, VERSION } from './backup.js';
import { isSound } from './backup-records.js';
import { kindOf } from './problems.js';

/** A line of a source, or what is wrong where a line should be. */
export type SourceLine = string | { readonly problem: string };

/** Where an import reads from. */
export type Source = ConversationExport | AsyncIterable<SourceLine> | Iterable<SourceLine>;

/** A record of a source, or what is wrong at this place. */
export interface SourceRecord {
  /** From 1; in a single object the position of the conversation, 0 the object itself. */
  readonly line: number;
  readonly record?: unknown;
  readonly problem?: string;
  /** UTF-16 units of its text, where it came as text. */
  readonly size: number;
}

/** UTF-16 units of a line; more could not be restored either, and would fill the memory. */
export const MAX_LINE = 268_435_456;

/**
 * The records of an export. Nothing is thrown for what is damaged: each such line is one problem.
 *
 * @param source - lines, or the object
 * @param maxLine - UTF-16 units of a line, and of an object that is not cut into lines
 */
export async function* recordsOf(source: Source, maxLine: number): AsyncGenerator<SourceRecord> {
  if (typeof source === 'object' && !(Symbol.asyncIterator in source) && !(Symbol.iterator in source)) {
    yield* recordsOfObject(source, 0);
    return;
  }
  const reader = new LineReader();
  let number = 0;
  /** Lines of an object that was written over several lines in another way than ours. */
  let whole: string[] | undefined;
  let size = 0;
  for await (const item of source) {
    number++;
    if (typeof item !== 'string') {
      reader.damaged = true;
      yield { line: number, problem: item.problem, size: 0 };
      continue;
    }
    const text = (number === 1 ? item.replace(/^\ufeff/, '') : item).replace(/[\r\n]+$/, '');
    size = whole ? size + text.length : text.length;
    if (size > maxLine) {
      reader.damaged = true;
      yield { line: number, problem: `longer than ${maxLine} characters`, size: 0 };
      if (whole) return;
      continue;
    }
    if (whole?.length === 1 && parse(text) !== undefined) {
      // the first line was not the beginning of an object, but what is left of a header
      whole = undefined;
      reader.damaged = true;
      yield { line: number - 1, problem: 'not JSON', size: 0 };
      yield* reader.read(text, number);
    } else if (whole) whole.push(text);
    else if (text.trim() === '') continue;
    else if (!reader.began && text.trim() === '{') whole = [text];
    else yield* reader.read(text, number);
  }
  if (whole) {
    const object = parse(whole.join('\n'));
    if (object === undefined) yield { line: number, problem: 'not JSON, or cut off', size: 0 };
    else yield* recordsOfObject(object, 0);
  } else yield* reader.end(number);
}

function* recordsOfObject(object: object, shift: number): Generator<SourceRecord> {
  const { conversations, conversation_count: count } = object as { conversations?: unknown; conversation_count?: unknown };
  if (!Array.isArray(conversations)) {
    yield { line: 0, problem: `conversations: expected an array, got ${kindOf(conversations)}`, size: 0 };
    return;
  }
  // of an object that was parsed already, nobody knows the length of a record
  for (const [i, record] of conversations.entries()) yield { line: shift + i + 1, record: record as unknown, size: 0 };
  if (typeof count === 'number' && count !== conversations.length) yield { line: 0, problem: counts(count, conversations.length), size: 0 };
}

function counts(written: unknown, here: number): string {
  return `${String(written)} conversations were written, ${here} are here`;
}

function parse(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Follows the lines of an export; several may stand behind each other. */
class LineReader {
  /** Something of the export in hand was damaged: that its digest does not match is no news then. */
  damaged = false;
  /** Anything was read. */
  began = false;
  #open: 'lines' | 'object' | undefined;
  #expected: number | undefined;
  #count = 0;
  #digest: Hash = createHash('sha256');
  /** The export in hand is of a newer format: what its lines mean is not known. */
  #unknown = false;

  *read(text: string, line: number): Generator<SourceRecord> {
    this.began = true;
    const head = OBJECT_HEAD.exec(text);
    if (head) {
      yield* this.#cutOff(line);
      this.#begin('object', Number(head[1]));
      return;
    }
    if (this.#open === 'object' && text.startsWith(OBJECT_END)) {
      this.#open = undefined;
      if (this.#expected !== this.#count) yield { line, problem: counts(this.#expected, this.#count), size: 0 };
      return;
    }
    const own = this.#open === 'object' ? text.replace(/,$/, '') : text;
    const parsed = parse(own);
    if (parsed === undefined) {
      this.damaged = true;
      yield { line, problem: 'not JSON', size: 0 };
      return;
    }
    const fields = parsed as {
      format?: unknown;
      version?: unknown;
      sha256?: unknown;
      conversation_count?: unknown;
      conversations?: unknown;
    };
    const sound = isSound(own, parsed);
    if (fields.format === FORMAT && !sound) {
      // its lines can be judged one by one, and there is nothing to compare their number with before the last one
      yield* this.#cutOff(line);
      this.#begin('lines', undefined);
      yield* this.#unsound(line);
    } else if (fields.format === END && !sound) {
      this.#open = undefined;
      if (!this.#unknown) yield* this.#unsound(line);
    } else if (fields.format === FORMAT) {
      yield* this.#cutOff(line);
      this.#begin('lines', typeof fields.conversation_count === 'number' ? fields.conversation_count : undefined);
      this.#unknown = fields.version !== VERSION;
      if (this.#unknown) {
        const problem = `format version ${JSON.stringify(fields.version)} is newer than this jaf knows (${VERSION}): nothing of it was imported`;
        yield { line, problem, size: 0 };
      }
    } else if (fields.format === END) {
      this.#open = undefined;
      if (this.#unknown) return;
      if (fields.conversation_count !== this.#count) yield { line, problem: counts(fields.conversation_count, this.#count), size: 0 };
      else if (!this.damaged && fields.sha256 !== this.#digest.digest('hex'))
        yield { line, problem: 'the digest does not match: a line was changed', size: 0 };
    } else if (this.#unknown) return;
    else if (Array.isArray(fields.conversations) && !('conversation_id' in parsed) && !('conversationId' in parsed)) {
      yield* recordsOfObject(parsed, line - 1);
    } else if (!sound) yield* this.#unsound(line);
    else {
      this.#digest.update(`${own}\n`);
      this.#count++;
      yield { line, record: parsed, size: own.length };
    }
  }

  *end(line: number): Generator<SourceRecord> {
    yield* this.#cutOff(line);
  }

  *#unsound(line: number): Generator<SourceRecord> {
    this.damaged = true;
    yield { line, problem: 'damaged: its checksum does not match', size: 0 };
  }

  *#cutOff(line: number): Generator<SourceRecord> {
    if (this.#open === undefined || this.#unknown) return;
    const known = this.#expected === undefined || this.#expected === this.#count ? '' : ` (${counts(this.#expected, this.#count)})`;
    yield { line, problem: `the last line is missing: the export was cut off${known}`, size: 0 };
  }

  #begin(form: 'lines' | 'object', expected: number | undefined): void {
    this.#open = form;
    this.#expected = expected;
    this.#count = 0;
    this.#digest = createHash('sha256');
    this.#unknown = false;
    this.damaged = false;
  }
}
