import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import * as zlib from 'node:zlib';
import { createSqliteProvider, type ConversationSnapshot, type Message, unwrap, user } from 'jaf/memory';
import { describe, expect, it } from 'vitest';
import { madeConversations } from '../support/conversations.js';
import { cli, type Ran, ROOT, testFolder } from './cli-run.js';

const env = { SOURCE_DATE_EPOCH: '1800000000' };

/** A store in a fresh folder; answers its URL. */
async function store(
  conversations: readonly ConversationSnapshot[],
  name = 'store',
): Promise<{ url: string; folder: string; at: (file: string) => string }> {
  const folder = testFolder();
  const path = join(folder, `${name}.db`);
  const provider = await createSqliteProvider({ path, sweep: false });
  for (const conversation of conversations) unwrap(await provider.restoreConversation(conversation, { onConflict: 'fail' }));
  await provider.close();
  return { url: `sqlite:${path}`, folder, at: (file) => join(folder, file) };
}
const ok = async (args: readonly string[]): Promise<Ran> => {
  const ran = await cli(args, { env });
  expect([args, ran.code, ran.stderr.includes('error')]).toEqual([args, 0, false]);
  return ran;
};
const exported = async (url: string, ...more: string[]): Promise<string> => (await ok(['export', '-q', '-p', url, ...more])).stdout;
const call = (id: string): Message => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id, type: 'function', function: { name: 'f', arguments: '{}' } }],
});
const toolCalls: ConversationSnapshot = {
  ...(madeConversations()[0] as ConversationSnapshot),
  conversationId: 'calls',
  messages: [
    { role: 'tool', content: 'hunter2', tool_call_id: 'lost' },
    call('1'),
    user('a'),
    call('2'),
    { role: 'tool', content: 'x', tool_call_id: '1' },
  ],
  messageCount: 5,
  firstSeq: 11,
};

