// The TypeScript project in which the blocks of the documents are compiled: all in one run of tsc, with the flags of
// tsconfig.json, against the package as users import it.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

/**
 * Makes a project in a temporary folder: the package and everything installed in the checkout, under the names users import.
 *
 * @param {string} root - the checkout
 * @param {string} pkg - a folder with package.json and dist/
 * @returns {string} the folder, to be removed by the caller
 */
export function makeProject(root, pkg) {
  const project = mkdtempSync(join(realpathSync(tmpdir()), 'jaf-docs-'));
  const modules = join(project, 'node_modules');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  mkdirSync(join(project, 'blocks'));
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.') && name !== 'jaf') symlinkSync(join(root, 'node_modules', name), join(modules, name), 'junction');
  }
  symlinkSync(pkg, join(modules, 'jaf'), 'junction');
  writeFileSync(join(modules, '.bin/jaf-memory'), `#!/bin/sh\nexec "${process.execPath}" "${join(pkg, 'dist/cli/main.js')}" "$@"\n`, {
    mode: 0o755,
  });
  writeFileSync(join(project, 'package.json'), '{ "type": "module", "private": true }\n');
  const compilerOptions = { rootDir: 'blocks', outDir: 'out', noEmitOnError: false, removeComments: false };
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: ['blocks'] }),
  );
  return project;
}

const OPEN = "import * as jafSetup from 'jaf/memory'; await using provider = await jafSetup.createMemoryProviderFromEnv();";

/** The file of a block, and for each of its lines the line of the document. */
function sourceOf(block) {
  const text = [];
  const origin = [];
  const add = (part) => {
    if (!part) return;
    part.text.split('\n').forEach((line, i) => {
      text.push(line);
      origin.push(part.line + i);
    });
  };
  if (block.withProvider) add({ text: OPEN, line: block.line });
  add(block.setup);
  add({ text: block.code, line: block.line });
  add(block.check);
  add({ text: 'export {};', line: block.line });
  return { text: text.join('\n'), origin };
}

/**
 * Compiles all blocks at once into out/ of the project. Gives each block a `name` (of its file) and `errors`: what the compiler
 * has against it, with the lines of the document.
 *
 * @param {string} root - the checkout
 * @param {string} project - see {@link makeProject}
 * @param {import('./docs-blocks.mjs').Block[]} blocks
 */
export function compile(root, project, blocks) {
  blocks.forEach((block, n) => {
    block.name = `${basename(block.file, '.md')}-${block.line}-${n}`;
    block.errors = [];
    if (block.lang !== 'ts' && block.lang !== 'js') return;
    const { text, origin } = sourceOf(block);
    block.origin = origin;
    writeFileSync(join(project, 'blocks', `${block.name}.ts`), `${text}\n`);
  });
  // tsc calls an empty project an error
  writeFileSync(join(project, 'blocks/empty.ts'), 'export {};\n');
  const byName = new Map(blocks.map((block) => [block.name, block]));
  let last;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), '-p', project, '--pretty', 'false'],
    { cwd: project, encoding: 'utf8' },
  );
  for (const line of `${stdout}${stderr}`.split('\n').filter(Boolean)) {
    const [, name, at, message] = /^blocks\/(.+?)\.ts\((\d+),\d+\): error (.*)$/.exec(line) ?? [];
    const block = byName.get(name);
    if (block) block.errors.push(`${block.file}:${block.origin[Number(at) - 1]}: ${message}`);
    else if (last && /^\s/.test(line)) last.errors.push(line);
    else throw new Error(`tsc: ${line}`);
    last = block ?? last;
  }
}
