#!/usr/bin/env node
/**
 * The command line `jaf-memory`. docs/cli.md is its manual.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { registerAudit } from './commands/audit.js';
import { registerChat } from './commands/chat.js';
import { registerCompletion } from './commands/completion.js';
import { registerConformance } from './commands/conformance.js';
import { registerCopy } from './commands/copy.js';
import { registerDoctor } from './commands/doctor.js';
import { registerEraseUser } from './commands/erase-user.js';
import { registerExport } from './commands/export.js';
import { registerImport } from './commands/import.js';
import { registerInfo } from './commands/info.js';
import { registerList } from './commands/list.js';
import { registerMigrate } from './commands/migrate.js';
import { registerPurge } from './commands/purge.js';
import { registerRepair } from './commands/repair.js';
import { registerReplay } from './commands/replay.js';
import { registerRetention } from './commands/retention.js';
import { registerSchema } from './commands/schema.js';
import { registerSearch } from './commands/search.js';
import { registerShow } from './commands/show.js';
import { registerStats } from './commands/stats.js';
import { registerVerify } from './commands/verify.js';
import { Output } from './output.js';
import { EXIT, type Run, report, Session } from './session.js';

interface GlobalOptions {
  readonly provider?: string;
  readonly json?: true;
  readonly quiet?: true;
  readonly color: boolean;
}

function outputOf(options: GlobalOptions): Output {
  return new Output({
    json: options.json ?? false,
    quiet: options.quiet ?? false,
    color: options.color,
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
  });
}

/** The version in package.json, two folders above the built file. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Runs one command line. */
async function main(argv: readonly string[]): Promise<number> {
  const interrupt = new AbortController();
  const onSignal = (): void => {
    // the second one ends the process at once, whatever it is doing
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted);
    interrupt.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  // a reader that has seen enough (head, less) is no failure
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.findings));
  }

  let code: number = EXIT.ok;
  const run: Run =
    <A extends readonly unknown[]>(action: (session: Session, ...args: A) => Promise<number>) =>
    async (...args: [...A, Command]) => {
      const command = args.at(-1) as Command;
      const own = args.slice(0, -1) as unknown as A;
      const options = command.optsWithGlobals<GlobalOptions>();
      const out = outputOf(options);
      const session = new Session({ out, env: process.env, signal: interrupt.signal, url: options.provider });
      try {
        code = await action(session, ...own);
      } catch (error) {
        code = report(error, out, interrupt.signal.aborted);
      } finally {
        await session.close().catch((error: unknown) => {
          code = report(error, out, interrupt.signal.aborted);
        });
      }
      if (interrupt.signal.aborted) code = EXIT.interrupted;
    };

  const program = new Command('jaf-memory')
    .version(packageVersion(), '-V, --version', 'print the version')
    .description('Looks at and works with the conversations an agent remembers.')
    .option('-p, --provider <url>', 'the store: sqlite:./file.db, memory: (default: the JAF_* environment variables)')
    .option('--json', 'print JSON')
    .option('-q, --quiet', 'no notes and no progress')
    .option('--no-color', 'no colours (also: NO_COLOR)')
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 findings or differences, 2 usage or configuration, 3 cannot connect,\n4 partly done: run again, 130 interrupted.',
    );
  registerInfo(program, run);
  registerDoctor(program, run);
  registerList(program, run);
  registerShow(program, run);
  registerStats(program, run);
  registerSearch(program, run);
  registerExport(program, run);
  registerImport(program, run);
  registerCopy(program, run);
  registerVerify(program, run);
  registerRepair(program, run);
  registerRetention(program, run);
  registerEraseUser(program, run);
  registerAudit(program, run);
  registerPurge(program, run);
  registerReplay(program, run);
  registerChat(program, run);
  registerSchema(program, run);
  registerMigrate(program, run);
  registerConformance(program, run);
  registerCompletion(program, run);

  try {
    if (argv.length <= 2) {
      program.outputHelp({ error: true });
      return EXIT.usage;
    }
    await program.parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.ok;
    // a group of commands without one: its help was printed
    if (error.code === 'commander.help') return EXIT.usage;
    const out = outputOf({ color: !argv.includes('--no-color'), ...(argv.includes('--json') ? { json: true } : {}) });
    out.error(`${error.message.replace(/^error: /, '')}${error.message.endsWith('.') ? '' : '.'} See jaf-memory --help.`, {
      code: 'usage',
    });
    return EXIT.usage;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
  return code;
}

main(process.argv).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = EXIT.findings;
  },
);
