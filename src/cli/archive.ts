/**
 * Conversations that are about to be deleted, written to a file in the format of `jaf-memory export`.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { END, FORMAT, VERSION } from '../memory/backup.js';
import { toLine } from '../memory/backup-records.js';
import { canonicalJson } from '../memory/canonical.js';
import type { ConversationSnapshot } from '../memory/types.js';
import { UsageError } from './session.js';

/** A file of conversations. What {@link write} has answered is on the disk, also when the process is killed afterwards. */
export class Archive {
  readonly #file: FileHandle;
  readonly #gzip: boolean;
  readonly #digest = createHash('sha256');
  count = 0;

  private constructor(file: FileHandle, gzip: boolean) {
    this.#file = file;
    this.#gzip = gzip;
  }

  /**
   * Makes the file, for its owner only.
   *
   * @param path - with `.gz` at the end each batch is a gzip member of its own, so that none needs the next
   * @throws UsageError when it exists, or cannot be made
   */
  static async create(path: string): Promise<Archive> {
    let file: FileHandle;
    try {
      file = await open(path, 'wx', 0o600);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      const why = code === 'EEXIST' ? 'exists already. Name a new file: an archive is never written over' : `cannot be made (${code})`;
      throw new UsageError(`--archive ${JSON.stringify(path)} ${why}.`);
    }
    const archive = new Archive(file, path.endsWith('.gz'));
    await archive.#append(canonicalJson({ format: FORMAT, version: VERSION, export_timestamp: new Date().toISOString(), user_id: null }));
    return archive;
  }

  async #append(text: string): Promise<void> {
    const bytes = Buffer.from(`${text}\n`);
    if (this.#gzip) {
      const { gzipSync } = await import('node:zlib');
      await this.#file.appendFile(gzipSync(bytes));
    } else await this.#file.appendFile(bytes);
    await this.#file.sync();
  }

  /** Adds conversations; when it resolves they are on the disk. */
  async write(conversations: readonly ConversationSnapshot[]): Promise<void> {
    const lines = conversations.map(toLine);
    for (const line of lines) this.#digest.update(`${line}\n`);
    await this.#append(lines.join('\n'));
    this.count += lines.length;
  }

  /** Ends the export, also one that was stopped: what is in it is whole. */
  async close(): Promise<void> {
    try {
      await this.#append(canonicalJson({ format: END, conversation_count: this.count, sha256: this.#digest.digest('hex') }));
    } finally {
      await this.#file.close();
    }
  }
}
