/**
 * `jaf-memory repair ID`: makes tool calls and results of a conversation match, and takes that back.
 *
 * @module
 */
import type { Command } from 'commander';
import { unwrap } from '../../memory/result.js';
import { verifyMessages } from '../../memory/integrity.js';
import { repairMessages, undoRepairs } from '../../memory/repair.js';
import { MemoryAccessError, MemoryConflictError } from '../../memory/errors.js';
import { snapshotOf } from '../../memory/snapshots.js';
import { EXIT, type Run } from '../session.js';
import { counted, printableLine } from '../text.js';

interface Options {
  readonly dryRun?: true;
  readonly undo?: true;
}

/** Adds the command. */
export function registerRepair(program: Command, run: Run): void {
  program
    .command('repair')
    .description('make tool calls and results of a conversation match, visibly')
    .argument('<id>', 'conversation id')
    .option('--dry-run', 'say what would be done; exit code 1 when there is something to do')
    .option('--undo', 'take all repairs back')
    .addHelpText(
      'after',
      `
A call without a result gets one that says so, a result away from its call moves behind it, a result without a call makes room
for a message that says so and keeps it. Such messages carry the keys jaf_repair and jaf_undo. Times, owner, metadata and expiry
stay; what somebody writes meanwhile is never lost: then nothing is changed (exit code 4).

Examples:
  jaf-memory repair chat-1 --dry-run
  jaf-memory repair chat-1 --undo`,
    )
    .action(
      run(async (session, id: string, options: Options) => {
        const { out, signal } = session;
        const provider = await session.read();
        const snapshot = await snapshotOf(provider, id, signal);
        if (!snapshot) {
          out.error(`repair ${JSON.stringify(id)}: no such conversation (or expired). jaf-memory list shows what there is.`, {
            code: 'not_found',
            conversationId: id,
          });
          return EXIT.findings;
        }
        const { messages: before, firstSeq } = snapshot;
        const { messages: after, repairs } = options.undo ? { messages: undoRepairs(before), repairs: [] } : repairMessages(before);
        const changes = after !== before;
        if (changes && !options.dryRun) {
          const result = await provider.restoreConversation(
            { ...snapshot, messages: after, messageCount: after.length },
            { onConflict: 'replace', expectedVersion: snapshot.version },
          );
          if (!result.ok && result.error instanceof MemoryConflictError) {
            out.error(`repair ${JSON.stringify(id)}: somebody wrote to it meanwhile, and nothing was changed. Run it again.`, {
              code: 'version',
              conversationId: id,
            });
            return EXIT.partly;
          }
          if (!result.ok && result.error instanceof MemoryAccessError) {
            out.error(result.error.message, { code: result.error.code, conversationId: id });
            return EXIT.findings;
          }
          unwrap(result);
        }
        const left = verifyMessages(after).issues;
        if (out.json) {
          out.value({ conversationId: id, changed: changes && !options.dryRun, dryRun: options.dryRun ?? false, repairs, left });
        } else {
          for (const { index, kind, detail } of repairs) out.line(`#${firstSeq + index} ${kind}: ${printableLine(detail)}`);
          const would = options.dryRun ? 'would be ' : '';
          if (!changes) out.line(options.undo ? 'There is no repair to take back.' : 'There is nothing to repair.');
          else
            out.line(
              options.undo
                ? `Repairs ${would || 'were '}taken back: ${counted(after.length, 'message')}, as before.`
                : `${counted(repairs.length, 'problem')} ${would}repaired.`,
            );
          if (left.length > 0 && !options.undo)
            out.note(`${counted(left.length, 'problem')} of other kinds stay: jaf-memory verify ${JSON.stringify(id)}`);
        }
        return options.dryRun && changes ? EXIT.findings : EXIT.ok;
      }),
    );
}
