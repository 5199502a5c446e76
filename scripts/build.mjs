// Builds dist/: embeds the .sql sources, compiles, bundles, and marks the binary executable. It works elsewhere and swaps at
// the end, so a build that fails leaves the last good one in place. Comments stay in the declarations, where editors show
// them, and are left out of the code: they were a quarter of the package.
//
// The code is bundled because a file costs a start more than what stands in it: `import 'jaf/memory'` read about sixty, and
// took twice as long. Everything it needs at once is one chunk; what it loads on use (a backend, a backup) has chunks of its own.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = `${root}node_modules/typescript/bin/tsc`;
const work = `${root}node_modules/.cache/jaf-build`;
const compiled = `${work}/compiled/`;
const fresh = `${work}/dist/`;
if (!existsSync(tsc)) {
  console.error('Building jaf needs its development dependencies: run "npm ci" (without --omit=dev) first.');
  process.exit(1);
}
const run = (file, args) => {
  const { status, error } = spawnSync(process.execPath, [file, ...args], { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status === 0) return;
  rmSync(work, { recursive: true, force: true });
  process.exit(status ?? 1);
};
rmSync(work, { recursive: true, force: true });
run(`${root}scripts/embed.mjs`, []);
const compile = (to, ...options) => run(tsc, ['-p', `${root}tsconfig.json`, '--outDir', to, ...options]);
compile(compiled, '--declaration', 'false', '--isolatedDeclarations', 'false', '--removeComments');
compile(fresh, '--emitDeclarationOnly');

const { exports: subpaths, bin } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
const entries = Object.values(subpaths).filter((entry) => entry.types !== undefined);

/** Files that a file leads to through `pattern`, itself included. */
function reach(file, pattern, extension, reached = new Set()) {
  if (reached.has(file)) return reached;
  reached.add(file);
  for (const [, target] of readFileSync(file, 'utf8').matchAll(pattern))
    reach(resolve(file, `../${target}${extension}`), pattern, extension, reached);
  return reached;
}

const atOnce = (entry) => reach(compiled + entry, /^(?:import|export) [^;]*?from '(\.[^']+)\.js'/gms, '.js');
const memory = atOnce('memory/index.js');
const engine = atOnce('index.js');
const programs = [...entries.map((entry) => entry.default), ...Object.values(bin)].map((path) => path.replace('./dist/', ''));
// like the compiler, one of the development dependencies: looked for above
const { rolldown } = await import('rolldown');
const bundle = await rolldown({
  cwd: compiled,
  input: Object.fromEntries(programs.map((path) => [path.replace(/\.js$/, ''), compiled + path])),
  platform: 'node',
  external: /^(?!\.|\/)/,
});
await bundle.write({
  dir: fresh,
  format: 'esm',
  // one that is loaded on use is named by its module
  chunkFileNames: ({ name, facadeModuleId: facade }) => `chunks/${facade ? relative(compiled, facade).replaceAll('/', '-') : `${name}.js`}`,
  codeSplitting: {
    groups: [
      { name: 'memory', test: (id) => memory.has(id), priority: 1 },
      { name: 'engine', test: (id) => engine.has(id) },
    ],
  },
});
await bundle.close();

// the declarations that no entry point leads to are of no use to anybody
const declared = new Set(
  entries.flatMap((entry) => [...reach(resolve(fresh, entry.types.replace('./dist/', '')), /(?:from |import\()'(\.[^']+)\.js'/g, '.d.ts')]),
);
for (const file of readdirSync(fresh, { recursive: true, encoding: 'utf8' })) {
  if (file.endsWith('.d.ts') && !declared.has(resolve(fresh, file))) rmSync(resolve(fresh, file));
}
for (const path of Object.values(bin)) chmodSync(fresh + path.replace('./dist/', ''), 0o755);
rmSync(`${root}dist`, { recursive: true, force: true });
renameSync(fresh, `${root}dist`);
rmSync(work, { recursive: true, force: true });