describe('export and import', () => {
  it.each([
    ['lines', 'a.ndjson', []],
    ['lines, gzip by name', 'a.ndjson.gz', []],
    ['the object', 'a.json', ['--format', 'object']],
    ['the object, gzip', 'a.bin', ['--format', 'object', '--compress', 'gzip']],
    ...('createZstdCompress' in zlib ? [['lines, zstd', 'a.zst', []] as [string, string, string[]]] : []),
  ])('as %s carry everything over, and the second export is the first', async (_, file, options) => {
    const { url, at } = await store(madeConversations());
    const { stdout } = await ok(['export', '-p', url, '-o', at(file), ...options]);
    expect(stdout).toMatch(/^10 conversations in .*B\.\n$/);
    expect(statSync(at(file)).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(at('.'))).filter((name) => name.includes('partial'))).toEqual([]);
    const to = `sqlite:${at('to.db')}`;
    expect(JSON.parse((await ok(['import', at(file), '-p', to, '--json'])).stdout)).toEqual({ imported: 10, skipped: 0, failed: [] });
    expect(await exported(to)).toBe(await exported(url));
    expect(await exported(to, '--format', 'object')).toBe(await exported(url, '--format', 'object'));
    const again = await cli(['import', at(file), '-p', to]);
    expect([again.code, again.stdout]).toEqual([4, expect.stringContaining('10 failed.\n  line 2: the conversation exists') as string]);
    expect((await ok(['import', at(file), '-p', to, '--on-conflict', 'skip'])).stdout).toBe(
      '0 conversations imported, 10 skipped, 0 failed.\n',
    );
  });

  it('reads the standard input, and writes what a filter leaves', async () => {
    const { url, at } = await store(madeConversations());
    const ada = await exported(url, '--user', 'user 0');
    const ids = ada
      .split('\n')
      .slice(1, -2)
      .map((line) => (JSON.parse(line) as { user_id: string }).user_id);
    expect(ids).toEqual(['user 0', 'user 0']);
    const to = `sqlite:${at('to.db')}`;
    expect((await cli(['import', '-', '-p', to], { input: ada })).code).toBe(0);
    expect((await exported(to)).split('\n').slice(1)).toEqual(ada.split('\n').slice(1));
    expect((await exported(url, '--since', '2020-01-01', '--until', '2020-01-02')).split('\n')).toHaveLength(3);
  });

  it('loses only what is damaged of a file that was cut or changed, and says which lines', async () => {
    const { url, at } = await store(madeConversations());
    const text = await exported(url);
    const lines = text.split('\n');
    const into = async (
      content: string | Buffer,
      name: string,
    ): Promise<{ imported: number; failed: { line: number; reason: string }[]; code: number | null }> => {
      writeFileSync(at(name), content);
      const { code, stdout } = await cli(['import', at(name), '-p', `sqlite:${at(`${name}.db`)}`, '--json']);
      return { ...(JSON.parse(stdout) as { imported: number; failed: [] }), code };
    };
    expect(await into(text.slice(0, text.indexOf(lines[5] ?? '') + 40), 'cut')).toMatchObject({
      code: 4,
      imported: 4,
      failed: [
        { line: 6, reason: 'not JSON' },
        { line: 6, reason: expect.stringContaining('the export was cut off (10 conversations were written, 4 are here)') as string },
      ],
    });
    expect(await into(text.replace('"message 7"', '"message 8"'), 'changed')).toMatchObject({
      code: 4,
      imported: 9,
      failed: [{ reason: 'damaged: its checksum does not match' }, { line: 12 }],
    });
    expect(
      await into(Buffer.concat([Buffer.from(`${lines[0]}\n`), Buffer.from([0xff, 0x0a]), Buffer.from(lines.slice(1).join('\n'))]), 'bytes'),
    ).toMatchObject({
      imported: 10,
      failed: [{ line: 2, reason: 'not UTF-8' }],
    });
    expect(await into('', 'empty')).toMatchObject({ code: 4, failed: [{ line: 0, reason: 'the file is empty' }] });
    expect((await cli(['import', at('changed'), '-p', `sqlite:${at('short.db')}`, '--max-line', '1000'])).stdout).toContain(
      'longer than 1000 bytes',
    );
  });

  it('takes from a cut or damaged gzip file what can be unpacked', async () => {
    const { url, at } = await store(
      Array.from({ length: 400 }, (_, i) => ({
        ...(madeConversations()[1] as ConversationSnapshot),
        conversationId: `c${i}`,
        metadata: { noise: `${(i * 2654435761) % 2 ** 32}` },
      })),
    );
    await ok(['export', '-p', url, '-o', at('a.gz')]);
    const whole = readFileSync(at('a.gz'));
    const cut = whole.subarray(0, Math.floor(whole.length * 0.6));
    const there = gunzipSync(cut, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).toString().split('\n').length - 2;
    expect(there).toBeGreaterThan(100);
    writeFileSync(at('cut.gz'), cut);
    const first = await cli(['import', at('cut.gz'), '-p', `sqlite:${at('cut.db')}`, '--json']);
    expect(JSON.parse(first.stdout)).toMatchObject({
      imported: there,
      failed: [{ reason: 'not JSON' }, { reason: expect.stringContaining('cut off') as string }],
    });
    const damaged = Buffer.from(whole);
    damaged.fill(0xff, cut.length, cut.length + 8);
    writeFileSync(at('damaged.gz'), damaged);
    const second = await cli(['import', at('damaged.gz'), '-p', `sqlite:${at('damaged.db')}`, '--json']);
    const report = JSON.parse(second.stdout) as { imported: number; failed: { reason: string }[] };
    expect(second.code).toBe(4);
    // the damaged block itself is lost, and so is what one step of unpacking had in hand
    expect(report.imported).toBeGreaterThan(there * 0.7);
    expect(report.failed.map((f) => f.reason).join()).toMatch(/packed data is damaged from here on.*cut off/);
  });

  it('names what is wrong with what was typed', async () => {
    const { url, at } = await store([]);
    for (const [args, expected] of [
      [['export', '-o', at('nowhere/x')], 'there is no such file or folder'],
      [['export', '-o', at('.')], 'it is not a file'],
      [['export', '--format', 'xml'], "argument 'xml' is invalid"],
      [['import', at('nothing')], 'there is no such file'],
      [['import', at('.')], 'it is a folder'],
      [['import'], "missing required argument 'file'"],
      [['copy'], 'say where to: --to'],
      [['copy', '--to', 'memory:'], 'everything would be gone'],
      [['copy', '--to', url], 'are the same store'],
      [['copy', '--from', url, '--to', url], 'both name the source'],
      [['verify', 'a', '--user', 'b'], 'exclude each other'],
      [['search', '--content'], '--content belongs to --text'],
      [['conformance', at('none.js')], 'there is no such file'],
    ] as const) {
      const { code, stdout, stderr } = await cli([...args, '-p', url]);
      expect([args, code, stdout]).toStrictEqual([args, 2, '']);
      expect(stderr).toContain(expected);
    }
    expect(await cli(['copy', '--to', 'sqlite:x.db'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('say where from') as string,
    });
    expect(await cli(['export', '-p', url], { env: { SOURCE_DATE_EPOCH: 'now' } })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('whole seconds') as string,
    });
    if (!('createZstdCompress' in zlib))
      expect(await cli(['export', '-p', url, '-o', at('a.zst')])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('has no zstd') as string,
      });
  });
});

