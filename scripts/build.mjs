// Builds dist/: embeds the .sql sources, compiles, and marks the binary executable. It compiles elsewhere and swaps at
// the end, so a build that fails leaves the last good one in place.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, renameSync, rmSync } from 'node:fs';
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
run(tsc, ['-p', `${root}tsconfig.json`, '--outDir', fresh]);
chmodSync(`${fresh}/cli/main.js`, 0o755);
rmSync(`${root}dist`, { recursive: true, force: true });
renameSync(fresh, `${root}dist`);
