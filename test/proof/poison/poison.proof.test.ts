// Whatever comes in, from callers, from files or from a damaged store: an answer or a typed error, and nothing else. JAF_PROOF_POISON: how
// many of each kind; JAF_PROOF_SEED: which.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  createInMemoryProvider,
  createProvider,
  createSqliteProvider,
  exportLines,
  getMemoryProviderInfo,
  importConversations,
  MemoryConfigError,
  MemoryError,
  type MemoryProvider,
  MemoryStorageError,
  type Message,
  repairMessages,
  textOf,
  toChatMessages,
  unwrap,
  user,
  verifyMessages,
} from 'jaf/memory';
import { afterAll, describe, expect, it } from 'vitest';
import type { Stored } from '../../../src/memory/driver.js';
import { variant } from '../../../src/memory/testing/broken/broken.js';
import { BACKENDS, startBackend } from '../model/backends.js';
import { found, setting } from '../support/results.js';

const RUNS = setting('POISON', 2000);
const SEED = setting('SEED', 20_261_123);
const options = { numRuns: RUNS, seed: SEED } as const;
/** Nothing may be left on the prototypes by what was stored and read. */
const keys = (): string => JSON.stringify([Object.prototype, Array.prototype, String.prototype].map((p) => Reflect.ownKeys(p).map(String)));
const before = keys();

const HOSTILE = [
  '__proto__',
  'constructor',
  'toString',
  'then',
  'length',
  'role',
  'content',
  'tool_calls',
  '\u0000',
  '\ud800',
  '',
  '{x}',
  "'; DROP TABLE conversations; --",
  '$jaf',
  '*',
  'a'.repeat(300),
];
const key = fc.oneof(fc.constantFrom(...HOSTILE), fc.string());
const text = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.string({ maxLength: 20 }),
);
const anything = fc.anything({
  key,
  maxDepth: 4,
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withSparseArray: true,
  withNullPrototype: true,
  withBoxedValues: true,
  withObjectString: true,
});
/** Nearly a message. */
const message = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record(
      {
        role: fc.constantFrom('user', 'assistant', 'system', 'developer', 'tool', 'function', 'USER', ''),
        content: fc.oneof(text, anything),
        name: fc.oneof(text, anything),
        tool_calls: fc.oneof(fc.constant([{ id: 'c', type: 'function', function: { name: 'f', arguments: '{' } }]), anything),
        tool_call_id: fc.oneof(text, anything),
        extra: anything,
      },
      { requiredKeys: [] },
    ),
  },
  { weight: 1, arbitrary: anything },
);

/** A message with odd texts. */
const sound = fc.record(
  {
    role: fc.constantFrom('user', 'assistant', 'system', 'developer'),
    content: text,
    name: text,
    extra: fc.jsonValue(),
    ['__proto__x']: fc.jsonValue(),
  },
  { requiredKeys: ['role', 'content'] },
);

let calls = 0;
const outcomes: Record<string, number> = {};
const note = (what: string): void => {
  calls++;
  outcomes[what] = (outcomes[what] ?? 0) + 1;
};

afterAll(() => {
  const typed = Object.entries(outcomes).filter(([what]) => /: (?!answered|stored|named|not noticed)/.test(what));
  const refused = typed.reduce((sum, [, n]) => sum + n, 0);
  found({
    part: 'poison',
    backend: 'memory, sqlite',
    what: 'fuzzed arguments, environments, lines and files',
    numbers: { calls, 'typed errors': refused, 'other errors': 0 },
  });
  expect(keys()).toBe(before);
});

/** A typed error, or what `work` answers. */
async function answer<T>(what: string, work: () => T | Promise<T>): Promise<T | undefined> {
  try {
    const value = await work();
    note(`${what}: answered`);
    return value;
  } catch (error) {
    if (!(error instanceof MemoryError)) throw error;
    expect(error.code).not.toBe('internal');
    note(`${what}: ${error.code}`);
    return undefined;
  }
}

