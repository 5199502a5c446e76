// The documents are true: every block compiles and runs, every variable, setting and error code is described.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInMemoryProvider, createPostgresProvider, createRedisProvider, createSqliteProvider } from 'jaf/memory';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usePostgres } from '../support/postgres.js';
import { useRedis } from '../support/redis.js';

/** Milliseconds for one run of the command: about 10 s alone, several times that beside other tests. */
const LIMIT = 240_000;
const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** The command of `npm run test:docs`, on the build under test. */
function testDocs(...args: readonly string[]): { status: number | null; output: string } {
  const env = { ...process.env, JAF_TEST_POSTGRES_URL: postgres.url, JAF_TEST_REDIS_URL: redis.url };
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts/test-docs.mjs'), ...args], { encoding: 'utf8', env });
  return { status, output: stdout + stderr };
}

let postgres: Awaited<ReturnType<typeof usePostgres>>;
let redis: Awaited<ReturnType<typeof useRedis>>;
beforeAll(async () => {
  postgres = await usePostgres();
  redis = await useRedis();
});
afterAll(async () => {
  await postgres?.destroy();
  await redis?.destroy();
});

describe('npm run test:docs', { timeout: LIMIT }, () => {
  it.each(['memory', 'sqlite', 'redis', 'postgres'])('every block runs on %s', (provider) => {
    const { status, output } = testDocs('--provider', provider);
    expect(output).toMatch(/^docs\/memory-system\.md:\d+ .* ok /m);
    expect(output).toMatch(/^docs\/concepts\.md:\d+ .* ok /m);
    expect({ status, output }).toEqual({ status: 0, output: expect.not.stringContaining('FAILED') as string });
  });
});

it('without a server what needs one is not run, and says so; asked for by name it fails', { timeout: LIMIT }, () => {
  const { JAF_TEST_POSTGRES_URL: _, JAF_TEST_REDIS_URL: __, ...env } = process.env;
  const page = join(root, 'docs/providers.md');
  const all = spawnSync(process.execPath, [join(root, 'scripts/test-docs.mjs'), join(root, 'docs/concepts.md')], { encoding: 'utf8', env });
  expect(all.stdout).toMatch(/^not run: .*redis \(set JAF_TEST_REDIS_URL/m);
  expect(all.stdout).toMatch(/^not run: .*postgres \(set JAF_TEST_POSTGRES_URL/m);
  expect(all.status).toBe(0);
  const named = spawnSync(
    process.execPath,
    [join(root, 'scripts/test-docs.mjs'), '--provider', 'postgres', page, join(root, 'docs/concepts.md')],
    {
      encoding: 'utf8',
      env,
    },
  );
  expect(named.stdout).toMatch(/FAILED docs\/concepts\.md:\d+ on postgres: set JAF_TEST_POSTGRES_URL/);
  expect(named.status).toBe(1);
});

describe('the test of the documents finds', { timeout: LIMIT }, () => {
  let folder = '';
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, page: string): string => {
    const file = join(folder, `${name}.md`);
    writeFileSync(file, page);
    return file;
  };
  const block = (marks: string, code: string, lang = 'ts', behind = ''): string => `${marks}\n\`\`\`${lang}\n${code}\n\`\`\`\n${behind}`;
  const expecting = (text: string): string => `<!-- output -->\n\`\`\`text\n${text}\n\`\`\`\n`;

  const failing: readonly (readonly [what: string, page: string, message: RegExp])[] = [
    ['a type error, and its line', block('<!-- run: memory -->', 'const fine = 1;\nconst n: number = "x";'), /\.md:4: TS2322/],
    ['an index that may be undefined', block('<!-- run: memory -->', 'const a: string[] = [];\nconst s: string = a[0];'), /TS2322/],
    ['a block that throws', block('<!-- run: memory -->', "throw new Error('no');"), /exit code 1/],
    ['a rejected promise', block('<!-- run: memory -->', "void Promise.reject(new Error('no'));"), /exit code 1/],
    [
      'another output',
      block('<!-- run: memory -->', "console.log('a');\nconsole.log('b');", 'ts', expecting('a')),
      /prints something else/,
    ],
    ['an output that is missing', block('<!-- run: memory -->', ';', 'ts', expecting('a')), /prints something else/],
    [
      'a failure behind the block',
      block('<!-- run: memory -->', 'const a = 1;', 'ts', "<!-- check\nif (a) throw new Error('no');\n-->"),
      /exit code 1/,
    ],
    ['a failure in the set-up', block("<!-- run: memory\nthrow new Error('no');\n-->", 'const a = 1;'), /exit code 1/],
    [
      'a failure on one provider',
      block('<!-- run: memory sqlite -->', "if (process.env['JAF_MEMORY_TYPE'] === 'sqlite') process.exit(3);"),
      /on sqlite: exit code 3/,
    ],
    ['a block without a mark that fails', block('', "throw new Error('no');"), /exit code 1/],
    ['a mark that does not exist', block('<!-- runs: memory -->', ';'), /there is no mark "runs: memory"/],
    ['a provider that does not exist', block('<!-- run: memory mysql -->', ';'), /cannot read the mark/],
    ['a later mark on a block that works', block('<!-- run: memory -->\n<!-- later: something -->', ';'), /it works: take the mark out/],
    [
      'a later mark for a provider that is there',
      block('<!-- run: sqlite -->\n<!-- later: sqlite -->', 'process.exit(1);'),
      /sqlite is in this version: take the mark out/,
    ],
    [
      'a variable that is read nowhere',
      block('<!-- env: sqlite -->', 'JAF_MEMORY_TYPE=sqlite\nJAF_SOMETHING_ELSE=1', 'bash'),
      /JAF_SOMETHING_ELSE is read nowhere/,
    ],
    [
      'a variable with a bad value',
      block('<!-- env: memory -->', 'JAF_MEMORY_TYPE=memory\nJAF_MEMORY_MAX_MESSAGES=many', 'bash'),
      /must be a whole number/,
    ],
    [
      'a variable of another provider',
      block('<!-- env: memory -->', 'JAF_MEMORY_TYPE=memory\nJAF_SQLITE_PATH=x.db', 'bash'),
      /no effect with memory/,
    ],
    ['variables of another type than the mark says', block('<!-- env: redis -->', 'JAF_MEMORY_TYPE=memory', 'bash'), /it describes memory/],
    ['a command that fails', block('<!-- run: memory -->', 'false | true\necho hidden', 'bash'), /exit code 1/],
    ['a shown block that does not compile', block('<!-- shown: no server -->', 'const n: number = "x";'), /TS2322/],
  ];
  // all pages in one go: compiling is what takes time
  let report = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'jaf-docs-test-'));
    report = testDocs(...failing.map(([, page], n) => write(`page${n}`, page))).output;
  }, LIMIT);
  it.each(failing.map(([what, , message], n) => [what, n, message] as const))('%s', (_what, n, message) => {
    const found = report.split(/^(?=FAILED )/m).filter((part) => part.startsWith('FAILED ') && part.includes(`page${n}.md:`));
    expect(found.length, report).toBe(1);
    expect(found[0]).toMatch(message);
  });

  it('that a page has no blocks', () => {
    const { status, output } = testDocs(write('empty', 'Only words.'));
    expect(output).toMatch(/0 blocks in 1 files/);
    expect(status).toBe(1);
  });

  it('that one block of two fails', () => {
    const { status, output } = testDocs(write('half', `${block('', ';')}\n${block('', 'process.exit(1);')}`));
    expect(output).toMatch(/2 blocks in 1 files: 1 ok, 1 failed/);
    expect(status).toBe(1);
  });

  it('nothing wrong in a page that is right', () => {
    const page = [
      block(
        '<!-- run: memory sqlite with provider -->',
        'console.log((await provider.healthCheck()).provider, Math.random());',
        'ts',
        expecting('… 0.…'),
      ),
      block('<!-- env: sqlite -->', 'JAF_MEMORY_TYPE=sqlite   # one file\nJAF_SQLITE_PATH=./a.db', 'bash'),
      block('<!-- run: memory -->', 'echo $JAF_MEMORY_TYPE', 'bash', expecting('memory')),
      block('<!-- run: memory -->\n<!-- later: a package -->', "import 'not-there';"),
    ];
    const { status, output } = testDocs(write('right', page.join('\n')));
    expect(output).toMatch(/4 blocks in 1 files: 4 ok, 0 failed, 1 later, 0 shown/);
    expect(status).toBe(0);
  });
});

