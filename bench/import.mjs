// What starting costs: a fresh process that imports jaf/memory and makes an in-memory provider, against one that imports an empty
// module; which files it loads; and the size of the tarball that would be published.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { compare, UNITS } from './lib/compare.mjs';

export const title = 'a fresh process imports jaf/memory and makes an in-memory provider';

const execute = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const IMPORT = 'const at = performance.now(); %; console.log(performance.now() - at)';
const JAF = "const { createInMemoryProvider } = await import('jaf/memory'); createInMemoryProvider()";
/** A loader that names each file it resolves. */
const LOADER = `import { writeSync } from 'node:fs';
export async function resolve(specifier, context, next) {
  const found = await next(specifier, context);
  writeSync(2, 'resolved ' + found.url + '\\n');
  return found;
}`;

/** Modules that importing loads, ours and others. */
async function modulesOf(folder) {
  const loader = join(folder, 'loader.mjs');
  writeFileSync(loader, LOADER);
  const main = join(folder, 'main.mjs');
  writeFileSync(
    main,
    `import { register } from 'node:module'; register(${JSON.stringify(pathToFileURL(loader).href)}); await import(${JSON.stringify(pathToFileURL(`${root}dist/memory/index.js`).href)}).then((m) => m.createInMemoryProvider());`,
  );
  const { stderr } = await execute(process.execPath, [main], { cwd: root });
  const urls = new Set([...stderr.matchAll(/^resolved (\S+)$/gm)].map(([, url]) => url).filter((url) => url.startsWith('file:')));
  return [...urls];
}

/** Runs both parts. */
export async function run({ repetitions }) {
  const folder = mkdtempSync(join(tmpdir(), 'jaf-bench-'));
  try {
    writeFileSync(join(folder, 'empty.mjs'), '');
    const modules = await modulesOf(folder);
    const foreign = modules.filter((url) => url.includes('/node_modules/'));
    if (modules.length === 0 || foreign.length > 0) throw new Error(`jaf/memory alone loads ${foreign.join(', ') || 'nothing'}`);
    const programs = {
      'jaf/memory': JAF,
      'an empty module': `await import(${JSON.stringify(pathToFileURL(join(folder, 'empty.mjs')).href)})`,
    };
    await compare({
      name: 'import',
      title,
      provider: 'import',
      what: 'import',
      unit: UNITS.millis,
      ratio: 'cost',
      cases: ['a fresh process'],
      repetitions: repetitions ?? 15,
      notes: [`${modules.length} files of ours are loaded, and none of another package`],
      contenders: Object.entries(programs).map(([name, program]) => ({
        name,
        ...(name === 'jaf/memory' ? { goal: { max: 40 }, against: { 'an empty module': {} } } : {}),
        operations: 1,
        open: async () => ({
          work: async () => {
            const at = performance.now();
            const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', IMPORT.replace('%', () => program)], {
              cwd: root,
            });
            return { value: Number(stdout), figures: { 'whole process, ms': performance.now() - at } };
          },
          check: async () => undefined, // a program that fails has failed the sample
          close: async () => undefined,
        }),
      })),
    });
    await compare({
      name: 'import',
      title,
      provider: 'tarball',
      what: 'package',
      unit: UNITS.bytes,
      ratio: 'cost',
      cases: ['packed tarball'],
      once: true,
      contenders: [
        {
          name: 'jaf',
          goal: { max: 400_000 },
          operations: 1,
          open: async () => ({
            work: async () => {
              const { stdout } = await execute('npm', ['pack', '--dry-run', '--ignore-scripts', '--json', '--loglevel=error'], {
                cwd: root,
              });
              const [{ size, unpackedSize, entryCount }] = JSON.parse(stdout);
              return { value: size, figures: { 'bytes unpacked': unpackedSize, files: entryCount } };
            },
            check: async () => undefined, // npm says what it packed
            close: async () => undefined,
          }),
        },
      ],
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
