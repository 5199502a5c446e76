/**
 * `jaf-memory erase-user ID`: removes everything of a user, recorded in an audit log.
 *
 * @module
 */
import { open, unlink } from 'node:fs/promises';
import type { Command } from 'commander';
import { createAuditLog } from '../../memory/audit.js';
import { type ErasureReceipt, eraseUser } from '../../memory/erase.js';
import { MemoryAccessError } from '../../memory/errors.js';
import type { MemoryProvider } from '../../memory/types.js';
import { confirmed, YES } from '../confirm.js';
import { checkedId, readDuration } from '../query.js';
import { EXIT, type Run, type Session, UsageError } from '../session.js';
import { bytesText, counted, printableLine, timeText } from '../text.js';

interface Options {
  readonly audit?: string;
  readonly allowLegalHold?: true;
  readonly allowReturn?: true;
  readonly bar?: string;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly receipt?: string;
}

/** What an erasure would remove. Expired conversations are invisible, and not counted. */
async function preview({ out, signal }: Session, provider: MemoryProvider, userId: string): Promise<number> {
  const stats = await provider.getStats(userId);
  let held = 0;
  for await (const _one of provider.iterateConversations({ userId, metadata: { legalHold: true }, messageLimit: 0, signal })) held++;
  const { totalConversations: conversations, totalMessages: messages, totalStorageSize: bytes } = stats;
  if (out.json) out.value({ dryRun: true, userId, conversations, messages, bytes, held });
  else {
    out.pairs([
      ['user', printableLine(userId)],
      ['conversations', String(conversations)],
      ['messages', String(messages)],
      ['stored', bytesText(bytes)],
      ['under legal hold', held === 0 ? '0' : `${held}: erase-user refuses, unless --allow-legal-hold`],
    ]);
  }
  return EXIT.ok;
}

/** The file for the receipt, made before anything is erased: what is gone cannot be counted again. Without a receipt it goes. */
async function receiptFile(path: string): Promise<(receipt: ErasureReceipt | undefined) => Promise<void>> {
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(
      `--receipt ${JSON.stringify(path)} ${code === 'EEXIST' ? 'exists already. Name a new file' : `cannot be made (${code})`}.`,
    );
  });
  return async (receipt) => {
    try {
      if (receipt) await file.writeFile(`${JSON.stringify(receipt, null, 2)}\n`);
      if (receipt) await file.sync();
      else await unlink(path);
    } finally {
      await file.close();
    }
  };
}

async function erase(session: Session, provider: MemoryProvider, userId: string, options: Options): Promise<ErasureReceipt> {
  const { out, signal } = session;
  const total = (await provider.getStats(userId)).totalConversations;
  const progress = out.progress('conversations', total);
  try {
    return await eraseUser(provider, userId, {
      audit: createAuditLog({ path: options.audit ?? '' }),
      signal,
      onProgress: (count) => progress.update(Math.min(count, total)),
      ...(options.allowLegalHold ? { allowLegalHold: true } : {}),
      ...(options.allowReturn ? { allowReturn: true } : {}),
      ...(options.bar === undefined ? {} : { barFor: Math.ceil(readDuration(options.bar, '--bar')) }),
    });
  } catch (error) {
    if (!(error instanceof MemoryAccessError && error.code === 'legal_hold')) throw error;
    throw new UsageError(
      `user ${JSON.stringify(userId)} has a conversation under legal hold. Nothing was erased; pass --allow-legal-hold to erase it too.`,
    );
  } finally {
    progress.stop();
  }
}

/** Adds the command. */
export function registerEraseUser(program: Command, run: Run): void {
  program
    .command('erase-user')
    .description('remove everything of a user for good, recorded in an audit log')
    .argument('<id>', 'user id')
    .option('--audit <file>', 'the audit log, made when it is not there; its key is in JAF_AUDIT_KEY')
    .option('--receipt <file>', 'also write the receipt to this new file')
    .option('--bar <duration>', 'refuse late writes that name the user for so long: 1h, 30m, 2d', '1h')
    .option('--allow-return', 'refuse them only until the erasure is done')
    .option('--allow-legal-hold', 'erase conversations under legal hold, too')
    .option('--dry-run', 'only count: erase nothing')
    .option(...YES)
    .addHelpText(
      'after',
      '\nRemoves conversations, their index entries and operation ids, and what earlier deletions left behind. What is kept\nelsewhere (backups, caches, logs of the server) it cannot reach: docs/retention-and-erasure.md. It can be\ninterrupted and run again. First, for an access request: jaf-memory export --user ID.\n\nExamples:\n  jaf-memory erase-user user-123 --dry-run\n  JAF_AUDIT_KEY=… jaf-memory erase-user user-123 --audit audit.ndjson --receipt user-123.json --yes',
    )
    .action(
      run(async (session, id: string, options: Options) => {
        const { out, signal } = session;
        const userId = checkedId(id, 'the user id');
        if (options.dryRun) return await preview(session, await session.read(), userId);
        if (options.audit === undefined) throw new UsageError('an erasure is recorded: pass --audit FILE (or look first with --dry-run).');
        if (options.bar !== undefined) readDuration(options.bar, '--bar');
        // a missing key, before anything is asked or erased
        createAuditLog({ path: options.audit });
        const provider = await session.read();
        const what = `Erase everything of user ${JSON.stringify(userId)} in ${session.location}?`;
        if (!(await confirmed(session, what, options.yes ?? false))) return EXIT.ok;
        const keep = options.receipt === undefined ? undefined : await receiptFile(options.receipt);
        let receipt: ErasureReceipt;
        try {
          receipt = await erase(session, provider, userId, options);
        } catch (error) {
          await keep?.(undefined);
          if (!signal.aborted) throw error;
          out.note('Stopped. What is erased stays so, and late writes are refused; run it again for the rest.');
          return EXIT.interrupted;
        }
        await keep?.(receipt);
        if (out.json) out.value(receipt);
        else {
          out.pairs([
            ['erased', `${counted(receipt.conversations, 'conversation')}, ${counted(receipt.messages, 'message')}`],
            ['at', timeText(receipt.at, true)],
            ['late writes', receipt.barredUntil ? `refused until ${timeText(receipt.barredUntil, true)}` : 'allowed again'],
            ['digest', receipt.digest],
            ['audit head', receipt.auditHead],
          ]);
        }
        return EXIT.ok;
      }),
    );
}
