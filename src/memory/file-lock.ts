/**
 * One process at a time: a lock file that names its holder, so that one left by a crash is seen and taken over.
 *
 * @module
 */
import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { MemoryConnectionError } from './errors.js';

/** Milliseconds to wait for others. */
const WAIT_MS = 10_000;

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;

/** @returns false when it is there already */
function create(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    writeSync(file, `${process.pid} ${hostname()}`);
  } finally {
    closeSync(file);
  }
  return true;
}

/** Whether the process a lock names has ended. Of a process on another machine nobody here can tell. */
function isAbandoned(path: string): boolean {
  let holder: string;
  try {
    holder = readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
  const [pid = '', host] = holder.split(' ');
  if (!/^\d+$/.test(pid) || host !== hostname()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
}

/**
 * Removes a lock whose holder has ended. Only one process at a time does so (a second lock file, held for a moment), and looks
 * again before: else it might remove the lock of one that has just taken it over.
 */
function takeOver(path: string): void {
  const guard = `${path}.take`;
  if (!create(guard)) return;
  try {
    if (isAbandoned(path)) unlinkSync(path);
  } finally {
    unlinkSync(guard);
  }
}

/**
 * Does something while no other process that asks for the same lock does.
 *
 * @param path - of the lock file; its folder must exist
 * @param work - what to do
 * @throws MemoryConnectionError (`timeout`) when another process holds it for 10 seconds
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const end = performance.now() + WAIT_MS;
  while (!create(path)) {
    if (isAbandoned(path)) takeOver(path);
    if (performance.now() >= end) {
      throw new MemoryConnectionError(
        `${JSON.stringify(path)}: another process has held this lock for ${WAIT_MS / 1000} seconds. Try again; when no process uses the file, delete the lock (and ${JSON.stringify(`${path}.take`)}).`,
        { provider: 'none', code: 'timeout' },
      );
    }
    await sleep(2 + Math.random() * 20);
  }
  try {
    return await work();
  } finally {
    unlinkSync(path);
  }
}