describe('10,000 conversations', () => {
  const COUNT = 10_000;
  const lines = Array.from({ length: COUNT }, (_, i) =>
    JSON.stringify({ conversation_id: `c${(i * 7919) % COUNT}`, messages: [user(`m${i}`)], created_at: '2026-01-01T00:00:00Z' }),
  );

  it('survive SIGKILL and SIGINT in import, export and copy: nothing is lost or doubled, and no half file is left', async () => {
    const folder = testFolder();
    const at = (name: string): string => join(folder, name);
    writeFileSync(at('source.ndjson'), `${lines.join('\n')}\n`);
    /** Ends a command when it tells of its progress for the nth time. */
    const stopped = (args: readonly string[], signal: 'SIGKILL' | 'SIGINT', nth: number): Promise<Ran> =>
      cli(args, {
        env,
        live: (child) => {
          let seen = 0;
          child.stderr?.on('data', () => {
            if (++seen === nth) child.kill(signal);
          });
        },
      });
    const into = ['import', at('source.ndjson'), '-p', `sqlite:${at('a.db')}`, '--on-conflict', 'skip'];
    const copy = ['copy', '--from', `sqlite:${at('a.db')}`, '--to', `sqlite:${at('b.db')}`];
    // a pipe is told of each tenth; the file is too small for that, so one import is cut by its size in the store
    const killed = await cli(into, {
      env,
      live: (child) => {
        const timer = setInterval(() => {
          if (existsSync(at('a.db-wal')) && statSync(at('a.db-wal')).size > 200_000) child.kill('SIGKILL');
        }, 5);
        child.once('close', () => clearInterval(timer));
      },
    });
    expect(killed.signal).toBe('SIGKILL');
    const resumed = await ok([...into, '--json']);
    const report = JSON.parse(resumed.stdout) as { imported: number; skipped: number; failed: [] };
    expect([report.imported + report.skipped, report.failed, report.skipped > 0, report.imported > 0]).toEqual([COUNT, [], true, true]);

    const out = ['export', '-p', `sqlite:${at('a.db')}`, '-o', at('a.ndjson')];
    for (const [signal, nth] of [
      ['SIGKILL', 3],
      ['SIGINT', 5],
    ] as const) {
      const ran = await stopped(out, signal, nth);
      expect(signal === 'SIGKILL' ? ran.signal : ran.code).toBe(signal === 'SIGKILL' ? 'SIGKILL' : 130);
      expect(existsSync(at('a.ndjson'))).toBe(false);
      if (signal === 'SIGINT') expect(ran.stderr).toContain('Interrupted. There is no');
    }
    // that of the killed one; the interrupted one has tidied up
    expect(readdirSync(folder).filter((name) => name.includes('.partial-')).length).toBeLessThanOrEqual(1);
    await ok(out);

    expect((await stopped(copy, 'SIGKILL', 2)).signal).toBe('SIGKILL');
    const interrupted = await stopped(copy, 'SIGINT', 2);
    expect([interrupted.code, interrupted.stderr]).toEqual([
      130,
      expect.stringMatching(/Interrupted: \d+ conversations done\. Run it again/) as string,
    ]);
    const copied = JSON.parse((await ok([...copy, '--json'])).stdout) as { copied: number; present: number };
    expect([copied.copied + copied.present, copied.present > 0, copied.copied > 0]).toEqual([COUNT, true, true]);
    expect(await exported(`sqlite:${at('b.db')}`)).toBe(readFileSync(at('a.ndjson'), 'utf8'));
    const ids = readFileSync(at('a.ndjson'), 'utf8')
      .split('\n')
      .slice(1, -2)
      .map((line) => (JSON.parse(line) as { conversation_id: string }).conversation_id);
    expect(ids).toEqual(Array.from({ length: COUNT }, (_, i) => `c${i}`).sort());
    const verified = await ok(['verify', '-p', `sqlite:${at('b.db')}`, '--json']);
    expect(JSON.parse(verified.stdout)).toEqual({ findings: [], conversations: COUNT, invalid: 0, complete: true });
  }, 180_000);
});

