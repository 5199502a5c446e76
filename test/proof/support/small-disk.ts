/** A disk that can be full: a small tmpfs, which only root can mount. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, rmdirSync, writeSync, openSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A mounted one. */
export interface SmallDisk {
  readonly folder: string;
  /** Takes all the room there is. */
  fill(): void;
  /** Gives it back. */
  free(): void;
  /** Nothing on it can be changed any more, or again. Nobody may have a file of it open for writing. */
  readOnly(on: boolean): void;
  destroy(): void;
}

/** Whether this process may mount one. */
export function canMount(): boolean {
  try {
    mountDisk(1).destroy();
    return true;
  } catch {
    return false;
  }
}

/**
 * Mounts one.
 *
 * @param megabytes - its size
 */
export function mountDisk(megabytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'jaf-disk-'));
  const run = (...args: [string, ...string[]]): unknown => execFileSync(args[0], args.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
  try {
    run('mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'jaf-proof', folder);
  } catch (error) {
    rmdirSync(folder);
    throw error;
  }
  chmodSync(folder, 0o777);
  const ballast = join(folder, 'ballast');
  return {
    folder,
    fill() {
      const file = openSync(ballast, 'a');
      try {
        // the last bytes, too
        for (let size = 1 << 20; size >= 1; size = Math.floor(size / 2)) {
          try {
            for (;;) if (writeSync(file, Buffer.alloc(size)) < size) break;
          } catch (error) {
            if ((error as { code?: string }).code !== 'ENOSPC') throw error;
          }
        }
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(ballast, { force: true }),
    readOnly: (on) => void run('mount', '-o', `remount,${on ? 'ro' : 'rw'},size=${megabytes}m`, folder),
    destroy() {
      run('umount', '-l', folder);
      rmdirSync(folder);
    },
  };
}
