/**
 * `jaf-memory doctor`: is the store configured well, and does it work? Without `--fix` it reads only.
 *
 * @module
 */
import type { Command } from 'commander';
import { ignoredVariables } from '../../memory/env.js';
import { MemoryConfigError } from '../../memory/errors.js';
import { describeProvider, type MemoryProviderInfo } from '../../memory/inspect.js';
import { lookAtStore } from '../../memory/probe.js';
import type { MemoryProvider, MemoryProviderConfig } from '../../memory/types.js';
import type { Output } from '../output.js';
import { EXIT, type Run, type Session } from '../session.js';
import { bytesText, counted, printableLine, wrap } from '../text.js';
import { type Finding, latency, orphans, purged, server, transport } from './doctor-store.js';

interface Options {
  readonly deep?: true;
  readonly fix?: true;
}

const AGAIN = 'Put that right, then run doctor again.';

function durability(info: MemoryProviderInfo): Finding {
  const check = 'durability';
  switch (info.durability) {
    case 'none':
      return {
        check,
        level: 'problem',
        detail: 'Everything is lost when the process ends.',
        advice: 'For more than development set JAF_MEMORY_TYPE=sqlite and JAF_SQLITE_PATH.',
      };
    case 'process':
      return {
        check,
        level: 'note',
        detail:
          'Acknowledged writes survive a crash of the process; loss of power may take the last ones (JAF_SQLITE_DURABILITY=full keeps them).',
      };
    case 'power':
      return { check, level: 'ok', detail: 'Acknowledged writes survive loss of power.' };
    case 'server':
      return { check, level: 'note', detail: 'What acknowledged writes survive is set on the server.' };
  }
}

async function contents(provider: MemoryProvider): Promise<Finding> {
  const stats = await provider.getStats();
  const detail = `${counted(stats.totalConversations, 'conversation')}, ${counted(stats.totalMessages, 'message')}, ${bytesText(stats.totalStorageSize)}.`;
  return { check: 'contents', level: 'ok', detail };
}

/** What earlier versions stored under the prefix: nobody who uses this version sees it. */
async function older(config: MemoryProviderConfig): Promise<Finding[]> {
  if (config.type !== 'redis') return [];
  const { countOlder } = await import('../../memory/providers/redis/older-keys.js');
  const { type: _type, ...own } = config;
  const check = 'older data';
  let answer: Awaited<ReturnType<typeof countOlder>>;
  try {
    answer = await countOlder(own);
  } catch (error) {
    // the store itself needs fewer rights
    if (!(error instanceof MemoryConfigError)) throw error;
    return [
      {
        check,
        level: 'note',
        detail: 'Not looked for: that needs the rights of jaf-memory migrate (docs/cli.md), and this user has not all of them.',
      },
    ];
  }
  const { found, complete } = answer;
  if (found === 0) {
    if (complete) return [];
    return [
      { check, level: 'note', detail: 'None among the keys that were looked at: the server has too many keys to look at all of them.' },
    ];
  }
  return [
    {
      check,
      level: 'problem',
      detail: `${complete ? '' : 'At least '}${counted(found, 'conversation')} of earlier versions under this prefix.`,
      advice:
        'Stop the programs of the earlier version, then: jaf-memory migrate --to lists. What is converted stays until it is run with --remove-source.',
    },
  ];
}

