/**
 * `jaf-memory conformance FILE`: the conformance kit over a driver of one's own.
 *
 * @module
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { MemoryAbortError } from '../../memory/errors.js';
import type { StorageDriver } from '../../memory/driver.js';
import type { Backend, CaseResult, FakeClock, Topic } from '../../memory/testing/index.js';
import { EXIT, type Run, UsageError } from '../session.js';
import { printable, wrap } from '../text.js';

interface Options {
  readonly topic?: string;
  readonly filter?: string;
}

type Loaded = Readonly<Record<string, unknown>>;
type MakeDriver = (options: { readonly folder: string; readonly clock: () => number }) => StorageDriver | Promise<StorageDriver>;

const isBackend = (value: unknown): value is Backend => {
  const { name, capabilities, create, destroy } = (value ?? {}) as Partial<Backend>;
  return typeof name === 'string' && Array.isArray(capabilities) && typeof create === 'function' && typeof destroy === 'function';
};

/** A backend of a function that makes a driver: each case gets an empty folder. */
function backendOf(make: MakeDriver): Backend {
  let folder = '';
  return {
    name: 'driver',
    capabilities: [],
    create: async (clock: FakeClock) => {
      folder = await mkdtemp(join(tmpdir(), 'jaf-conformance-'));
      return await make({ folder, clock: clock.now });
    },
    destroy: () => rm(folder, { recursive: true, force: true }),
  };
}

/** What a module offers, most telling first. */
function findBackend(module: Loaded, file: string): Backend {
  const named = [module['default'], module['backend'], ...Object.values(module)];
  const backend = named.find(isBackend);
  if (backend) return backend;
  const make = [module['createDriver'], module['default']].find((value) => typeof value === 'function');
  if (make) return backendOf(make as MakeDriver);
  throw new UsageError(
    `${JSON.stringify(file)} exports neither a backend ({ name, capabilities, create, destroy }) nor createDriver({ folder, clock }). docs/writing-a-driver.md shows both.`,
  );
}

async function load(file: string): Promise<Loaded> {
  const path = resolve(file);
  if (!existsSync(path)) throw new UsageError(`${JSON.stringify(file)}: there is no such file.`);
  // a feature of Node that the declared types do not know
  const { typescript } = process.features as { readonly typescript?: unknown };
  if (/\.[cm]?tsx?$/.test(path) && !typescript) {
    throw new UsageError(
      `${JSON.stringify(file)}: this Node (${process.version}) cannot load TypeScript. Compile it to JavaScript, or use Node 22.18 or newer.`,
    );
  }
  try {
    return (await import(pathToFileURL(path).href)) as Loaded;
  } catch (error) {
    throw new UsageError(`${JSON.stringify(file)} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Adds the command. */
export function registerConformance(program: Command, run: Run): void {
  program
    .command('conformance')
    .description('run the conformance kit over a driver of your own')
    .argument('<file>', 'a module (.js, .mjs; .ts where Node loads it) that exports a backend, or createDriver')
    .option('--topic <topic>', 'only cases of this topic')
    .option('--filter <text>', 'only cases whose name contains this')
    .addHelpText(
      'after',
      `
createDriver({ folder, clock }) is called for each case with an empty folder, and clock() tells the time in ms. What needs more
(a store that is opened again, counted round trips) exports a backend: docs/writing-a-driver.md.

Example:
  jaf-memory conformance ./dist/backend.js --topic append`,
    )
    .action(
      run(async (session, file: string, options: Options) => {
        const { out, signal } = session;
        const backend = findBackend(await load(file), file);
        const { conformanceCases, runConformance, TOPICS } = await import('../../memory/testing/index.js');
        const { topic, filter } = options;
        if (topic !== undefined && !(TOPICS as readonly string[]).includes(topic))
          throw new UsageError(`--topic must be one of ${TOPICS.join(', ')}, got ${JSON.stringify(topic.slice(0, 60))}.`);
        const which = {
          ...(topic === undefined ? {} : { topics: [topic as Topic] }),
          ...(filter === undefined ? {} : { filter: (id: string) => id.includes(filter) }),
        };
        const cases = conformanceCases(which);
        if (cases.length === 0) throw new UsageError('no case has such a name. Without --filter all are run.');
        const bar = out.progress('cases', cases.length);
        let done = 0;
        const report = await runConformance(backend, {
          ...which,
          onResult: () => {
            bar.update(++done);
            if (signal.aborted) throw new MemoryAbortError('conformance: interrupted.', { provider: 'none' });
          },
        }).finally(() => bar.stop());
        const plain = ({ id, reason }: CaseResult): object => ({ id, reason });
        if (out.json) {
          out.value({
            backend: report.backend,
            passed: report.passed,
            failed: report.failed.map(plain),
            skipped: report.skipped.map(plain),
          });
        } else {
          const topics = [...new Set(report.results.map((result) => result.topic))];
          const count = (of: string, status: string): string =>
            String(report.results.filter((result) => result.topic === of && result.status === status).length);
          out.table(
            [{ title: 'topic' }, ...['passed', 'failed', 'skipped'].map((title) => ({ title, align: 'right' as const }))],
            topics.map((name) => [name, count(name, 'passed'), count(name, 'failed'), count(name, 'skipped')]),
          );
          for (const { id, reason } of report.failed) {
            out.line();
            out.line(`${out.paint('red', 'failed')} ${printable(id)}`);
            for (const line of wrap(printable(reason ?? ''), out.width - 2)) out.line(`  ${line}`);
          }
          out.line();
          out.line(`${report.backend}: ${report.passed} passed, ${report.failed.length} failed, ${report.skipped.length} skipped.`);
          if (report.skipped.length > 0)
            out.note('Skipped cases need a capability the backend does not declare (docs/writing-a-driver.md).');
        }
        return report.failed.length === 0 ? EXIT.ok : EXIT.findings;
      }),
    );
}
