import { fork } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createAuditLog,
  createInMemoryProvider,
  eraseUser,
  MemoryConfigError,
  type MemoryProvider,
  unwrap,
  user,
  verifyAuditLog,
} from 'jaf/memory';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const key = 'sixteen chars or more';
let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jaf-audit-'));
  path = join(folder, 'audit.ndjson');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const lines = (): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);
const write = (all: readonly string[]): void => writeFileSync(path, all.map((line) => `${line}\n`).join(''));

async function filled(count = 5): Promise<string[]> {
  const log = createAuditLog({ path, key });
  const heads: string[] = [];
  for (let n = 0; n < count; n++) heads.push((await log.append({ action: 'test', n, text: 'é "x"\n' })).hash);
  return heads;
}

describe('the audit log', () => {
  it('holds an entry a line, chained, for its owner only', async () => {
    const heads = await filled();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(lines()).toHaveLength(5);
    expect(await verifyAuditLog(path, { key })).toEqual({ valid: true, entries: 5, head: heads[4], problems: [], found: 0 });
    for (const head of heads) expect((await verifyAuditLog(path, { key, head })).valid).toBe(true);
  });

  it('shows every edit, and in which line', async () => {
    await filled();
    const whole = lines();
    const with_ = (n: number, text: string): string[] => whole.map((line, i) => (i === n ? text : line));
    const swapped = [whole[0], whole[2], whole[1], ...whole.slice(3)] as string[];
    const cases: readonly [string, readonly string[], number][] = [
      ['changed', with_(1, (whole[1] ?? '').replace('"n":1', '"n":7')), 2],
      ['changed in blanks only', with_(1, (whole[1] ?? '').replace(',', ', ')), 2],
      ['not JSON', with_(3, 'x'), 4],
      ['taken out', whole.toSpliced(2, 1), 3],
      ['first taken out', whole.slice(1), 1],
      ['moved', swapped, 2],
      ['put in twice', whole.toSpliced(2, 0, whole[1] ?? ''), 3],
    ];
    for (const [what, edited, line] of cases) {
      write(edited);
      const found = await verifyAuditLog(path, { key });
      expect([what, found.valid, found.problems[0]?.line]).toEqual([what, false, line]);
    }
    write(with_(1, (whole[1] ?? '').replace('"n":1', '"n":7')));
    expect((await verifyAuditLog(path, { key })).found, 'one edit is one finding').toBe(1);
    write(whole);
    expect((await verifyAuditLog(path, { key: 'another key of sixteen' })).found).toBe(5);
  });

  it('shows a cut tail to whoever kept a head', async () => {
    const heads = await filled();
    write(lines().slice(0, 3));
    expect(await verifyAuditLog(path, { key })).toMatchObject({ valid: true, entries: 3, head: heads[2] });
    expect(await verifyAuditLog(path, { key, head: heads[4] })).toMatchObject({ valid: false, problems: [{ line: 0 }] });
    expect((await verifyAuditLog(path, { key, head: heads[1] })).valid).toBe(true);
  });

  it('sets a line that a crash cut aside, and says so; one that only lacks its end is kept', async () => {
    await filled(2);
    appendFileSync(path, '{"at":"2026-01-');
    expect(await verifyAuditLog(path, { key })).toMatchObject({
      found: 1,
      problems: [{ line: 3, reason: expect.stringMatching(/no end/) }],
    });
    const log = createAuditLog({ path, key });
    const { hash } = await log.append({ action: 'after' });
    expect(readFileSync(`${path}.cut`, 'utf8')).toBe('{"at":"2026-01-\n');
    expect(lines().map((line) => (JSON.parse(line) as { entry: object }).entry)).toMatchObject([
      { n: 0 },
      { n: 1 },
      { action: 'cut-line-set-aside', bytes: 15 },
      { action: 'after' },
    ]);
    expect(await verifyAuditLog(path, { key, head: hash })).toMatchObject({ valid: true, entries: 4 });
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, -1));
    await log.append({ action: 'last' });
    expect(await verifyAuditLog(path, { key })).toMatchObject({ valid: true, entries: 5 });
  });

  it('adds nothing behind a line that was changed', async () => {
    await filled(2);
    const before = lines();
    write([before[0] ?? '', (before[1] ?? '').replace('"test"', '"tost"')]);
    await expect(createAuditLog({ path, key }).append({ action: 'x' })).rejects.toMatchObject({ code: 'corrupt' });
    expect(lines()).toHaveLength(2);
  });

  it('is one chain when several processes append, one of which was killed with the lock', async () => {
    writeFileSync(`${path}.lock`, `999999999 ${hostname()}`);
    const worker = join(folder, 'worker.mjs');
    const built = new URL('../../dist/memory/index.js', import.meta.url).href;
    writeFileSync(
      worker,
      `import { createAuditLog } from ${JSON.stringify(built)};
      const log = createAuditLog({ path: ${JSON.stringify(path)}, key: ${JSON.stringify(key)} });
      await Promise.all(Array.from({ length: 30 }, (_, n) => log.append({ pid: process.pid, n })));`,
    );
    const codes = await Promise.all(
      Array.from({ length: 3 }, () => new Promise((resolve) => fork(worker, { stdio: 'inherit' }).once('exit', resolve))),
    );
    expect(codes).toEqual([0, 0, 0]);
    expect(await verifyAuditLog(path, { key })).toMatchObject({ valid: true, entries: 90 });
  });

  it('needs a key that cannot be guessed, and a file', async () => {
    const before = process.env['JAF_AUDIT_KEY'];
    delete process.env['JAF_AUDIT_KEY'];
    try {
      expect(() => createAuditLog({ path })).toThrow(/JAF_AUDIT_KEY.*openssl rand/);
      expect(() => createAuditLog({ path, key: 'short' })).toThrow(MemoryConfigError);
      await expect(verifyAuditLog(path, {})).rejects.toMatchObject({ setting: 'JAF_AUDIT_KEY' });
      process.env['JAF_AUDIT_KEY'] = key;
      await createAuditLog({ path }).append({});
      expect((await verifyAuditLog(path)).valid).toBe(true);
    } finally {
      if (before === undefined) delete process.env['JAF_AUDIT_KEY'];
      else process.env['JAF_AUDIT_KEY'] = before;
    }
    await expect(verifyAuditLog(join(folder, 'none'), { key })).rejects.toThrow(/ENOENT/);
    await expect(createAuditLog({ path: join(folder, 'no/such'), key }).append({})).rejects.toMatchObject({ code: 'storage' });
  });
});

