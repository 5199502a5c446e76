// Packs the build as it would be published and looks at the tarball: its size, what publint and attw say, that every target
// of package.json "exports" is in it, that no .d.ts holds `any` or a type of another package, and that only the command line
// and dynamic imports load other packages. Run "npm run build" first. What the package *does* is tested in test/pack/.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from '@typescript/typescript6';

const MAX_BYTES = 400_000;
const root = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'jaf-package-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
let problems = 0;

function problem(text) {
  problems++;
  console.error(`✗ ${text}`);
}

/** Runs a program to its end; its output is shown when it fails. */
function run(file, args) {
  const { status, stdout, stderr, error } = spawnSync(file, args, { cwd: root, encoding: 'utf8' });
  if (error) throw error;
  if (status === 0) return stdout;
  problem(`${[file, ...args].join(' ')} ended with ${status}\n${stdout}${stderr}`);
  return undefined;
}

/** Module specifiers of a file: static ones, and those of import() calls. */
function importsOf(source) {
  const fixed = [];
  const dynamic = [];
  const visit = (node) => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) fixed.push(node.moduleSpecifier.text);
    else if (ts.isImportTypeNode(node)) fixed.push(node.argument.literal.text);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) dynamic.push(node.arguments[0]?.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { fixed, dynamic };
}

function hasAny(source) {
  const visit = (node) => node.kind === ts.SyntaxKind.AnyKeyword || ts.forEachChild(node, visit) === true;
  return visit(source);
}

const packed = run('npm', ['pack', '--ignore-scripts', '--json', '--loglevel=error', '--pack-destination', work]);
if (packed === undefined) process.exit(1);
const [{ filename, entryCount, unpackedSize }] = JSON.parse(packed);
const tarball = join(work, filename);
const bytes = statSync(tarball).size;
console.log(`${filename}: ${(bytes / 1000).toFixed(1)} kB packed, ${(unpackedSize / 1000).toFixed(1)} kB unpacked, ${entryCount} files`);
if (bytes > MAX_BYTES) problem(`the tarball is larger than ${MAX_BYTES / 1000} kB`);

run('tar', ['-xzf', tarball, '-C', work]);
const unpacked = join(work, 'package');
const files = new Set(readdirSync(unpacked, { recursive: true }));
const manifest = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8'));
for (const [subpath, entry] of Object.entries(manifest.exports)) {
  for (const target of typeof entry === 'string' ? [entry] : Object.values(entry)) {
    if (!files.has(target.slice(2))) problem(`exports["${subpath}"] names ${target}, which is not in the tarball`);
  }
}
for (const target of Object.values(manifest.bin))
  if (!files.has(target.replace('./', ''))) problem(`bin names ${target}, which is not in the tarball`);
for (const expected of ['README.md', 'LICENSE', 'CHANGELOG.md']) if (!files.has(expected)) problem(`${expected} is not in the tarball`);
for (const file of files) if (/\.(ts|map)$/.test(file) && !file.endsWith('.d.ts')) problem(`${file} does not belong in the tarball`);

/** The command line, which may load what the package depends on; and entry points that cannot do without an optional peer. */
const CLI = 'dist/cli/main.js';
const OF_PEER = { 'dist/memory/otel.js': '@opentelemetry/api' };
const isOwn = (specifier) => specifier.startsWith('.') || specifier.startsWith('node:');
const required = Object.keys(manifest.dependencies ?? {});
const optional = Object.keys(manifest.peerDependencies ?? {});
const code = new Map();
for (const file of files) {
  if (!file.startsWith('dist/') || !/\.(js|d\.ts)$/.test(file)) continue;
  code.set(file, ts.createSourceFile(file, readFileSync(join(unpacked, file), 'utf8'), ts.ScriptTarget.Latest));
}

/** Files an entry point leads to, at once and on use. */
function reachedFrom(entry) {
  const reached = new Set();
  const reach = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    const { fixed, dynamic } = importsOf(code.get(file));
    for (const specifier of [...fixed, ...dynamic]) if (specifier?.startsWith('.')) reach(join(dirname(file), specifier));
  };
  reach(entry);
  return reached;
}

const programs = [...new Set([CLI, ...Object.values(manifest.exports).flatMap((entry) => entry.default?.slice(2) ?? [])])];
const reached = new Map(programs.map((entry) => [entry, reachedFrom(entry)]));
for (const [file, source] of code) {
  const { fixed, dynamic } = importsOf(source);
  const users = programs.filter((entry) => reached.get(entry).has(file));
  if (file.endsWith('.js') && users.length === 0) problem(`no entry point leads to ${file}`);
  const onlyOf = (entry) => users.length === 1 && users[0] === entry;
  for (const specifier of fixed) {
    if (isOwn(specifier) || (onlyOf(CLI) && required.includes(specifier))) continue;
    if (users.length === 1 && OF_PEER[users[0]] === specifier) continue;
    problem(`${file} imports "${specifier}": clients load on use only, and their types stay out of ours`);
  }
  for (const specifier of dynamic) {
    if (specifier === undefined ? onlyOf(CLI) : isOwn(specifier) || optional.includes(specifier)) continue;
    if (onlyOf(CLI) && required.includes(specifier)) continue;
    problem(`${file} loads "${specifier}", which is neither a dependency nor an optional peer`);
  }
  if (file.endsWith('.d.ts') && hasAny(source)) problem(`${file} holds \`any\``);
}

const lint = run(join(root, 'node_modules/.bin/publint'), ['run', tarball, '--strict']);
if (lint !== undefined) console.log('publint: no problems');
const types = run(join(root, 'node_modules/.bin/attw'), [
  tarball,
  '--profile',
  'esm-only',
  '--no-emoji',
  '--no-color',
  '--format',
  'table-flipped',
]);
if (types !== undefined) console.log(`attw (esm-only):\n${types.trim()}`);
console.log(problems === 0 ? 'package: no problems' : `package: ${problems} problem(s)`);
process.exit(problems === 0 ? 0 : 1);
