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
  const amounts = options.long ? { PROGRAMS: 22_000, RUNS: 20, POISON: 20_000 } : { PROGRAMS: 400, RUNS: 3, POISON: 3000 };
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

/** Tables of one part, one for each set of columns: as Markdown, which can be read on a terminal, too. */
function table(part) {
  const byColumns = new Map();
  for (const row of findings.filter((finding) => finding.part === part)) {
    const columns = Object.keys(row.numbers);
    const key = columns.join();
    if (!byColumns.has(key)) byColumns.set(key, { columns, rows: [] });
    byColumns.get(key).rows.push(row);
  }
  const texts = [...byColumns.values()].map(({ columns, rows }) => {
    const cells = [
      ['backend', 'what', ...columns],
      ['---', '---', ...columns.map(() => '---:')],
      ...rows.map((row) => [row.backend, row.what, ...columns.map((column) => format(row.numbers[column]))]),
    ];
    const widths = cells[0].map((_, i) => Math.max(...cells.map((row) => row[i].length)));
    return cells
      .map((row) => `| ${row.map((cell, i) => (i > 1 ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`)
      .join('\n');
  });
  return texts.length === 0 ? undefined : texts.join('\n\n');
}

/** All faults and backends, with what became of acknowledged writes: "acknowledged: lost / doubled / reordered". */
function faults() {
  const rows = new Map();
  const backends = [];
  for (const { backend, fault, numbers } of findings) {
    if (fault === undefined) continue;
    if (!backends.includes(backend)) backends.push(backend);
    if (!rows.has(fault)) rows.set(fault, new Map());
    const row = rows.get(fault);
    const cell = row.get(backend) ?? { acknowledged: 0, lost: 0, doubled: 0, reordered: 0 };
    // a history that no order explains is one of the three; which, a person must say
    for (const name of Object.keys(cell)) cell[name] += numbers[name] ?? numbers['histories without an order'];
    row.set(backend, cell);
  }
  if (rows.size === 0) return undefined;
  const text = (cell) => (cell ? `${format(cell.acknowledged)}: ${[cell.lost, cell.doubled, cell.reordered].map(format).join(' / ')}` : '');
  return [
    `| fault | ${backends.join(' | ')} |`,
    `| --- | ${backends.map(() => '---:').join(' | ')} |`,
    ...[...rows].map(([fault, row]) => `| ${fault} | ${backends.map((backend) => text(row.get(backend))).join(' | ')} |`),
  ].join('\n');
}

/** How often an operation (across) followed or overlapped another (down) on a conversation, on all backends. */
function pairs() {
  const sums = new Map();
  for (const { numbers } of findings.filter(({ part }) => part === 'pairs'))
    for (const [pair, n] of Object.entries(numbers)) sums.set(pair, (sums.get(pair) ?? 0) + n);
  if (sums.size === 0) return undefined;
  const names = [...new Set([...sums.keys()].flatMap((pair) => pair.split(' ')))].sort();
  return [
    `|  | ${names.join(' | ')} |`,
    `| --- | ${names.map(() => '---:').join(' | ')} |`,
    ...names.map((first) => `| ${first} | ${names.map((then) => format(sums.get(`${first} ${then}`) ?? 0)).join(' | ')} |`),
  ].join('\n');
}

const format = (value) => (value === undefined ? '' : typeof value === 'number' ? value.toLocaleString('en') : value);

const leaked = printed.split('\n').filter((line) => line.includes(SECRET));
const tables = new Map();
const TABLES = [
  'model',
  'faults of the model',
  'broken drivers',
  'crash',
  'disk',
  'partition',
  'failover',
  'poison',
  'isolation',
  'overload',
  'pairs',
  'all faults',
];
for (const part of TABLES) {
  const text = part === 'all faults' ? faults() : part === 'pairs' ? pairs() : table(part);
  if (text === undefined) continue;
  tables.set(part, text);
  console.log(`\n${part}\n${text}`);
}
const minutes = ((Date.now() - began) / 60_000).toFixed(1);
const closing = `${findings.length} findings in ${minutes} minutes${options.long ? ' (--long)' : ''}, seed ${options.seed}, Node ${process.version}; ${leaked.length === 0 ? 'no planted secret' : `${leaked.length} lines with planted secrets`} in ${printed.length.toLocaleString('en')} printed characters.`;
console.log(`\n${closing}`);

/** A table in which rows of this run take the place of earlier ones of the same backend; the others stay. */
function merged(before, after) {
  const [head, rule, ...rows] = after.split('\n');
  const columns = (line) => line.split('|').map((cell) => cell.trim());
  const old = before.split('\n').filter((line) => line.startsWith('|'));
  if (old.length < 3 || columns(old[0]).join() !== columns(head).join()) return after;
  const now = new Set(rows.map((row) => columns(row)[1]));
  return [head, rule, ...old.slice(2).filter((row) => !now.has(columns(row)[1])), ...rows].join('\n');
}

if (options.write) {
  const file = join(root, 'docs/reliability.md');
  let text = readFileSync(file, 'utf8');
  // --long takes hours: it may be run for one backend after the other
  const places = options.long ? [...tables].map(([part, rows]) => [`${part} long`, rows]) : [...tables, ['run', closing]];
  for (const [part, rows] of places) {
    const pattern = new RegExp(`(<!-- proof: ${part} -->\n)([^]*?)(\n<!-- /proof -->)`);
    if (!pattern.test(text)) {
      if (options.long) continue;
      throw new Error(`docs/reliability.md has no place for ${part}`);
    }
    text = text.replace(pattern, (_all, open, before, close) => `${open}\n${options.long ? merged(before, rows) : rows}\n${close}`);
  }
  writeFileSync(file, text);
}
process.exit(code !== 0 || leaked.length > 0 ? 1 : 0);
