// npm run bench:report [-- --check]: writes the generated parts of docs/*.md from bench/results/*.json, and the plots beside
// them. A part stands between `<!-- bench: KIND ARGUMENT -->` and `<!-- /bench -->`; what is between is replaced. With --check
// nothing is written; a part without results, an unknown part and a missing plot fail in both.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { plots } from './lib/plots.mjs';
import { parts } from './lib/tables.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const check = process.argv.includes('--check');
const problems = [];
const PART = /<!-- bench: (\S+) ([^>]*?) ?-->\n[\s\S]*?<!-- \/bench -->/g;
const wanted = new Set();

for (const name of readdirSync(`${root}docs`).filter((file) => file.endsWith('.md'))) {
  const file = `${root}docs/${name}`;
  const before = readFileSync(file, 'utf8');
  const after = before.replaceAll(PART, (whole, kind, argument) => {
    try {
      if (!(kind in parts)) throw new Error(`there is no part "${kind}"; there are ${Object.keys(parts).join(', ')}`);
      const text = parts[kind](argument);
      for (const [, plot] of text.matchAll(/\(performance\/([\w-]+)\.svg\)/g)) wanted.add(plot);
      return `<!-- bench: ${kind} ${argument} -->\n${text}\n<!-- /bench -->`;
    } catch (error) {
      problems.push(`docs/${name}: ${kind} ${argument}: ${error.message}`);
      return whole;
    }
  });
  if ((before.match(/<!-- bench: /g) ?? []).length !== (before.match(PART) ?? []).length)
    problems.push(`docs/${name}: a part does not end`);
  if (after === before) continue;
  if (check) problems.push(`docs/${name}: its generated parts are older than bench/results`);
  else writeFileSync(file, after);
  console.log(`docs/${name}: ${check ? 'differs' : 'written'}`);
}

const drawn = [];
for (const name of wanted) {
  try {
    drawn.push({ file: `${root}docs/performance/${name}.svg`, spec: plots(name) });
  } catch (error) {
    problems.push(`docs/performance/${name}.svg: ${error.message}`);
  }
}
if (check) for (const { file } of drawn.filter(({ file }) => !existsSync(file))) problems.push(`${file} is missing`);
else if (drawn.length > 0) draw();

function draw() {
  if (!existsSync(`${root}bench/plots/node_modules/vega`)) {
    problems.push('plots need Vega: npm ci --prefix bench/plots');
    return;
  }
  mkdirSync(`${root}docs/performance`, { recursive: true });
  const { status } = spawnSync(process.execPath, [`${root}bench/plots/draw.mjs`], {
    input: JSON.stringify(drawn),
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  if (status !== 0) problems.push(`drawing ended with ${status}`);
}

for (const problem of problems) console.error(`✗ ${problem}`);
if (problems.length > 0) process.exitCode = 1;
