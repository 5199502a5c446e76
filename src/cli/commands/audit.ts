/**
 * `jaf-memory audit verify FILE`: whether an audit log is whole.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { verifyAuditLog } from '../../memory/audit.js';
import type { ErasureReceipt } from '../../memory/erase.js';
import { checkedId } from '../query.js';
import { EXIT, type Run, UsageError } from '../session.js';
import { counted } from '../text.js';

interface Options {
  readonly head?: string;
  readonly receipt?: string;
  readonly user?: string;
}

async function readReceipt(path: string): Promise<ErasureReceipt> {
  const place = `--receipt ${JSON.stringify(path)}`;
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new UsageError(`${place} cannot be read (${String((error as NodeJS.ErrnoException).code)}).`);
  });
  try {
    const receipt = JSON.parse(text) as Record<string, unknown>;
    const at = new Date(String(receipt['at']));
    if (typeof receipt['digest'] === 'string' && typeof receipt['auditHead'] === 'string' && !Number.isNaN(at.getTime()))
      return { ...receipt, at } as ErasureReceipt;
  } catch {
    // said below
  }
  throw new UsageError(`${place} is not a receipt of erase-user.`);
}

function headOf(text: string): string {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new UsageError('--head must be 64 hexadecimal digits: the "audit head" that erase-user printed, or "head" of an earlier verify.');
}

/** Adds the command. */
export function registerAudit(program: Command, run: Run): void {
  const audit = program.command('audit').description('check the audit log of erasures');
  audit
    .command('verify')
    .description('find lines that were changed, taken out, put in or moved')
    .argument('<file>', 'the audit log; its key is in JAF_AUDIT_KEY')
    .option('--head <hash>', 'a head that was kept: with it a cut end is found')
    .option('--receipt <file>', 'a receipt of erase-user: its entry must be in the log and say the same')
    .option('-u, --user <id>', 'also count the erasures of this user')
    .addHelpText(
      'after',
      '\nConnects to no store. Exit code 1 when something is wrong. Keep the head it prints somewhere else, and give it\nthe next time.\n\nExample:\n  JAF_AUDIT_KEY=… jaf-memory audit verify audit.ndjson --head 5f0c…',
    )
    .action(
      run(async (session, file: string, options: Options) => {
        const { out } = session;
        const result = await verifyAuditLog(file, {
          ...(options.head === undefined ? {} : { head: headOf(options.head) }),
          ...(options.receipt === undefined ? {} : { receipt: await readReceipt(options.receipt) }),
          ...(options.user === undefined ? {} : { userId: checkedId(options.user, '--user') }),
        });
        if (out.json) {
          out.value(result);
          return result.valid ? EXIT.ok : EXIT.findings;
        }
        if (result.problems.length > 0) {
          out.table(
            [{ title: 'line', align: 'right' }, { title: 'what is wrong' }],
            result.problems.map(({ line, reason }) => [line === 0 ? 'log' : String(line), reason]),
          );
          const more = result.found - result.problems.length;
          if (more > 0) out.line(`and ${more} more`);
          out.line();
        }
        out.pairs([
          ['log', result.valid ? 'whole' : counted(result.found, 'problem')],
          ['entries', String(result.entries)],
          ['head', result.head],
          ...(result.erasures === undefined ? [] : [['erasures of the user', String(result.erasures)] as const]),
        ]);
        return result.valid ? EXIT.ok : EXIT.findings;
      }),
    );
}
