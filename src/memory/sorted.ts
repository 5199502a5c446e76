/**
 * Sorting more lines than memory holds: sorted runs in temporary files, merged.
 *
 * @module
 */
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryStorageError } from './errors.js';
import { compareIds } from './local.js';

/** Bytes of lines that are sorted in memory. */
const SORT_MEMORY = 16_777_216;
/** Runs that are merged into one. So few files are open at once, and each line is written again once for every power of it. */
const FAN_IN = 32;
/** Bytes read or written at a time. */
const CHUNK = 262_144;
/** Beside its text, what an entry takes. */
const ENTRY = 100;

/** Lines by id, in order of the ids as UTF-8 bytes; of several lines with one id the last that was added stays. */
export class SortedLines {
  readonly #limit: number;
  #entries: { readonly id: string; readonly line: string }[] = [];
  #bytes = 0;
  /** By size: those of the next level are older, and so are those before others of a level. */
  readonly #levels: Run[][] = [];

  /** @param limit - bytes that may be in memory */
  constructor(limit: number = SORT_MEMORY) {
    this.#limit = limit;
  }

  /** @throws MemoryStorageError when a temporary file cannot be written */
  async add(id: string, line: string): Promise<void> {
    this.#entries.push({ id, line });
    this.#bytes += 2 * (id.length + line.length) + ENTRY;
    if (this.#bytes > this.#limit) await onDisk(() => this.#spill());
  }

  /** How many there are. */
  async count(): Promise<number> {
    if (this.#levels.length === 0) return this.#sorted().length;
    return await onDisk(async () => {
      if (this.#entries.length > 0) await this.#spill();
      let count = 0;
      for await (const _ of merged(this.#runs(), false)) count++;
      return count;
    });
  }

  /** In order; to be asked for after {@link count}. */
  async *lines(): AsyncGenerator<string, void, undefined> {
    if (this.#levels.length === 0) {
      for (const { line } of this.#sorted()) yield line;
      return;
    }
    const walk = merged(this.#runs(), true);
    for (;;) {
      const next = await onDisk(() => walk.next());
      if (next.done) return;
      yield next.value.line.toString('utf8');
    }
  }

  /** Removes the temporary files. */
  async close(): Promise<void> {
    for (const run of this.#runs()) await run.close();
    this.#levels.length = 0;
  }

  #runs(): Run[] {
    return this.#levels.toReversed().flat();
  }

  #sorted(): readonly { readonly id: string; readonly line: string }[] {
    // stable: of equal ids the last added is the last
    this.#entries.sort((a, b) => compareIds(a.id, b.id));
    this.#entries = this.#entries.filter(({ id }, i) => this.#entries[i + 1]?.id !== id);
    return this.#entries;
  }

  async #spill(): Promise<void> {
    const run = await Run.create();
    this.#push(0, run);
    for (const { id, line } of this.#sorted()) await run.add(Buffer.from(id), Buffer.from(line));
    await run.flush();
    this.#entries = [];
    this.#bytes = 0;
    for (let level = 0; this.#levels[level]?.length === FAN_IN; level++) {
      const runs = this.#levels[level] ?? [];
      const whole = await Run.create();
      this.#push(level + 1, whole);
      for await (const { key, line } of merged(runs, true)) await whole.add(key, line);
      await whole.flush();
      for (const old of runs.splice(0)) await old.close();
    }
  }

  #push(level: number, run: Run): void {
    while (this.#levels.length <= level) this.#levels.push([]);
    this.#levels[level]?.push(run);
  }
}

/** What one record is read as; without its line where only keys count. */
interface Entry {
  readonly key: Buffer;
  readonly line: Buffer;
}

const NO_LINE = Buffer.alloc(0);

/** Records in a temporary file: lengths of key and line in 4 bytes each, then both. */
class Run {
  readonly #file: FileHandle;
  readonly #folder: string;
  #pending: Buffer[] = [];
  #size = 0;

  private constructor(file: FileHandle, folder: string) {
    this.#file = file;
    this.#folder = folder;
  }

  /** Nobody else may read it, and where the platform lets go of the name of an open file, nothing stays when the process is killed. */
  static async create(): Promise<Run> {
    const folder = await mkdtemp(join(tmpdir(), 'jaf-sort-'));
    const file = await open(join(folder, 'run'), 'wx+', 0o600);
    if (process.platform !== 'win32') await rm(folder, { recursive: true });
    return new Run(file, folder);
  }

  async add(key: Buffer, line: Buffer): Promise<void> {
    const lengths = Buffer.allocUnsafe(8);
    lengths.writeUInt32LE(key.length, 0);
    lengths.writeUInt32LE(line.length, 4);
    this.#pending.push(lengths, key, line);
    this.#size += 8 + key.length + line.length;
    if (this.#size >= CHUNK) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#size > 0) await this.#file.appendFile(Buffer.concat(this.#pending));
    this.#pending = [];
    this.#size = 0;
  }

  /** From the beginning. */
  async *entries(withLines: boolean): AsyncGenerator<Entry, void, undefined> {
    let buffer = NO_LINE;
    let at = 0;
    let position = 0;
    /** So many bytes, unless the file ends before. Earlier answers stay as they are: each fill has a buffer of its own. */
    const take = async (length: number): Promise<Buffer> => {
      if (buffer.length - at < length) {
        const rest = buffer.subarray(at);
        const next = Buffer.allocUnsafe(Math.max(CHUNK, length));
        rest.copy(next);
        let filled = rest.length;
        while (filled < length) {
          const { bytesRead } = await this.#file.read(next, filled, next.length - filled, position);
          if (bytesRead === 0) break;
          filled += bytesRead;
          position += bytesRead;
        }
        buffer = next.subarray(0, filled);
        at = 0;
      }
      at += length;
      return buffer.subarray(at - length, at);
    };
    const skip = (length: number): void => {
      const beyond = at + length - buffer.length;
      if (beyond > 0) position += beyond;
      at = Math.min(buffer.length, at + length);
    };
    for (;;) {
      const lengths = await take(8);
      if (lengths.length < 8) return;
      const key = await take(lengths.readUInt32LE(0));
      const length = lengths.readUInt32LE(4);
      if (withLines) yield { key, line: await take(length) };
      else {
        skip(length);
        yield { key, line: NO_LINE };
      }
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** The records of sorted runs in order; of equal keys that of the last run. */
async function* merged(runs: readonly Run[], withLines: boolean): AsyncGenerator<Entry, void, undefined> {
  interface Head {
    readonly entry: Entry;
    readonly age: number;
    readonly from: AsyncGenerator<Entry, void, undefined>;
  }
  const heads: Head[] = [];
  const before = (a: Head, b: Head): boolean => (Buffer.compare(a.entry.key, b.entry.key) || a.age - b.age) < 0;
  const advance = async (from: Head['from'], age: number): Promise<void> => {
    const next = await from.next();
    if (next.done) return;
    const head = { entry: next.value, age, from };
    let [low, high] = [0, heads.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(heads[middle] as Head, head)) low = middle + 1;
      else high = middle;
    }
    heads.splice(low, 0, head);
  };
  for (const [age, run] of runs.entries()) await advance(run.entries(withLines), age);
  for (let head = heads.shift(); head; head = heads.shift()) {
    await advance(head.from, head.age);
    if (!heads[0]?.entry.key.equals(head.entry.key)) yield head.entry;
  }
}

async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (typeof code !== 'string') throw error;
    const why = code === 'ENOSPC' ? 'it is full' : code;
    throw new MemoryStorageError(
      `export: the temporary folder ${JSON.stringify(tmpdir())} cannot be used: ${why}. Name another, with room for the whole export, in TMPDIR.`,
      { provider: 'none', operation: 'export' },
    );
  }
}
