import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSqliteProvider, type MemoryProvider, textOf } from 'jaf/memory';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'jaf-sqlite-processes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const worker = fileURLToPath(new URL('./sqlite-worker.mjs', import.meta.url));

function start(...args: string[]): ChildProcess {
  return spawn(process.execPath, [worker, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Everything a process printed, when it has ended. */
function ended(child: ChildProcess): Promise<Ended> {
  let out = '';
  let err = '';
  child.stdout?.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (err += data.toString()));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

async function textsOf(provider: MemoryProvider, id: string): Promise<string[]> {
  return ((await provider.getConversation(id))?.messages ?? []).map(textOf);
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe('SQLite and several processes', () => {
  it('4 processes append 250 messages each to one conversation: all are kept, once, in each one’s order', async () => {
    const path = join(folder, 'four.db');
    const results = await Promise.all(range(4).map((n) => ended(start('append', path, 'chat', `p${n}`, '250'))));
    for (const result of results) expect(result).toEqual({ code: 0, out: '', err: '' });
    await using provider = await createSqliteProvider({ path, sweep: false });
    const texts = await textsOf(provider, 'chat');
    expect(texts).toHaveLength(1000);
    for (const n of range(4)) expect(texts.filter((text) => text.startsWith(`p${n}-`))).toEqual(range(250).map((i) => `p${n}-${i}`));
  });

  it('20 processes open a new file at the same time', async () => {
    const path = join(folder, 'twenty.db');
    const results = await Promise.all(range(20).map(() => ended(start('open', path))));
    for (const { code, out, err } of results) expect([code, out, err]).toEqual([0, `SQLite file ${path}\n`, '']);
  });

  it('a process killed 20 times in the middle of appends loses nothing that was acknowledged', async () => {
    const path = join(folder, 'killed.db');
    const acknowledged: string[] = [];
    for (const round of range(20)) {
      const child = start('endless', path, 'chat', `r${round}`);
      let lines = '';
      const killAfter = 1 + Math.floor(Math.random() * 60);
      child.stdout?.on('data', (data: Buffer) => {
        lines += data.toString();
        if (lines.split('\n').length > killAfter) child.kill('SIGKILL');
      });
      const { err } = await ended(child);
      expect(child.signalCode, err).toBe('SIGKILL');
      for (const n of lines.split('\n').slice(0, -1)) acknowledged.push(`r${round}-${n}`);
    }
    await using provider = await createSqliteProvider({ path, sweep: false });
    const stored = await textsOf(provider, 'chat');
    const known = new Set(acknowledged);
    expect(stored.filter((text) => known.has(text))).toEqual(acknowledged);
    // beyond them only what was on its way when the process died: the one message after the last acknowledged of a round
    expect(new Set(stored).size).toBe(stored.length);
    for (const text of stored.filter((t) => !known.has(t))) {
      const [round, n] = text.split('-');
      expect(Number(n) === 1 || known.has(`${round}-${Number(n) - 1}`)).toBe(true);
    }
  });

  it('prints nothing on stderr, whatever module gives SQLite', async () => {
    const { code, err } = await ended(start('open', join(folder, 'quiet.db')));
    expect([code, err]).toEqual([0, '']);
  });
});
