/** The file driver as the conformance kit runs it: all that a backend has to say about itself. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Backend } from 'jaf/memory/testing';
import { createFileDriver } from './driver.js';

let folder = '';

export const fileBackend: Backend = {
  name: 'file',
  capabilities: ['persistent', 'bodies'],
  async create(clock) {
    folder = await mkdtemp(join(tmpdir(), 'file-driver-'));
    return createFileDriver({ folder, clock: clock.now });
  },
  async reopen(clock) {
    return createFileDriver({ folder, clock: clock.now });
  },
  async bodies() {
    let count = 0;
    for (const name of await readdir(folder)) {
      const { bodies = [], segments = [] } = JSON.parse(await readFile(join(folder, name), 'utf8')) as {
        bodies?: unknown[];
        segments?: unknown[];
      };
      count += bodies.length + segments.length;
    }
    return count;
  },
  async destroy() {
    await rm(folder, { recursive: true, force: true });
  },
};