describe('erasing a user', () => {
  const fill = async (provider: MemoryProvider): Promise<void> => {
    for (const id of ['a', 'b']) unwrap(await provider.storeMessages(id, [user('x')], {}, { userId: 'ann' }));
  };
  const late = async (provider: MemoryProvider): Promise<string> => {
    const result = await provider.forUser('ann').appendMessages('late', [user('x')], {}, { createIfMissing: true });
    return result.ok ? 'ok' : result.error.code;
  };

  it('answers a receipt that is tied to its entry', async () => {
    await using provider = createInMemoryProvider();
    await fill(provider);
    const receipt = await eraseUser(provider, 'ann', { audit: createAuditLog({ path, key }) });
    expect(receipt).toMatchObject({ conversations: 2, messages: 2, barredUntil: expect.any(Date) });
    expect(await verifyAuditLog(path, { key, receipt, userId: 'ann' })).toMatchObject({ valid: true, erasures: 1 });
    expect(await verifyAuditLog(path, { key, userId: 'bob' })).toMatchObject({ erasures: 0 });
    for (const changed of [{ conversations: 3 }, { at: new Date(0) }, { digest: 'f'.repeat(64) }, { auditHead: '0'.repeat(64) }])
      expect((await verifyAuditLog(path, { key, receipt: { ...receipt, ...changed } })).valid, JSON.stringify(changed)).toBe(false);
    expect(readFileSync(path, 'utf8')).not.toMatch(/"ann"/);
  });

  it('calls every hook; one that fails makes it fail, recorded, and it can be run again', async () => {
    await using provider = createInMemoryProvider();
    await fill(provider);
    const audit = createAuditLog({ path, key });
    const called: string[] = [];
    let broken = true;
    const hooks = [
      ({ userId }: { userId: string }): void => {
        called.push(`1 ${userId}`);
        if (broken) throw new TypeError('index of ann');
      },
      async (): Promise<void> => void called.push('2'),
    ];
    const failed = await eraseUser(provider, 'ann', { audit, hooks, allowReturn: true }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'hook_failed', cause: expect.any(TypeError) });
    expect((failed as Error).message).toMatch(
      /the store is erased and that is recorded, but hook 1 of 2 failed \(TypeError\).*run eraseUser again/,
    );
    expect((failed as Error).message).not.toContain('index of ann');
    expect(called).toEqual(['1 ann', '2']);
    expect(await late(provider)).toBe('erased');
    broken = false;
    expect(await eraseUser(provider, 'ann', { audit, hooks, allowReturn: true })).toMatchObject({ conversations: 0, hooks: 2 });
    expect(await late(provider)).toBe('ok');
    expect(lines().map((line) => (JSON.parse(line) as { entry: object }).entry)).toMatchObject([{ hooksFailed: [1] }, { hooksFailed: [] }]);
  });

  it('bars for as long as it is told, while it works and after; a return is allowed only when all is done', async () => {
    let now = Date.now();
    await using provider = createInMemoryProvider({ clock: () => now });
    const audit = createAuditLog({ path, key });
    await fill(provider);
    await eraseUser(provider, 'ann', { audit, barFor: 60 });
    now += 59_999;
    expect(await late(provider)).toBe('erased');
    now += 1;
    expect(await late(provider)).toBe('ok');
    const during: string[] = [];
    await eraseUser(provider, 'ann', { audit, allowReturn: true, hooks: [async () => void during.push(await late(provider))] });
    expect(during).toEqual(['erased']);
    expect(await late(provider)).toBe('ok');
    await expect(eraseUser(provider, 'ann', { audit, barFor: 0 })).rejects.toThrow(/options\.barFor/);
  });

  it('stops between batches when it is told to, and goes on when it is run again', async () => {
    await using provider = createInMemoryProvider({ maxConversations: 5000 });
    for (let n = 0; n < 1200; n++) unwrap(await provider.storeMessages(`c${n}`, [], {}, { userId: 'ann' }));
    const audit = createAuditLog({ path, key });
    const stop = new AbortController();
    const seen: number[] = [];
    const onProgress = (count: number): void => {
      seen.push(count);
      if (count >= 1000) stop.abort();
    };
    await expect(eraseUser(provider, 'ann', { audit, signal: stop.signal, onProgress })).rejects.toMatchObject({ name: 'AbortError' });
    expect(seen).toEqual([500, 1000]);
    expect(await late(provider)).toBe('erased');
    expect(await eraseUser(provider, 'ann', { audit })).toMatchObject({ conversations: 200 });
  });
});
