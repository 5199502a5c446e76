/**
 * Watching over the file while it is open.
 *
 * @module
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { isInMemory } from './client.js';
import { FileGoneError } from './failures.js';

/** Milliseconds between two looks at the file. */
const LOOK_MS = 1000;

/**
 * Notices that the file is no longer the one at the path. SQLite does not: it would go on to acknowledge writes into a
 * deleted file.
 */
export class FileGuard {
  readonly #file: string | undefined;
  readonly #identity: string | undefined;
  #looked = performance.now();

  /** @param path - of a file that is open, or `:memory:` */
  constructor(path: string) {
    if (isInMemory(path)) return;
    this.#file = resolve(path);
    this.#identity = identityOf(this.#file);
  }

  /**
   * Looks at the path, at most once a second.
   *
   * @param now - look even if less than a second has passed
   * @throws FileGoneError
   */
  check(now = false): void {
    if (this.#file === undefined) return;
    const time = performance.now();
    if (!now && time - this.#looked < LOOK_MS) return;
    if (identityOf(this.#file) !== this.#identity) throw new FileGoneError();
    this.#looked = time;
  }
}

function identityOf(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}