describe('copy', () => {
  it('names what is there with other contents, and replaces it when told to', async () => {
    const { url, at } = await store(madeConversations());
    const to = `sqlite:${at('to.db')}`;
    expect((await ok(['copy', '-p', url, '--to', to])).stdout).toBe(
      '10 conversations copied, 0 there already, each compared with its source.\n',
    );
    const provider = await createSqliteProvider({ path: at('to.db'), sweep: false });
    unwrap(await provider.appendMessages('Z', [user('hunter2')]));
    await provider.close();
    const found = await cli(['copy', '-p', url, '--to', to]);
    expect([found.code, found.stdout]).toEqual([
      1,
      expect.stringMatching(
        /0 conversations copied, 9 there already.*\n1 conversation in the target with other contents.*\n {2}Z\n$/,
      ) as string,
    ]);
    expect((await ok(['copy', '-p', url, '--to', to, '--on-conflict', 'replace'])).stdout).toMatch(/^1 conversation copied, 9 there/);
    expect(await exported(to)).toBe(await exported(url));
  });
});

describe('verify and repair', () => {
  it('name problems without content, mend them, and take that back exactly', async () => {
    const { url } = await store([...madeConversations(), toolCalls]);
    const found = await cli(['verify', '-p', url]);
    expect(found.code).toBe(1);
    expect(found.stdout).toBe(
      [
        'calls  #11 orphan-tool-result: answers no call before it',
        'calls  #14 missing-tool-result: tool_calls[0] has no result',
        'calls  #15 orphan-tool-result: answers the call of message 1, but other messages stand between them',
        '11 conversations checked, 1 with problems.',
        '',
      ].join('\n'),
    );
    expect(JSON.parse((await cli(['verify', 'calls', 'none', '-p', url, '--json'])).stdout)).toMatchObject({
      findings: [
        { conversationId: 'calls', issues: [{ seq: 11 }, { seq: 14 }, { seq: 15 }] },
        { conversationId: 'none', issues: [{ kind: 'not-found' }] },
      ],
      conversations: 2,
      invalid: 2,
      complete: true,
    });
    const before = await exported(url);
    const dry = await cli(['repair', 'calls', '-p', url, '--dry-run']);
    expect([dry.code, dry.stdout]).toEqual([1, expect.stringContaining('3 problems would be repaired.') as string]);
    expect(await exported(url)).toBe(before);
    expect((await ok(['repair', 'calls', '-p', url])).stdout).toContain('3 problems repaired.');
    await ok(['verify', '-p', url]);
    const record = (text: string): Record<string, unknown> =>
      JSON.parse(text.split('\n').find((line) => line.includes('"calls"')) ?? '') as Record<string, unknown>;
    const { messages: _a, checksum: _b, ...kept } = record(before);
    const { messages: _c, checksum: _d, ...now } = record(await exported(url));
    expect(now).toEqual(kept);
    expect((await ok(['repair', 'calls', '-p', url])).stdout).toBe('There is nothing to repair.\n');
    expect((await ok(['repair', 'calls', '-p', url, '--undo'])).stdout).toContain('taken back: 5 messages');
    expect(await exported(url)).toBe(before);
    for (const output of [found, dry]) expect(output.stdout + output.stderr).not.toContain('hunter2');
    expect((await cli(['repair', 'none', '-p', url])).code).toBe(1);
  });
});

