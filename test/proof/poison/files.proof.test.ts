// Whatever stands in a file: an answer or a typed error, and nothing else.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { createInMemoryProvider, createSqliteProvider, exportLines, importConversations, unwrap, user } from 'jaf/memory';
import { describe, expect, it } from 'vitest';
import { found } from '../support/results.js';
import { options, RUNS, tally, text } from './fuzz.js';

const { note, answer } = tally('memory, sqlite', 'fuzzed lines and files');

describe('files', () => {
  it('lines of an export, damaged at random: the others arrive, and the report names the damaged', { timeout: 0 }, async () => {
    await using source = createInMemoryProvider();
    for (let n = 0; n < 10; n++)
      unwrap(await source.storeMessages(`c${n}`, [user(`text ${n}`), { role: 'assistant', content: 'é😀\0' }], { n }));
    const lines: string[] = [];
    for await (const line of exportLines(source)) lines.push(line);
    const damage = fc.oneof(
      fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat({ max: 6 }) }),
      fc.record({ kind: fc.constant('cut' as const), at: fc.nat() }),
      fc.record({ kind: fc.constant('replace' as const), with: fc.oneof(text, fc.json(), fc.constant('['.repeat(100_000))) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: lines.length - 1 }), damage, async (which, how) => {
        const line = lines[which] ?? '';
        const at = 'at' in how ? how.at % line.length : 0;
        const changed =
          how.kind === 'flip'
            ? line.slice(0, at) + String.fromCharCode(line.charCodeAt(at) ^ (1 << how.bit)) + line.slice(at + 1)
            : how.kind === 'cut'
              ? line.slice(0, at)
              : how.with;
        fc.pre(changed !== line && !changed.includes('\n'));
        await using target = createInMemoryProvider();
        const report = await importConversations(target, lines.with(which, changed), { onConflict: 'fail' });
        // the header, the end, or one conversation
        const conversation = which > 0 && which < lines.length - 1;
        expect(report.imported).toBeGreaterThanOrEqual(conversation ? 9 : 10);
        if (conversation && !/^\s*$/.test(changed)) expect(report.failed.length).toBeGreaterThan(0);
        note(`lines: ${report.failed.length > 0 ? 'named' : 'not noticed'}`);
      }),
      { ...options, numRuns: Math.ceil(RUNS / 2) },
    );
  });

  it('a SQLite file with random damage: answers or typed errors', { timeout: 0 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'jaf-proof-poison-'));
    try {
      const whole = join(folder, 'whole.db');
      {
        await using provider = await createSqliteProvider({ path: whole });
        for (let n = 0; n < 20; n++)
          unwrap(
            await provider.storeMessages(
              `c${n}`,
              Array.from({ length: 40 }, (_, m) => user(`message ${m} of ${n} ${'x'.repeat(50)}`)),
              { n },
              { compressionThreshold: 10 },
            ),
          );
      }
      const bytes = readFileSync(whole);
      const original = new Map<string, string>();
      {
        await using provider = await createSqliteProvider({ path: whole });
        for await (const c of provider.iterateConversations()) original.set(c.conversationId, JSON.stringify(c.messages));
      }
      let wrong = 0;
      let reads = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 7 })), { minLength: 1, maxLength: 20 }),
          async (flips) => {
            const path = join(folder, 'damaged.db');
            for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true });
            copyFileSync(whole, path);
            const damaged = Buffer.from(bytes);
            for (const [at, bit] of flips) damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
            writeFileSync(path, damaged);
            const provider = await answer('damaged file: open', () => createSqliteProvider({ path, sweep: false }));
            if (!provider) return;
            for (const [id, text] of original) {
              const read = await answer('damaged file: read', () => provider.getConversation(id));
              if (read) reads++;
              if (read && JSON.stringify(read.messages) !== text) wrong++;
            }
            await answer('damaged file: list', () => provider.findConversations({ messageLimit: 1 }));
            await provider.appendMessages('c1', [user('more')]);
            await answer('damaged file: close', () => provider.close());
          },
        ),
        { ...options, numRuns: Math.ceil(RUNS / 10) },
      );
      found({
        part: 'poison',
        backend: 'sqlite',
        what: 'bits flipped in the file',
        numbers: { files: Math.ceil(RUNS / 10), reads, 'wrong answers': wrong },
      });
      // a checksum covers a body, not the key it stands under: docs/reliability.md
      expect(wrong).toBeLessThan(Math.max(2, reads / 100));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
