/**
 * `jaf-memory stats`: totals of the store, or of one user.
 *
 * @module
 */
import type { Command } from 'commander';
import type { MemoryStats } from '../../memory/types.js';
import { EXIT, type Run } from '../session.js';
import { bytesText, printableLine, timeText } from '../text.js';

/** Totals as names and values, for people. */
function statsPairs(stats: MemoryStats): [string, string][] {
  return [
    ['conversations', String(stats.totalConversations)],
    ['messages', String(stats.totalMessages)],
    ['messages per conversation', stats.avgMessagesPerConversation.toFixed(1)],
    ['stored', bytesText(stats.totalStorageSize)],
    ['oldest created', stats.oldestConversation ? timeText(stats.oldestConversation) : '-'],
    ['newest created', stats.newestConversation ? timeText(stats.newestConversation) : '-'],
  ];
}

/** Adds the command. */
export function registerStats(program: Command, run: Run): void {
  program
    .command('stats')
    .description('print totals of the store, or of one user')
    .option('-u, --user <id>', 'only this user')
    .action(
      run(async (session, options: { readonly user?: string }) => {
        const { out } = session;
        const provider = await session.read();
        const stats = options.user === undefined ? await provider.getStats() : await provider.getStats(options.user);
        if (out.json) out.value(options.user === undefined ? stats : { userId: options.user, ...stats });
        else out.pairs([...(options.user === undefined ? [] : [['user', printableLine(options.user)] as const]), ...statsPairs(stats)]);
        return EXIT.ok;
      }),
    );
}
