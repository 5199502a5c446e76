import { readFile, stat } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Project, root } from './project.js';

const MAX_BYTES = 400_000;
const hasOwnSqlite = isBuiltin('node:sqlite');
const COMPILERS = {
  'TypeScript 7': `${root}node_modules/typescript/bin/tsc`,
  'TypeScript 6': `${root}node_modules/@typescript/typescript6/bin/tsc6`,
};

let project: Project;
beforeAll(async () => {
  project = await Project.create();
});
afterAll(() => project?.remove());

/** Entry points that work without any peer: all but the one for OpenTelemetry. */
const peerless = (): readonly string[] => project.subpaths.filter((path) => path !== 'jaf/memory/otel');

/** What a program that prints one JSON value printed. */
async function json(args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await project.node(args);
  if (code !== 0) throw new Error(`node ${args.join(' ')} ended with ${code}\n${stderr}`);
  return JSON.parse(stdout);
}

describe('the tarball in an empty project without peers', () => {
  it(`is at most ${MAX_BYTES / 1000} kB`, () => {
    console.log(`jaf tarball: ${(project.bytes / 1000).toFixed(1)} kB`);
    expect(project.bytes).toBeGreaterThan(10_000);
    expect(project.bytes).toBeLessThanOrEqual(MAX_BYTES);
  });

  it('has the six entry points', () => {
    expect(project.subpaths).toEqual(['jaf', 'jaf/memory', 'jaf/memory/otel', 'jaf/memory/testing', 'jaf/models', 'jaf/testing']);
  });

  it('imports', async () => {
    const code = `const names = {}; for (const path of ${JSON.stringify(peerless())}) names[path] = Object.keys(await import(path)).length; console.log(JSON.stringify(names))`;
    const counts = (await json(['--input-type=module', '-e', code])) as Record<string, number>;
    expect(Object.keys(counts)).toEqual(peerless());
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(0);
  });

  it('requires, and gives the same module as import', async () => {
    const code = `(async () => { const same = {}; for (const path of ${JSON.stringify(peerless())}) { const required = require(path); const imported = await import(path); same[path] = Object.keys(imported).length > 0 && Object.keys(imported).every((name) => imported[name] === required[name]); } console.log(JSON.stringify(same)); })()`;
    expect(await json(['--input-type=commonjs', '-e', code])).toEqual(Object.fromEntries(peerless().map((path) => [path, true])));
  });

  it('jaf/memory/otel says which package it needs, and works where that is', async () => {
    const code = `const { instrumentMemory } = await import('jaf/memory/otel'); instrumentMemory().stop();`;
    const args = ['--input-type=module', '-e', code];
    expect((await project.node(args)).stderr).toContain("Cannot find package '@opentelemetry/api'");
    await project.add('@opentelemetry/api');
    expect(await project.node(args)).toEqual({ code: 0, stdout: '', stderr: '' });
    const required = `const { instrumentMemory } = require('jaf/memory/otel'); instrumentMemory().stop();`;
    expect(await project.node(['--input-type=commonjs', '-e', required])).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('exports its package.json', async () => {
    expect(await json(['-p', `JSON.stringify(require('jaf/package.json').name)`])).toBe('jaf');
  });

  it.runIf(hasOwnSqlite)("keeps conversations in Node's own SQLite", async () => {
    await project.write(
      'own-sqlite.mjs',
      `import { createSqliteProvider, unwrap, user } from 'jaf/memory';
       const first = await createSqliteProvider({ path: './own.db' });
       unwrap(await first.storeMessages('chat-1', [user('Hello')]));
       await first.close();
       const second = await createSqliteProvider({ path: './own.db' });
       console.log(JSON.stringify((await second.getConversation('chat-1'))?.messages));
       await second.close();`,
    );
    expect(await json(['own-sqlite.mjs'])).toEqual([{ role: 'user', content: 'Hello' }]);
  });

  it.runIf(!hasOwnSqlite)('says what SQLite is missing', async () => {
    const code = `import { createSqliteProvider } from 'jaf/memory'; await createSqliteProvider({ path: './none.db' }).catch((e) => console.log(JSON.stringify([e.name, e.code, e.message])))`;
    const [name, errorCode, message] = (await json(['--input-type=module', '-e', code])) as string[];
    expect([name, errorCode]).toEqual(['MemoryConfigError', 'missing_peer']);
    expect(message).toContain('npm install @photostructure/sqlite');
  });

  it('says what the OpenAI model is missing', async () => {
    const code = `import { createOpenAIModel } from 'jaf/models';
      await createOpenAIModel({ apiKey: 'k' }).getCompletion({ messages: [{ role: 'user', content: 'Hi' }], tools: [] }).catch((e) => console.log(JSON.stringify([e.code, e.message])))`;
    const [errorCode, message] = (await json(['--input-type=module', '-e', code])) as string[];
    expect(errorCode).toBe('missing_peer');
    expect(message).toContain('npm install openai');
  });

  it('has a binary that runs', async () => {
    const path = join(project.folder, 'node_modules/jaf/dist/cli/main.js');
    expect((await stat(path)).mode & 0o111).toBe(0o111);
    expect(await readFile(path, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const help = await project.node([path, '--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('Usage: jaf-memory');
    const info = await project.node([path, 'info', '--provider', 'memory:', '--json']);
    expect(info).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(info.stdout)).toMatchObject({ type: 'memory', persistence: false });
  });
});

describe('nothing of a backend that is not used loads', () => {
  // Packages of these names that refuse to load: what imports one of them fails.
  const clients = [
    '@photostructure/sqlite',
    'openai',
    'zod',
    'redis',
    '@redis/client',
    'ioredis',
    'pg',
    'ai',
    'commander',
    'cli-progress',
    '@opentelemetry/api',
  ];
  let trapped: Project;
  beforeAll(async () => {
    trapped = await Project.create();
    for (const name of clients) {
      await trapped.write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '99.0.0', exports: './index.cjs' }));
      await trapped.write(`node_modules/${name}/index.cjs`, `throw new Error('loaded ${name}');\n`);
    }
  });
  afterAll(() => trapped?.remove());

  it('the traps work', async () => {
    for (const name of clients) {
      const { code, stderr } = await trapped.node(['--input-type=module', '-e', `await import('${name}')`]);
      expect(code).toBe(1);
      expect(stderr).toContain(`loaded ${name}`);
    }
  });

  it('imports every entry point and runs in memory', async () => {
    const imports = peerless()
      .map((path) => `await import('${path}');`)
      .join('\n');
    const code = `${imports}
      const { createInMemoryProvider, unwrap, user } = await import('jaf/memory');
      const provider = createInMemoryProvider();
      unwrap(await provider.storeMessages('chat-1', [user('Hello')]));
      await provider.close();`;
    expect(await trapped.node(['--input-type=module', '-e', code])).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});

describe("import 'jaf/memory'", () => {
  it('loads no backend but the in-memory one', async () => {
    const loader = `import { writeSync } from 'node:fs'; export async function load(url, context, next) { writeSync(1, url + '\\n'); return next(url, context); }`;
    await project.write(
      'trace.mjs',
      `import { register } from 'node:module'; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(loader)}`)});`,
    );
    await project.write('memory-only.mjs', `import 'jaf/memory';`);
    const { code, stdout } = await project.node(['--import', './trace.mjs', 'memory-only.mjs']);
    expect(code).toBe(0);
    const files = stdout.split('\n').filter((url) => url.startsWith('file:') && !url.endsWith('/memory-only.mjs'));
    // a file costs more than what stands in it
    expect(files.map((url) => url.replace(/.*\/node_modules\//, '')).sort()).toEqual([
      'jaf/dist/chunks/memory.js',
      'jaf/dist/memory/index.js',
    ]);
    // the bundler says where each part begins
    const texts = await Promise.all(files.map((url) => readFile(fileURLToPath(url), 'utf8')));
    const modules = texts.flatMap((text) => [...text.matchAll(/^\/\/ (\S+\.js)$/gm)].map(([, path]) => path as string));
    expect(modules.length).toBeGreaterThan(10);
    expect(modules.filter((path) => !/^memory\/[^/]+\.js$/.test(path)).sort()).toEqual([
      'memory/providers/in-memory/conversation.js',
      'memory/providers/in-memory/driver.js',
      'memory/providers/in-memory/index.js',
      'memory/providers/in-memory/ordered.js',
      // two small files of the rules for names and hosts, which the checks of a configuration use
      'memory/providers/postgres/hosts.js',
      'memory/providers/postgres/names.js',
      'memory/providers/sqlite/index.js',
    ]);
    expect(modules).not.toContain('memory/probe.js');
  });

  it('takes seven modules of Node and what those load themselves', async () => {
    const seven = ['crypto', 'diagnostics_channel', 'fs', 'path', 'url', 'util', 'zlib'];
    const code = `${seven.map((name) => `await import('node:${name}');`).join(' ')}
      const { isBuiltin } = await import('node:module');
      const before = new Set(process.moduleLoadList);
      await import('jaf/memory');
      const loaded = process.moduleLoadList.filter((name) => !before.has(name)).map((name) => name.replace(/^NativeModule /, ''));
      console.log(JSON.stringify(loaded.filter((name) => isBuiltin('node:' + name))));`;
    expect(await json(['--input-type=module', '-e', code])).toEqual([]);
  });
});

// a compiler may take long on a busy machine
describe('types', { timeout: 240_000 }, () => {
  const strict = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: false,
    outDir: 'out',
    rootDir: '.',
    target: 'es2022',
    lib: ['es2022'],
  };
  beforeAll(async () => {
    await project.add('@types/node');
    for (const name of ['custom-provider.ts', 'commonjs.cts'])
      await project.write(name, await readFile(`${root}test/pack/fixtures/${name}`, 'utf8'));
    // every entry point whole, so that each .d.ts behind it is checked (skipLibCheck is off)
    await project.write('entries.ts', `${project.subpaths.map((path, i) => `export * as entry${i} from '${path}';`).join('\n')}\n`);
    const configs = {
      nodenext: {
        files: ['custom-provider.ts', 'commonjs.cts', 'entries.ts'],
        options: { module: 'nodenext', moduleResolution: 'nodenext' },
      },
      bundler: { files: ['custom-provider.ts', 'entries.ts'], options: { module: 'esnext', moduleResolution: 'bundler' } },
    };
    for (const [name, { files, options }] of Object.entries(configs)) {
      await project.write(`tsconfig.${name}.json`, JSON.stringify({ files, compilerOptions: { ...strict, ...options, types: ['node'] } }));
    }
    // a browser-like project: no Node types at all
    const options = { ...strict, ...configs.bundler.options, lib: ['es2022', 'dom', 'esnext.disposable'], types: [], noEmit: true };
    await project.write('tsconfig.web.json', JSON.stringify({ files: ['entries.ts'], compilerOptions: options }));
  });

  for (const [name, compiler] of Object.entries(COMPILERS)) {
    // the older compiler is slow, and its view of a project without Node's types adds nothing
    it.each(name === 'TypeScript 7' ? ['nodenext', 'bundler', 'web'] : ['nodenext', 'bundler'])(
      `resolve and check under ${name}, %s, without skipLibCheck`,
      async (resolution) => {
        expect(await project.node([compiler, '-p', `tsconfig.${resolution}.json`])).toEqual({ code: 0, stdout: '', stderr: '' });
      },
    );
  }

  it("the document's MyCustomProvider works in run()", async () => {
    await project.node([COMPILERS['TypeScript 7'], '-p', 'tsconfig.nodenext.json']);
    expect(await json(['out/custom-provider.js'])).toEqual({
      outputs: ['Hello Ada!', 'Good.', 'Still good.'],
      stored: [
        ['user', 'My name is Ada.'],
        ['assistant', 'Hello Ada!'],
        ['user', 'yes'],
        ['assistant', 'Good.'],
        ['user', 'yes'],
        ['assistant', 'Still good.'],
      ],
    });
  });

  it('a CommonJS program runs', async () => {
    await project.node([COMPILERS['TypeScript 7'], '-p', 'tsconfig.nodenext.json']);
    expect(await json(['out/commonjs.cjs'])).toEqual({ count: 1, status: 'completed', kit: 'function', done: 'function' });
  });
});
