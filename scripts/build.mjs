// Builds dist/: embeds the .sql sources, compiles, and marks the binary executable. It compiles elsewhere and swaps at
// the end, so a build that fails leaves the last good one in place. Comments stay in the declarations, where editors show
// them, and are left out of the code: they were a quarter of the package.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = `${root}node_modules/typescript/bin/tsc`;
const fresh = `${root}node_modules/.cache/jaf-build`;
if (!existsSync(tsc)) {
  console.error('Building jaf needs its development dependencies: run "npm ci" (without --omit=dev) first.');
  process.exit(1);
}
const run = (file, args) => {
  const { status, error } = spawnSync(process.execPath, [file, ...args], { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status === 0) return;
  rmSync(fresh, { recursive: true, force: true });
  process.exit(status ?? 1);
};
rmSync(fresh, { recursive: true, force: true });
run(`${root}scripts/embed.mjs`, []);
const compile = (...options) => run(tsc, ['-p', `${root}tsconfig.json`, '--outDir', fresh, ...options]);
compile('--declaration', 'false', '--isolatedDeclarations', 'false', '--removeComments');
compile('--emitDeclarationOnly');

// the declarations that no entry point leads to are of no use to anybody
const entries = Object.values(JSON.parse(readFileSync(`${root}package.json`, 'utf8')).exports).flatMap((entry) => entry.types ?? []);
const reached = new Set();
const reach = (file) => {
  if (reached.has(file)) return;
  reached.add(file);
  for (const [, target] of readFileSync(file, 'utf8').matchAll(/(?:from |import\()'(\.[^']+)\.js'/g))
    reach(resolve(file, `../${target}.d.ts`));
};
for (const entry of entries) reach(resolve(fresh, entry.replace('./dist/', '')));
for (const file of readdirSync(fresh, { recursive: true, encoding: 'utf8' })) {
  if (file.endsWith('.d.ts') && !reached.has(resolve(fresh, file))) rmSync(resolve(fresh, file));
}
chmodSync(`${fresh}/cli/main.js`, 0o755);
rmSync(`${root}dist`, { recursive: true, force: true });
renameSync(fresh, `${root}dist`);