describe('search', () => {
  it('finds by metadata and by text, and prints content only when asked', async () => {
    const { url } = await store([...madeConversations(), { ...toolCalls, metadata: { channel: 'phone' } }]);
    expect((await ok(['search', '-p', url, '-m', 'channel=phone', '--json'])).stdout).toContain('"conversationId":"calls"');
    const plain = await ok(['search', '-p', url, '--text', 'HUNTER']);
    expect(plain.stdout).toBe('calls  #11\n');
    expect((await ok(['search', '-p', url, '--text', 'hunter', '--content'])).stdout).toBe('calls  #11 tool: hunter2\n');
    const one = JSON.parse((await ok(['search', '-p', url, '-t', 'message 4', '-n', '2', '--json'])).stdout) as {
      conversations: unknown[];
      more: boolean;
    };
    expect([one.conversations.length, one.more]).toEqual([2, true]);
    expect((await ok(['search', '-p', url, '-t', 'nobody said this'])).stdout).toBe('');
  });
});

describe('conformance', () => {
  const module = (folder: string, text: string): string => {
    const file = join(folder, 'backend.mjs');
    writeFileSync(file, text.replaceAll('jaf/memory/testing', join(ROOT, 'dist/memory/testing/index.js')));
    return file;
  };

  it('runs the kit over a backend or createDriver, and answers 1 when a case fails', async () => {
    const folder = testFolder();
    const good = module(
      folder,
      "import { inMemoryBackend } from 'jaf/memory/testing'; export const createDriver = ({ clock }) => inMemoryBackend().create({ now: clock });",
    );
    const passed = await cli(['conformance', good, '--topic', 'hold']);
    expect([passed.code, passed.stderr]).toEqual([0, expect.stringContaining('cases') as string]);
    expect(passed.stdout).toMatch(/^topic +passed +failed +skipped\nhold +\d+ +0 +0\n\ndriver: \d+ passed, 0 failed, 0 skipped\.\n$/);
    const broken = module(
      folder,
      "import { inMemoryBackend } from 'jaf/memory/testing'; const b = inMemoryBackend(); export default { ...b, name: 'broken', async create(clock) { const d = await b.create(clock); const w = d.write.bind(d); d.write = (batch, trip) => w(batch.map((x) => ({ ...x, hold: undefined })), trip); d.writeNow = undefined; return d; } };",
    );
    const failed = await cli(['conformance', broken, '--topic', 'hold']);
    expect(failed.code).toBe(1);
    expect(failed.stdout).toMatch(/failed hold: .*\n {2}\S/);
    expect(JSON.parse((await cli(['conformance', broken, '--topic', 'hold', '--json'])).stdout)).toMatchObject({
      backend: 'broken',
      failed: expect.arrayContaining([
        { id: expect.stringContaining('hold: ') as string, reason: expect.any(String) as string },
      ]) as unknown,
    });
    writeFileSync(join(folder, 'backend.ts'), 'export const createDriver = (): object => ({});');
    const typescript = await cli(['conformance', join(folder, 'backend.ts'), '--topic', 'hold']);
    const strips = (process.features as { typescript?: unknown }).typescript;
    expect([typescript.code, typescript.stderr]).toEqual(
      strips ? [1, expect.any(String) as string] : [2, expect.stringContaining('cannot load TypeScript') as string],
    );
    const nothing = await cli(['conformance', module(folder, 'export const x = 1;')]);
    expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('exports neither a backend') as string]);
  });
});

describe('completion', () => {
  it('of bash offers commands, options and values', async () => {
    const { stdout } = await ok(['completion', 'bash']);
    const complete = (...words: string[]): string[] => {
      const script = `${stdout}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _jaf_memory; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n');
    };
    expect(complete('jaf-memory', 'ex')).toEqual(['export']);
    expect(complete('jaf-memory', '-p', 'sqlite:x.db', 'imp')).toEqual(['import']);
    expect(complete('jaf-memory', 'export', '--fo')).toEqual(['--format']);
    expect(complete('jaf-memory', 'export', '--format', '')).toEqual(['lines', 'object']);
    expect(complete('jaf-memory', 'completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
    expect(complete('jaf-memory', 'export', '-o', '')).toEqual(['']);
  });

  it.each(['zsh', 'fish'] as const)('of %s is a script the shell can read', async (shell) => {
    const { stdout } = await ok(['completion', shell]);
    for (const name of ['export', 'verify', 'completion']) expect(stdout).toContain(name);
    if (spawnSync(shell, ['--version']).error) return; // not on this machine
    expect(spawnSync(shell, ['-n'], { input: stdout, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });

  it('knows only three shells', async () => {
    expect(await cli(['completion', 'tcsh'])).toMatchObject({ code: 2, stderr: expect.stringContaining('bash, zsh, fish') as string });
  });
});
