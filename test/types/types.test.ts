import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { values } from './names.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const TSC = `${root}node_modules/typescript/bin/tsc`;
const TSC6 = `${root}node_modules/@typescript/typescript6/bin/tsc6`;

/** Milliseconds a compiler may take: a minute was too little on a busy machine. */
const PATIENCE = 240_000;

/** What a compiler says of a project; '' when it is content. */
function compile(tsc: string, project: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [tsc, '-p', project], { cwd: root });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', reject);
    child.on('close', (code) => resolve(code === 0 ? output : output || `exit code ${code}`));
  });
}

describe('the samples of this folder compile against the build', { timeout: PATIENCE }, () => {
  it('with TypeScript 7, nodenext, every strict flag', async () => {
    expect(await compile(TSC, 'test/types/tsconfig.json')).toBe('');
  });
  it('with TypeScript 6, bundler resolution, plain strict', async () => {
    expect(await compile(TSC6, 'test/types/tsconfig.bundler.json')).toBe('');
  });
});

describe('every value of the contract is exported', () => {
  it.each(Object.entries(values))('%s', async (entry, names) => {
    // a name that is not a literal, so that the resolver of the tests (not the compiler) finds the build
    const module = (await import(entry)) as Record<string, unknown>;
    expect(names.filter((name) => typeof module[name] !== 'function')).toEqual([]);
  });
});

// The translated document lies beside the checkout on the project's own machines only.
const DOCUMENT = `${root}../shared/document-in-typescript.md`;
describe.runIf(existsSync(DOCUMENT))('the translated document', { timeout: PATIENCE }, () => {
  let folder: string | undefined;
  afterAll(async () => {
    if (folder) await rm(folder, { recursive: true, force: true });
  });
  it('compiles block by block', async () => {
    const blocks = [...(await readFile(DOCUMENT, 'utf8')).matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]);
    expect(blocks.length).toBeGreaterThan(15);
    // inside the checkout, so that 'jaf', 'redis' and 'pg' resolve as for the other samples
    await mkdir(`${root}node_modules/.cache`, { recursive: true });
    folder = await mkdtemp(`${root}node_modules/.cache/jaf-document-`);
    await Promise.all(blocks.map((block, index) => writeFile(`${folder}/block-${index + 1}.ts`, `${block}\nexport {};\n`)));
    const options = { extends: `${root}test/types/tsconfig.json`, compilerOptions: { rootDir: root }, include: ['./*.ts'], exclude: [] };
    await writeFile(`${folder}/tsconfig.json`, JSON.stringify(options));
    expect(await compile(TSC, `${folder}/tsconfig.json`)).toBe('');
  });
});
