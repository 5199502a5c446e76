// Mistakes put into the real drivers and the layer above them, one at a time: does the model check (test/proof/model) notice?
//
//   node test/proof/mutations/run.mjs [--only TEXT] [--programs 400] [--write]
//
// Each of list.json is a place in a file, found exactly once, and what stands there instead. It works in a copy of the sources in
// a temporary folder. Prints a table; what survives is listed in docs/reliability.md. Exit code 1: one survived that is not listed there.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const { values } = parseArgs({
  options: { only: { type: 'string' }, programs: { type: 'string', default: '400' }, write: { type: 'boolean', default: false } },
});
const all = JSON.parse(readFileSync(new URL('./list.json', import.meta.url), 'utf8'));
const chosen = all.filter(({ what }) => values.only === undefined || what.includes(values.only));
const known = readFileSync(join(root, 'docs/reliability.md'), 'utf8');

const folder = mkdtempSync(join(tmpdir(), 'jaf-mutations-'));
for (const name of ['src', 'test', 'scripts', 'package.json', 'tsconfig.json', 'vitest.config.ts', 'vitest.proof.config.ts'])
  cpSync(join(root, name), join(folder, name), { recursive: true });
symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));

/** A mistake that makes a program wait for ever is noticed, too. */
const PATIENCE = 15 * 60_000;
const embed = () => execFileSync(process.execPath, ['scripts/embed.mjs'], { cwd: folder, stdio: 'ignore' });
const noticed = (backends) => {
  try {
    execFileSync(
      process.execPath,
      ['node_modules/vitest/vitest.mjs', 'run', '--config', 'vitest.proof.config.ts', 'test/proof/model', '-t', 'programs', '--bail', '1'],
      {
        cwd: folder,
        env: {
          ...process.env,
          JAF_TEST_SRC: '1',
          JAF_PROOF_PROGRAMS: values.programs,
          JAF_PROOF_BACKENDS: backends.join(','),
          JAF_PROOF_RESULTS: join(folder, 'results'),
        },
        stdio: 'ignore',
        timeout: PATIENCE,
      },
    );
    return false;
  } catch {
    return true;
  }
};

const rows = [];
try {
  if (noticed([...new Set(chosen.flatMap(({ backends }) => backends))]))
    throw new Error('the check fails without a mistake: nothing can be said');
  for (const { what, file, find, replace, backends } of chosen) {
    const path = join(folder, file);
    const before = readFileSync(path, 'utf8');
    const places = before.split(find).length - 1;
    if (places !== 1) throw new Error(`"${what}": found ${places} times in ${file}, expected once`);
    writeFileSync(
      path,
      before.replace(find, () => replace),
    );
    embed();
    const caught = noticed(backends);
    writeFileSync(path, before);
    embed();
    rows.push({ what, file, caught });
    console.log(`| ${what} | ${file} | ${caught ? 'noticed' : 'survived'} |`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (values.write) {
  const file = join(root, 'docs/reliability.md');
  const table = [
    '| mistake | file | |',
    '| --- | --- | --- |',
    ...rows.map(({ what, file: at, caught }) => `| ${what} | ${at} | ${caught ? 'noticed' : '**survived**'} |`),
  ];
  const text = `${rows.filter(({ caught }) => caught).length} of ${rows.length} are noticed, with ${values.programs} programs each.\n\n${table.join('\n')}`;
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace(
      /(<!-- proof: mutations -->\n)[^]*?(\n<!-- \/proof -->)/,
      (_all, open, close) => `${open}\n${text}\n${close}`,
    ),
  );
}
const survivors = rows.filter(({ caught }) => !caught);
console.log(`${rows.length - survivors.length} of ${rows.length} noticed.`);
process.exit(survivors.every(({ what }) => known.includes(what)) ? 0 : 1);
