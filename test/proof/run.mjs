// The proof suite: npm run test:proof -- [--long] [--part NAME]… [--backends NAME,…] [--seed N] [--write]
//
// Runs test/proof/**, prints a table of what each part tried and found, and searches everything that was printed for planted
// secrets. --long: a million calls per backend and more of the rest (hours). --write puts the tables into docs/reliability.md.
// Exit code 1: something was found.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const PARTS = ['model', 'crash', 'partition', 'poison', 'isolation', 'overload'];
/** In content, metadata, ids and credentials of the parts. */
const SECRET = 'pl4nted-s3cret';
const usage = 'npm run test:proof -- [--long] [--part NAME]… [--backends NAME,…] [--seed N] [--write]';

let options;
try {
  ({ values: options } = parseArgs({
    options: {
      long: { type: 'boolean', default: false },
      part: { type: 'string', multiple: true, default: PARTS },
      backends: { type: 'string' },
      seed: { type: 'string', default: '20261123' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }));
} catch (error) {
  console.error(`error: ${error.message}\n${usage}`);
  process.exit(2);
}
if (options.help) {
  console.log(`${usage}\nParts: ${PARTS.join(', ')}`);
  process.exit(0);
}
const strange = options.part.find((part) => !PARTS.includes(part));
if (strange !== undefined) {
  console.error(`error: --part ${strange}: expected one of ${PARTS.join(', ')}`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'jaf-proof-results-'));
const results = join(folder, 'results.ndjson');
const began = Date.now();
let printed = '';
const code = await new Promise((resolve) => {
  const amounts = options.long ? { PROGRAMS: 23_200, RUNS: 20, POISON: 20_000 } : { PROGRAMS: 400, RUNS: 3, POISON: 3000 };
  const env = {
    ...process.env,
    JAF_PROOF_RESULTS: results,
    JAF_PROOF_SEED: options.seed,
    ...(options.backends ? { JAF_PROOF_BACKENDS: options.backends } : {}),
    ...Object.fromEntries(Object.entries(amounts).map(([name, n]) => [`JAF_PROOF_${name}`, process.env[`JAF_PROOF_${name}`] ?? String(n)])),
  };
  const child = spawn(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--config',
      join(root, 'vitest.proof.config.ts'),
      ...options.part.map((part) => `test/proof/${part}/`),
    ],
    { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ])
    from.on('data', (bytes) => {
      printed += bytes.toString();
      to.write(bytes);
    });
  child.once('close', (status) => resolve(status ?? 1));
});

const findings = existsSync(results)
  ? readFileSync(results, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  : [];
rmSync(folder, { recursive: true, force: true });

/** A table of one part: as Markdown, which can be read on a terminal, too. */
function table(part) {
  const rows = findings.filter((finding) => finding.part === part);
  if (rows.length === 0) return undefined;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row.numbers)))];
  const cells = [
    ['backend', 'what', ...columns],
    ['---', '---', ...columns.map(() => '---:')],
    ...rows.map((row) => [row.backend, row.what, ...columns.map((column) => format(row.numbers[column]))]),
  ];
  const widths = cells[0].map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  return cells
    .map((row) => `| ${row.map((cell, i) => (i > 1 ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`)
    .join('\n');
}

const format = (value) => (value === undefined ? '' : typeof value === 'number' ? value.toLocaleString('en') : value);

const leaked = printed.split('\n').filter((line) => line.includes(SECRET));
const tables = new Map();
for (const part of ['model', 'broken drivers', 'crash', 'partition', 'poison', 'isolation', 'overload']) {
  const text = table(part);
  if (text === undefined) continue;
  tables.set(part, text);
  console.log(`\n${part}\n${text}`);
}
const minutes = ((Date.now() - began) / 60_000).toFixed(1);
const closing = `${findings.length} findings in ${minutes} minutes${options.long ? ' (--long)' : ''}, seed ${options.seed}, Node ${process.version}; ${leaked.length === 0 ? 'no planted secret' : `${leaked.length} lines with planted secrets`} in ${printed.length.toLocaleString('en')} printed characters.`;
console.log(`\n${closing}`);

if (options.write) {
  const file = join(root, 'docs/reliability.md');
  let text = readFileSync(file, 'utf8');
  for (const [part, rows] of [...tables, ['run', closing]]) {
    const pattern = new RegExp(`(<!-- proof: ${part} -->\n)[^]*?(\n<!-- /proof -->)`);
    if (!pattern.test(text)) throw new Error(`docs/reliability.md has no place for ${part}`);
    text = text.replace(pattern, (_all, open, close) => `${open}\n${rows}\n${close}`);
  }
  writeFileSync(file, text);
}
process.exit(code !== 0 || leaked.length > 0 ? 1 : 0);
