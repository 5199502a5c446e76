// Files of results: bench/results/NAME.json, one for each benchmark, in it one run for each provider it was run with.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = `${root}bench/results`;
const FORMAT = 1;

const git = (...args) => {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined; // not a checkout
  }
};

/** What ran where: versions of everything that takes part, cores, load. `servers`: versions of servers, by name. */
export function environment(servers = {}) {
  const require = createRequire(import.meta.url);
  const packages = Object.fromEntries(['pg', 'redis', 'ioredis'].map((name) => [name, require(`${name}/package.json`).version]));
  const commit = git('rev-parse', '--short=10', 'HEAD');
  const changed = (git('status', '--porcelain', '--', 'src', 'bench') ?? '') !== '';
  return {
    at: new Date().toISOString(),
    commit: commit && changed ? `${commit}+changes` : (commit ?? 'none'),
    versions: { node: process.version, ...packages, ...servers },
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), memoryGB: Math.round(totalmem() / 2 ** 30) },
    load: loadavg().map((value) => Number(value.toFixed(2))),
  };
}

/** One line about a run, for people. */
export const describe = ({ at, commit, versions, machine, load, loadAfter }) =>
  `${at.slice(0, 16).replace('T', ' ')}, commit ${commit}, ${machine.cores} cores (${machine.cpu}), load ${load[0]} before and ${loadAfter?.[0] ?? '?'} after, ` +
  Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');

/** The results of a benchmark; undefined when it has not run. */
export function readResults(name) {
  const file = `${folder}/${name}.json`;
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/** Names of all files of results. */
export const resultNames = () =>
  (existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.json')) : []).map((file) => file.slice(0, -5));

/** Writes a file of results whole, or not at all. */
export function writeResults(name, content) {
  mkdirSync(folder, { recursive: true });
  const file = `${folder}/${name}.json`;
  writeFileSync(`${file}.part`, `${JSON.stringify(content)}\n`);
  renameSync(`${file}.part`, file);
  return `bench/results/${name}.json`;
}

/**
 * Puts the run of one provider into the file of its benchmark, in place of the one before.
 *
 * @param {string} name
 * @param {string} title
 * @param {{ provider: string }} run
 */
export function saveRun(name, title, run) {
  const before = readResults(name);
  const others = before?.format === FORMAT ? before.runs.filter(({ provider }) => provider !== run.provider) : [];
  return writeResults(name, { format: FORMAT, name, title, runs: [...others, run] });
}
