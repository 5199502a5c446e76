// SIGKILL of the writer, of its server, and of both. JAF_PROOF_RUNS: how often each.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startPostgres } from '../../support/postgres.js';
import { startRedis } from '../../support/redis.js';
import { found, setting } from '../support/results.js';
import { crashOnce, noCell, type Victim } from './matrix.js';

const RUNS = setting('RUNS', 3);

/** What each setting promises when its server is killed (not the power cut): whether acknowledged writes may be lost. */
const SERVERS = {
  postgres: [
    { setting: 'synchronous_commit = on', settings: { fsync: 'on' }, mayLose: false },
    { setting: 'synchronous_commit = off', settings: { fsync: 'on', synchronous_commit: 'off' }, mayLose: true },
  ],
  redis: [
    { setting: 'appendonly yes, appendfsync always', settings: { appendonly: 'yes', appendfsync: 'always' }, mayLose: false },
    { setting: 'appendonly yes, appendfsync everysec', settings: { appendonly: 'yes', appendfsync: 'everysec' }, mayLose: false },
    { setting: 'snapshots only (save 1 1)', settings: { appendonly: 'no', save: '1 1' }, mayLose: true },
    { setting: 'nothing on disk', settings: { appendonly: 'no', save: '' }, mayLose: true },
  ],
} as const;

const VICTIMS: readonly Victim[] = ['client', 'server', 'both'];

function judge(backend: string, what: string, victim: Victim, cell: ReturnType<typeof noCell>, mayLose: boolean): void {
  const fault = `${{ client: 'client', server: 'server', both: 'client and server' }[victim]} killed${mayLose ? ', a setting that may lose' : ''}`;
  found({ part: 'crash', backend, what, fault, numbers: { ...cell, promised: mayLose ? 'the last ones may go' : 'nothing is lost' } });
  const { doubled, reordered, lost, runs } = cell;
  expect({ doubled, reordered, refused: cell['there although refused'], runs }).toEqual({
    doubled: 0,
    reordered: 0,
    refused: 0,
    runs: RUNS,
  });
  if (!mayLose) expect(lost).toBe(0);
}

describe('SQLite', () => {
  it.each(['normal', 'full'] as const)('durability %s: the writer is killed', { timeout: 600_000 }, async (durability) => {
    const cell = noCell();
    for (let run = 0; run < RUNS; run++) {
      const folder = await mkdtemp(join(tmpdir(), 'jaf-proof-crash-'));
      try {
        await crashOnce({ type: 'sqlite', path: join(folder, 'store.db'), durability }, 'client', undefined, cell);
      } finally {
        await rm(folder, { recursive: true });
      }
    }
    judge('sqlite', `durability ${durability}, client killed`, 'client', cell, false);
  });
});

describe('PostgreSQL', () => {
  describe.each(SERVERS.postgres)('$setting', ({ setting: name, settings, mayLose }) => {
    it.each(VICTIMS)('%s killed', { timeout: 600_000 }, async (victim) => {
      const server = await startPostgres(settings);
      const cell = noCell();
      try {
        for (let run = 0; run < RUNS; run++)
          await crashOnce({ type: 'postgres', connectionString: server.url, schema: `run_${run}` }, victim, server, cell);
      } finally {
        await server.destroy();
      }
      judge('postgres', `${name}, ${victim} killed`, victim, cell, mayLose && victim !== 'client');
    });
  });
});

describe('Redis', () => {
  describe.each(SERVERS.redis)('$setting', ({ setting: name, settings, mayLose }) => {
    it.each(VICTIMS)('%s killed', { timeout: 600_000 }, async (victim) => {
      const server = await startRedis(settings);
      const cell = noCell();
      try {
        for (let run = 0; run < RUNS; run++)
          await crashOnce({ type: 'redis', url: server.url, keyPrefix: `run-${run}:` }, victim, server, cell);
      } finally {
        await server.destroy();
      }
      judge('redis', `${name}, ${victim} killed`, victim, cell, mayLose && victim !== 'client');
    });
  });
});