/** Looks at everything there is to look at; what cannot work ends it. */
async function examine(
  session: Session,
  { deep, fix = false }: { readonly deep?: boolean; readonly fix?: boolean },
): Promise<{ findings: Finding[]; code: number }> {
  const findings: Finding[] = [];
  const done = (code?: number): { findings: Finding[]; code: number } => ({
    findings,
    code: code ?? (findings.some((f) => f.level === 'problem') ? EXIT.findings : EXIT.ok),
  });
  let config: MemoryProviderConfig;
  let info: MemoryProviderInfo;
  try {
    config = session.config();
    info = describeProvider(config);
  } catch (error) {
    if (!(error instanceof MemoryConfigError)) throw error;
    findings.push({
      check: 'configuration',
      level: 'problem',
      detail: error.message,
      advice: 'docs/cli.md and docs/providers.md list the settings.',
    });
    return done(EXIT.usage);
  }
  findings.push({ check: 'configuration', level: 'ok', detail: `${info.type}, ${info.location}` });
  const ignored = session.explicit ? [] : ignoredVariables(session.env, config.type);
  if (ignored.length > 0) {
    findings.push({
      check: 'variables',
      level: 'problem',
      detail: `No effect with ${info.type}: ${ignored.join(', ')}.`,
      advice: 'Take them out, or set JAF_MEMORY_TYPE to what they belong to.',
    });
  }
  findings.push(durability(info), ...transport(config));
  try {
    const look = await lookAtStore(config);
    if (look) {
      const failed = look.state === 'unusable' || look.state === 'unreachable';
      const level = failed ? 'problem' : look.state === 'store' ? 'ok' : 'note';
      findings.push({ check: 'store', level, detail: look.text, ...(failed ? { advice: AGAIN } : {}) });
      if (!failed) findings.push(...(await older(config)));
      // opening it would create what is not there yet
      if (look.state !== 'store') return done(failed ? EXIT.connection : undefined);
    }
    const provider = await session.open(false);
    // of a store in this process the durability finding has said all there is
    const told = info.durability === 'none' ? [] : await server(provider, session);
    findings.push(...(await latency(provider)), ...told);
    if (fix) findings.push(...(await purged(provider, session)));
    if (deep || fix) findings.push(...(await orphans(provider, session, fix)));
    else if (info.durability !== 'none')
      findings.push({ check: 'orphans', level: 'note', detail: 'Not looked for: --deep walks the whole store.' });
    findings.push(await contents(provider));
  } catch (error) {
    if (session.signal.aborted) throw error;
    findings.push({ check: 'open', level: 'problem', detail: error instanceof Error ? error.message : String(error), advice: AGAIN });
    return done(error instanceof MemoryConfigError ? EXIT.usage : EXIT.connection);
  }
  return done();
}

function print(out: Output, findings: readonly Finding[]): void {
  const marks = { ok: out.paint('green', 'ok     '), note: out.paint('cyan', 'note   '), problem: out.paint('red', 'problem') };
  const names = Math.max(...findings.map((f) => f.check.length));
  const indent = ' '.repeat(names + 11);
  for (const { check, level, detail, advice } of findings) {
    const [first = '', ...rest] = wrap(printableLine(detail), out.width - indent.length);
    out.line(`${marks[level]}  ${check.padEnd(names)}  ${first}`);
    for (const line of rest) out.line(`${indent}${line}`);
    if (advice !== undefined)
      for (const line of wrap(`-> ${advice}`, out.width - indent.length)) out.line(`${indent}${out.paint('bold', line)}`);
  }
}

/** Adds the command. */
export function registerDoctor(program: Command, run: Run): void {
  program
    .command('doctor')
    .description('check the configuration and the store, and say what to do')
    .option('--deep', 'also walk the whole store for data that belongs to no conversation')
    .option('--fix', 'do what is safe: remove what has expired, what deletions left behind, and what --deep finds')
    .addHelpText(
      'after',
      '\nRun it where the application runs, with its environment. Without --fix it changes nothing; --fix removes nothing\nthat anybody can read. Exit code 1 when there is a problem.\n\nExamples:\n  jaf-memory doctor\n  jaf-memory doctor --fix --provider redis://localhost',
    )
    .action(
      run(async (session, options: Options) => {
        const { out } = session;
        const { findings, code } = await examine(session, options);
        const problems = findings.filter((f) => f.level === 'problem').length;
        if (out.json) out.value({ findings, problems });
        else {
          print(out, findings);
          out.note(problems === 0 ? 'No problems.' : `${counted(problems, 'problem')}.`);
        }
        return code;
      }),
    );
}
