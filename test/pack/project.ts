// A project of a user, in a temporary folder: the tarball of the build, the two packages it depends on, and nothing else.
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url));

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
function exec(file: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = process.env): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** The same, and it must succeed. */
async function succeed(file: string, args: readonly string[], cwd: string): Promise<Ran> {
  const ran = await exec(file, args, cwd);
  if (ran.code !== 0) throw new Error(`${[file, ...args].join(' ')} ended with ${ran.code}\n${ran.stdout}${ran.stderr}`);
  return ran;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, unknown>>;
}

async function manifestOf(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;
}

/** A package and everything it depends on, copied: a link would find the checkout's own node_modules. */
async function copyPackage(name: string, into: string, done: Set<string>): Promise<void> {
  if (done.has(name)) return;
  done.add(name);
  const from = join(root, 'node_modules', name);
  await mkdir(dirname(join(into, name)), { recursive: true });
  await cp(from, join(into, name), { recursive: true });
  for (const dependency of Object.keys((await manifestOf(from)).dependencies ?? {})) await copyPackage(dependency, into, done);
}

export class Project {
  readonly folder: string;
  /** Size of the tarball. */
  readonly bytes: number;
  /** The package's subpaths, as a user writes them: `jaf`, `jaf/memory` … without `jaf/package.json`. */
  readonly subpaths: readonly string[];

  private constructor(folder: string, bytes: number, subpaths: readonly string[]) {
    this.folder = folder;
    this.bytes = bytes;
    this.subpaths = subpaths;
  }

  /** Packs dist/ as it is and installs it. */
  static async create(): Promise<Project> {
    const folder = await mkdtemp(join(tmpdir(), 'jaf-project-'));
    const packed = await succeed('npm', ['pack', '--ignore-scripts', '--json', '--loglevel=error', '--pack-destination', folder], root);
    const [{ filename, size }] = JSON.parse(packed.stdout) as [{ filename: string; size: number }];
    const modules = join(folder, 'node_modules');
    const target = join(modules, 'jaf');
    await mkdir(target, { recursive: true });
    await succeed('tar', ['-xzf', join(folder, filename), '-C', target, '--strip-components=1'], folder);
    const manifest = await manifestOf(target);
    const copied = new Set<string>();
    for (const name of Object.keys(manifest.dependencies ?? {})) await copyPackage(name, modules, copied);
    await writeFile(join(folder, 'package.json'), '{ "name": "a-project", "private": true, "type": "module" }\n');
    const subpaths = Object.keys(manifest.exports)
      .filter((path) => !path.endsWith('.json'))
      .map((path) => `jaf${path.slice(1)}`);
    return new Project(folder, size, subpaths);
  }

  async write(path: string, text: string): Promise<void> {
    await mkdir(dirname(join(this.folder, path)), { recursive: true });
    await writeFile(join(this.folder, path), text);
  }

  /** Copies a development package (types) into the project. */
  async add(name: string): Promise<void> {
    await copyPackage(name, join(this.folder, 'node_modules'), new Set());
  }

  /** Runs Node in the project. */
  node(args: readonly string[]): Promise<Ran> {
    return exec(process.execPath, args, this.folder);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
