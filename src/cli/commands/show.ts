/**
 * `jaf-memory show ID`: one conversation as a transcript.
 *
 * @module
 */
import type { Command } from 'commander';
import type { MessagePage, MemoryProvider } from '../../memory/types.js';
import { readCount } from '../query.js';
import { EXIT, type Run } from '../session.js';
import { counted, printableLine, timeText, wrap } from '../text.js';
import { printMessage } from '../transcript.js';

/** Messages read at a time: a long conversation is printed without holding it in memory. */
const PAGE = 200;

async function* pages(provider: MemoryProvider, id: string, last: number | undefined, signal: AbortSignal): AsyncGenerator<MessagePage> {
  if (last === 0) return;
  if (last !== undefined && last <= PAGE) {
    yield await provider.getMessages(id, { before: Number.MAX_SAFE_INTEGER, limit: last, signal });
    return;
  }
  const { firstSeq, nextSeq } = await provider.getMessages(id, { limit: 1, signal });
  let after = last === undefined ? firstSeq - 1 : Math.max(firstSeq, nextSeq - last) - 1;
  for (;;) {
    const page = await provider.getMessages(id, { after, limit: PAGE, signal });
    if (page.items.length > 0) yield page;
    if (!page.hasMore) return;
    after = page.items.at(-1)?.seq ?? after;
  }
}

/** Adds the command. */
export function registerShow(program: Command, run: Run): void {
  program
    .command('show')
    .description('print one conversation as a transcript')
    .argument('<id>', 'conversation id')
    .option('--last <count>', 'only the newest messages')
    .action(
      run(async (session, id: string, options: { readonly last?: string }) => {
        const { out, signal } = session;
        const last = options.last === undefined ? undefined : readCount(options.last, '--last');
        const provider = await session.read();
        const head = await provider.getConversation(id, { messageLimit: 0, signal });
        if (!head) {
          out.error(`show ${JSON.stringify(id)}: no such conversation (or expired). jaf-memory list shows what there is.`, {
            code: 'not_found',
            conversationId: id,
          });
          return EXIT.findings;
        }
        if (out.json) {
          const messages: unknown[] = [];
          let firstSeq: number | undefined;
          for await (const page of pages(provider, id, last, signal)) {
            firstSeq ??= page.items[0]?.seq;
            messages.push(...page.items.map((item) => item.message));
          }
          out.value({ ...head, messages, ...(firstSeq === undefined ? {} : { firstSeq }) });
          return EXIT.ok;
        }
        out.line(out.paint('bold', printableLine(id)));
        const facts = [
          ...(head.userId === undefined ? [] : [`user ${printableLine(head.userId)}`]),
          counted(head.messageCount, 'message'),
          `created ${timeText(head.createdAt)}`,
          `last written ${timeText(head.updatedAt)}`,
          ...(head.expiresAt ? [`expires ${timeText(head.expiresAt)}`] : []),
        ];
        for (const line of wrap(facts.join(', '), out.width)) out.line(line);
        const metadata = JSON.stringify(head.metadata);
        if (metadata !== '{}') for (const line of wrap(`metadata ${printableLine(metadata)}`, out.width)) out.line(line);
        for await (const page of pages(provider, id, last, signal)) {
          for (const { seq, message } of page.items) {
            out.line();
            printMessage(out, message, seq);
          }
        }
        return EXIT.ok;
      }),
    );
}