describe('arguments', () => {
  it('messages and metadata: stored exactly, or refused with a path', { timeout: 0 }, async () => {
    await using provider = createInMemoryProvider();
    const values = fc.oneof(
      { weight: 2, arbitrary: fc.array(sound, { maxLength: 3 }) },
      { weight: 1, arbitrary: fc.array(message, { maxLength: 3 }) },
    );
    const metadataOrNot = fc.oneof(fc.constant(undefined), fc.dictionary(key, fc.jsonValue()), anything);
    await fc.assert(
      fc.asyncProperty(values, metadataOrNot, async (messages, metadata) => {
        await provider.deleteConversation('poison');
        const result = await provider.storeMessages('poison', messages as Message[], metadata as never);
        if (!result.ok) {
          expect(result.error).toMatchObject({ name: 'MemoryValidationError', outcome: 'not_applied' });
          note('messages: refused');
          return;
        }
        note('messages: stored');
        const expected = JSON.parse(JSON.stringify({ messages, metadata: metadata ?? {} })) as unknown;
        const read = await provider.getConversation('poison');
        expect(JSON.parse(JSON.stringify({ messages: read?.messages, metadata: read?.metadata }))).toEqual(expected);
        // what is built on messages takes them all
        verifyMessages(messages as Message[]);
        repairMessages(read?.messages ?? []);
        toChatMessages(read?.messages ?? []);
        for (const m of read?.messages ?? []) textOf(m);
      }),
      options,
    );
  });

  it('checks and repairs of messages nobody checked before', { timeout: 0 }, () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), (messages) => {
        verifyMessages(messages as Message[]);
        const { messages: repaired } = repairMessages(messages as Message[]);
        const pairs = verifyMessages(repaired).issues.filter(({ kind }) => /tool-result/.test(kind));
        expect(pairs).toEqual([]);
      }),
      options,
    );
  });

  it('ids, options and queries: typed errors, and no conversation but the one named', { timeout: 0 }, async () => {
    await using provider = createInMemoryProvider();
    unwrap(await provider.storeMessages('mine', [user('x')], undefined, { userId: 'me' }));
    const odd = fc.oneof(text, anything);
    await fc.assert(
      fc.asyncProperty(
        odd,
        odd,
        fc.dictionary(
          fc.constantFrom(
            'userId',
            'since',
            'until',
            'limit',
            'offset',
            'order',
            'metadata',
            'messageLimit',
            'traceId',
            'after',
            'before',
            'ttl',
            'maxMessages',
            'expectedVersion',
            'operationId',
            'createIfMissing',
            'signal',
          ),
          odd,
        ),
        async (id, who, more) => {
          fc.pre(id !== 'mine' && who !== 'me' && more['userId'] !== 'me');
          await answer('get', () => provider.getConversation(id as string, more as never));
          await answer('recent', () => provider.getRecentMessages(id as string, more['limit'] as never));
          await answer('page', () => provider.getMessages(id as string, more as never));
          await answer('delete', () => provider.deleteConversation(id as string, more as never));
          await answer('clear', () => provider.clearUserConversations(who as string));
          await answer('stats', () => provider.getStats(who as string));
          await answer('find', async () => {
            const list = await provider.findConversations(more);
            if (more['userId'] !== undefined) for (const c of list) expect(c.userId).toBe(more['userId']);
          });
          await answer('iterate', async () => {
            for await (const c of provider.iterateConversations(more)) expect(c.conversationId).toBeTypeOf('string');
          });
          await answer('forUser', () => provider.forUser(who as string).findConversations());
          const result = await provider.appendMessages(id as string, [user('y')], undefined, more);
          if (!result.ok) expect(result.error.code).not.toBe('internal');
          expect((await provider.getConversation('mine'))?.messages.map(textOf)).toEqual(['x']);
        },
      ),
      { ...options, numRuns: Math.ceil(RUNS / 4) },
    );
  });

  it('environments: a configuration or a MemoryConfigError, and no secret in it', { timeout: 0 }, () => {
    const SECRET = 'pl4nted-s3cret';
    const names = [
      'JAF_MEMORY_TYPE',
      'JAF_MEMORY_MAX_CONVERSATIONS',
      'JAF_SQLITE_PATH',
      'JAF_SQLITE_DURABILITY',
      'JAF_REDIS_URL',
      'JAF_REDIS_HOST',
      'JAF_REDIS_PORT',
      'JAF_REDIS_DB',
      'JAF_REDIS_TTL',
      'JAF_REDIS_TLS',
      'JAF_REDIS_SENTINEL_HOSTS',
      'JAF_REDIS_CLUSTER_NODES',
      'JAF_REDIS_KEY_PREFIX',
      'JAF_POSTGRES_CONNECTION_STRING',
      'JAF_POSTGRES_PORT',
      'JAF_POSTGRES_SSL',
      'JAF_POSTGRES_TABLE_NAME',
      'JAF_POSTGRES_SCHEMA',
      'JAF_POSTGRES_POOL_MAX_SIZE',
      'JAF_POSTGRES_LAYOUT',
    ];
    const value = fc.oneof(
      text,
      fc.constantFrom(
        'memory',
        'sqlite',
        'redis',
        'postgres',
        '1e9',
        '-1',
        'true',
        `redis://u:${SECRET}@h:1/x`,
        `postgres://u:${SECRET}@h:99999/`,
        `redis://${SECRET}@[`,
        'a:b:c',
        '# comment',
      ),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), value), fc.boolean(), (env, withSecret) => {
        const full = withSecret ? { ...env, JAF_REDIS_PASSWORD: SECRET, JAF_POSTGRES_PASSWORD: SECRET } : env;
        let shown: string;
        try {
          shown = JSON.stringify(getMemoryProviderInfo(full));
        } catch (error) {
          expect(error).toBeInstanceOf(MemoryConfigError);
          shown = `${String(error)} ${JSON.stringify(error)}`;
        }
        expect(shown).not.toContain(SECRET);
        note('environment');
      }),
      options,
    );
  });
});

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

