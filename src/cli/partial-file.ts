/**
 * Output that is there whole, or not at all.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { UsageError } from './session.js';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of the path is not a folder',
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a folder',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
};

/**
 * An error of the file system as one of the command line; any other as it is.
 *
 * @param what - e.g. `write "backup.ndjson"`
 */
export function fileError(what: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || typeof code !== 'string' || !/^E[A-Z]+$/.test(code)) return error;
  return new UsageError(`${what}: ${REASONS[code] ?? code}. Check the path, its rights and the room on the disk.`);
}

/** A file under another name, which gets its own when it is whole. Only the owner may read it. */
export class PartialFile {
  bytes = 0;
  readonly #path: string;
  readonly #partial: string;
  readonly #handle: FileHandle;
  #open = true;

  private constructor(path: string, partial: string, handle: FileHandle) {
    this.#path = path;
    this.#partial = partial;
    this.#handle = handle;
  }

  /** @throws UsageError when it cannot be written there */
  static async create(file: string): Promise<PartialFile> {
    const path = resolve(file);
    const found = await stat(path).catch(() => undefined);
    // renaming would put a file in the place of a device or a pipe
    if (found && !found.isFile())
      throw new UsageError(`write ${JSON.stringify(file)}: it is not a file. Leave -o out and redirect the output.`);
    const partial = `${path}.partial-${randomBytes(4).toString('hex')}`;
    try {
      return new PartialFile(path, partial, await open(partial, 'wx', 0o600));
    } catch (error) {
      throw fileError(`write ${JSON.stringify(file)}`, error);
    }
  }

  /** @throws UsageError, e.g. when the disk is full */
  async write(chunk: Uint8Array): Promise<void> {
    try {
      await this.#handle.appendFile(chunk);
    } catch (error) {
      throw fileError(`write ${JSON.stringify(this.#path)}`, error);
    }
    this.bytes += chunk.length;
  }

  /** Gives the file its name, once it is on the disk. An earlier file of this name is replaced. */
  async commit(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#close();
      await rename(this.#partial, this.#path);
      if (process.platform !== 'win32') {
        const folder = await open(dirname(this.#path), 'r');
        try {
          await folder.sync();
        } finally {
          await folder.close();
        }
      }
    } catch (error) {
      throw fileError(`write ${JSON.stringify(this.#path)}`, error);
    }
  }

  /** Removes what was written, unless it was committed. */
  async discard(): Promise<void> {
    if (!this.#open) return;
    await this.#close();
    await unlink(this.#partial);
  }

  async #close(): Promise<void> {
    this.#open = false;
    await this.#handle.close();
  }
}
