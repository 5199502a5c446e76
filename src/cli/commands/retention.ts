/**
 * `jaf-memory retention`: deletes conversations by age, by number for each user, and by metadata.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { applyRetention, type PolicyReport, type RetentionPolicy, type RetentionReport } from '../../memory/policies.js';
import type { MemoryProvider } from '../../memory/types.js';
import { Archive } from '../archive.js';
import { confirmed, YES } from '../confirm.js';
import type { Output } from '../output.js';
import { checkedId, readCount, readDuration, readQuery } from '../query.js';
import { EXIT, type Run, type Session, UsageError } from '../session.js';
import { bytesText, counted, printableLine } from '../text.js';

interface Options {
  readonly olderThan?: string;
  readonly keepNewest?: string;
  readonly user?: string;
  readonly metadata?: readonly string[];
  readonly policies?: string;
  readonly dryRun?: true;
  readonly archive?: string;
  readonly yes?: true;
}

/** The policy that was typed. */
function typedPolicy({ olderThan, keepNewest, user, metadata }: Options): RetentionPolicy {
  const query = readQuery({ limit: 'all', offset: '0', order: 'newest', ...(metadata ? { metadata } : {}) });
  return {
    name: 'options',
    ...(olderThan === undefined ? {} : { olderThan: readDuration(olderThan, '--older-than') }),
    ...(keepNewest === undefined ? {} : { keepNewest: readCount(keepNewest, '--keep-newest') }),
    ...(user === undefined ? {} : { userId: checkedId(user, '--user') }),
    ...(query.metadata === undefined ? {} : { metadata: query.metadata }),
  };
}

/** The policies of a file: as in the library, `olderThan` also as a duration. What is in them the library checks. */
async function filePolicies(path: string): Promise<readonly RetentionPolicy[]> {
  const place = `--policies ${JSON.stringify(path)}`;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${place} cannot be read (${String((error as NodeJS.ErrnoException).code)}).`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UsageError(`${place} is not JSON. Expected a list such as [{"name": "quarter", "olderThan": "90d"}].`);
  }
  if (!Array.isArray(value)) throw new UsageError(`${place} must be a list such as [{"name": "quarter", "olderThan": "90d"}].`);
  return value.map((policy: unknown, n) => {
    const { olderThan } = (policy ?? {}) as { olderThan?: unknown };
    if (typeof olderThan !== 'string') return policy as RetentionPolicy;
    return { ...(policy as RetentionPolicy), olderThan: readDuration(olderThan, `${place}, policy ${n + 1}: olderThan`) };
  });
}

async function policiesOf(options: Options): Promise<readonly RetentionPolicy[]> {
  const { policies, olderThan, keepNewest, user, metadata } = options;
  if (policies === undefined) {
    if (olderThan === undefined && keepNewest === undefined)
      throw new UsageError('Say what may go: --older-than 90d, --keep-newest 100, or --policies FILE.');
    return [typedPolicy(options)];
  }
  if ([olderThan, keepNewest, user, metadata].some((option) => option !== undefined))
    throw new UsageError('--policies stands alone: put --older-than, --keep-newest, --user and --metadata into the file.');
  return await filePolicies(policies);
}

function print(out: Output, { policies }: RetentionReport, dryRun: boolean): void {
  const right = { align: 'right' } as const;
  out.table(
    [
      { title: 'policy' },
      { title: 'matched', ...right },
      { title: dryRun ? 'would go' : 'deleted', ...right },
      { title: 'bytes', ...right },
      { title: 'on hold', ...right },
      ...(dryRun
        ? []
        : [
            { title: 'changed', ...right, optional: true },
            { title: 'archived', ...right, optional: true },
          ]),
    ],
    policies.map((p) => [
      printableLine(p.policy),
      String(p.matched),
      String(dryRun ? p.matched - p.held : p.deleted),
      bytesText(p.bytes),
      String(p.held),
      ...(dryRun ? [] : [String(p.changed), String(p.archived)]),
    ]),
  );
}

const sumOf = (report: RetentionReport, of: (policy: PolicyReport) => number): number =>
  report.policies.reduce((sum, policy) => sum + of(policy), 0);

/** Deletes, with an archive where one is asked for. */
async function apply(
  session: Session,
  provider: MemoryProvider,
  policies: readonly RetentionPolicy[],
  path: string | undefined,
  total: number,
): Promise<RetentionReport> {
  const { out, signal } = session;
  const archive = path === undefined ? undefined : await Archive.create(path);
  const done = new Map<string, number>();
  const progress = out.progress('conversations', total);
  const onProgress = ({ policy, matched, held }: PolicyReport): void => {
    done.set(policy, matched - held);
    progress.update(
      Math.min(
        total,
        [...done.values()].reduce((sum, count) => sum + count, 0),
      ),
    );
  };
  try {
    const taken = archive && { archive: archive.write.bind(archive) };
    return await applyRetention(provider, policies, { signal, onProgress, ...taken });
  } finally {
    progress.stop();
    await archive?.close();
  }
}

/** Adds the command. */
export function registerRetention(program: Command, run: Run): void {
  program
    .command('retention')
    .description('delete conversations that are old, or more than a user needs')
    .option('--older-than <duration>', 'last written at least so long ago: 90d, 12h, 30m, 45s, 2w')
    .option('--keep-newest <count>', 'of each user only so many stay, those last written')
    .option('-u, --user <id>', 'only conversations of this user')
    .option(
      '-m, --metadata <key=value>',
      'metadata must hold this value (JSON or text); repeatable',
      (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value],
    )
    .option('--policies <file>', 'a JSON list of policies: name, olderThan, keepNewest, userId, metadata')
    .option('--dry-run', 'only count: delete nothing')
    .option('--archive <file>', 'first write what goes to this new file, as export does (.gz: packed)')
    .option(...YES)
    .addHelpText(
      'after',
      '\nWith --older-than and --keep-newest a conversation goes only when both say so. Conversations under legal hold\nstay, and so does what is written meanwhile. It can be interrupted and run again.\n\nExamples:\n  jaf-memory retention --older-than 90d --dry-run\n  jaf-memory retention --older-than 90d --archive 2026-01.ndjson.gz --yes\n  jaf-memory retention --policies policies.json --yes',
    )
    .action(
      run(async (session, options: Options) => {
        const { out, signal } = session;
        const policies = await policiesOf(options);
        const provider = await session.read();
        const preview = await applyRetention(provider, policies, { dryRun: true, signal });
        if (preview.stopped) return EXIT.interrupted;
        const going = sumOf(preview, (policy) => policy.matched - policy.held);
        if (options.dryRun || going === 0) {
          if (out.json) out.value({ dryRun: options.dryRun ?? false, ...preview });
          else print(out, preview, true);
          return EXIT.ok;
        }
        // what two policies match is counted for both
        const what = `Delete ${policies.length > 1 ? 'up to ' : ''}${counted(going, 'conversation')} (${bytesText(sumOf(preview, (policy) => policy.bytes))}) of ${session.location}?`;
        if (!(await confirmed(session, what, options.yes ?? false))) return EXIT.ok;
        const report = await apply(session, provider, policies, options.archive, going);
        if (out.json) out.value({ dryRun: false, ...report });
        else print(out, report, false);
        if (!report.stopped) return EXIT.ok;
        out.note('Stopped. What is deleted stays so; run it again for the rest.');
        return EXIT.interrupted;
      }),
    );
}