describe.each(BACKENDS.filter((name) => !/cluster|ioredis|pgbouncer/.test(name)))('stored bodies and segments of %s', (name) => {
  it('a bit that flipped is one typed error that names the conversation and the message; the rest is readable', {
    timeout: 0,
  }, async () => {
    const running = await startBackend(name);
    const [driver] = await running.open(0, Date.now);
    if (!driver) throw new Error('no driver');
    let flip: ((stored: Stored) => Stored) | undefined;
    const damaged = variant(driver, {
      read: async (read, trip) => {
        const stored = await driver.read(read, trip);
        return stored && flip ? flip(stored) : stored;
      },
    });
    const provider: MemoryProvider = createProvider(damaged);
    const texts = Array.from({ length: 60 }, (_, n) => `message ${n} é😀 ${'y'.repeat(n)}`);
    unwrap(
      await provider.storeMessages(
        'flips',
        texts.slice(0, 40).map((t) => user(t)),
        undefined,
        { compressionThreshold: 20 },
      ),
    );
    unwrap(
      await provider.appendMessages(
        'flips',
        texts.slice(40).map((t) => user(t)),
        undefined,
        { compressionThreshold: 20 },
      ),
    );
    let found_ = 0;
    let harmless = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), fc.nat({ max: 7 }), async (which, at, bit) => {
        flip = (stored) => damage(stored, which, at, bit);
        try {
          const read = await provider.getConversation('flips');
          // a flip may hit what carries no meaning
          expect(read?.messages.map(textOf)).toEqual(texts);
          harmless++;
        } catch (error) {
          if (!(error instanceof MemoryStorageError)) throw error;
          expect(error).toMatchObject({ code: 'corrupt' });
          expect(error.message).toContain('"flips"');
          expect(error.message).toMatch(/message \d+|sequence \d+|seq(?:uence)?s? \d+|\d+/);
          found_++;
        }
      }),
      { ...options, numRuns: Math.min(RUNS, 1000) },
    );
    flip = undefined;
    expect((await provider.getConversation('flips'))?.messages.map(textOf)).toEqual(texts);
    found({
      part: 'poison',
      backend: name,
      what: 'bits flipped in bodies and segments',
      numbers: { flips: found_ + harmless, 'named errors': found_, harmless, 'wrong answers': 0 },
    });
    await provider.close();
    await running.stop();
  });
});

/** A bit of one body or segment. */
function damage(stored: Stored, which: number, at: number, bit: number): Stored {
  const target = which % (stored.bodies.length + stored.segments.length);
  const inText = (text: string): string => {
    const bytes = Buffer.from(text);
    const place = at % bytes.length;
    bytes[place] = (bytes[place] ?? 0) ^ (1 << bit);
    return bytes.toString('latin1') === text ? text : bytes.toString();
  };
  return {
    ...stored,
    bodies: stored.bodies.map((one, n) => {
      if (n !== target) return one;
      const text = inText(one.body.text);
      return { seq: one.seq, body: { text, bytes: Buffer.byteLength(text) } };
    }),
    segments: stored.segments.map((segment, n) => {
      if (n + stored.bodies.length !== target) return segment;
      if (typeof segment.data === 'string') return { ...segment, data: inText(segment.data) };
      const data = Buffer.from(segment.data);
      const place = at % data.length;
      data[place] = (data[place] ?? 0) ^ (1 << bit);
      return { ...segment, data };
    }),
  };
}