describe('docs/providers.md', () => {
  const page = read('docs/providers.md');

  it('describes every environment variable', () => {
    const [variables = ''] = /const VARIABLES[\s\S]*?\n};/.exec(read('src/memory/env.ts')) ?? [];
    const names = [...new Set(variables.match(/JAF_[A-Z_]+/g))];
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  it.each([
    ['In-memory', async (config: object) => createInMemoryProvider(config)],
    ['SQLite', createSqliteProvider],
    ['Redis', createRedisProvider],
    ['PostgreSQL', createPostgresProvider],
  ] as const)('describes every setting of %s', async (name, create) => {
    const error: unknown = await create({ zzzzzzzzzzzzzzzzzzzz: 1 } as object).catch((e: unknown) => e);
    const settings = /Known settings: (.+)\./.exec(String(error))?.[1]?.split(', ') ?? [];
    expect(settings.length).toBeGreaterThan(7);
    const chapter = (title: string): string => page.split(/^## /m).find((part) => part.startsWith(title)) ?? '';
    const described = chapter('Options of every provider') + chapter(name);
    expect(settings.filter((setting) => !described.includes(`| \`${setting}\` |`))).toEqual([]);
  });
});

describe('docs/concepts.md', () => {
  it('has every error code of every error class', () => {
    const page = read('docs/concepts.md');
    const lists = [...read('src/memory/errors.ts').matchAll(/Codes?: ((?:`[a-z_]+`(?: \([^)]*\))?(?:, )?)+)/g)];
    const codes = lists.flatMap((list) => [...(list[1] ?? '').matchAll(/`([a-z_]+)`/g)].map((match) => match[1] ?? ''));
    expect(codes.length).toBeGreaterThan(15);
    expect(codes.filter((code) => !page.includes(`| \`${code}\` |`))).toEqual([]);
  });
});

describe('links', () => {
  const docs = readdirSync(join(root, 'docs')).filter((file) => file.endsWith('.md'));
  const pages = ['README.md', 'CONTRIBUTING.md', ...docs.map((file) => join('docs', file))];
  /** As GitHub makes them. */
  const anchors = (text: string): string[] =>
    [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
      (match[1] ?? '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    );

  it.each(pages)('of %s lead somewhere', (page) => {
    const text = read(page).replace(/^```[\s\S]*?^```/gm, '');
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '').filter((target) => !target.startsWith('http'));
    const dead = targets.filter((target) => {
      const [path, anchor] = target.split('#');
      const file = path ? join(page, '..', path) : page;
      if (!existsSync(join(root, file))) return true;
      return anchor !== undefined && !anchors(read(file)).includes(anchor);
    });
    expect(dead).toEqual([]);
  });
});
