/**
 * `jaf-memory search`: conversations by metadata and time, or by what was said. Content is printed only when asked for.
 *
 * @module
 */
import type { Command } from 'commander';
import { textOf } from '../../memory/message.js';
import { readings } from '../../memory/snapshots.js';
import type { ConversationSnapshot } from '../../memory/types.js';
import { addQueryOptions, type QueryOptions, readQuery } from '../query.js';
import { EXIT, type Run, type Session, UsageError } from '../session.js';
import { counted, printableLine } from '../text.js';
import { listConversations } from './list.js';

interface Options extends QueryOptions {
  readonly text?: string;
  readonly content?: true;
}

/** Characters shown on both sides of what was found. */
const AROUND = 60;

/** Where a text stands in a conversation, without regard to case. */
interface Hit {
  readonly seq: number;
  readonly role: string;
  readonly excerpt: string;
}

function hitsIn({ messages, firstSeq }: ConversationSnapshot, wanted: string): Hit[] {
  return messages.flatMap((message, index) => {
    const text = textOf(message);
    const at = text.toLowerCase().indexOf(wanted);
    if (at < 0) return [];
    const [from, to] = [Math.max(0, at - AROUND), at + wanted.length + AROUND];
    const excerpt = `${from > 0 ? '…' : ''}${text.slice(from, to)}${to < text.length ? '…' : ''}`;
    return [{ seq: firstSeq + index, role: message.role, excerpt }];
  });
}

/** Reads every conversation of the query, in order of creation, until enough hold the text. */
async function scan(session: Session, options: Options, text: string): Promise<number> {
  const { out, signal } = session;
  const { limit = Number.POSITIVE_INFINITY, offset = 0, ...query } = readQuery(options);
  const wanted = text.toLowerCase();
  if (wanted === '') throw new UsageError('--text must not be empty.');
  const provider = await session.read();
  const narrow = Object.keys(query).length > 1;
  const bar = narrow ? out.counting('conversations read') : out.progress('read', (await provider.getStats()).totalConversations);
  const listed: object[] = [];
  let [read, found, damaged, more] = [0, 0, 0, false];
  try {
    for await (const { id, snapshot } of readings(provider, { ...query, signal }, 'search')) {
      bar.update(++read);
      if (!snapshot) damaged++;
      const hits = snapshot ? hitsIn(snapshot, wanted) : [];
      if (hits.length === 0 || ++found <= offset) continue;
      more = found > offset + limit;
      if (more) break;
      if (out.json)
        listed.push({ conversationId: id, messages: hits.map(({ excerpt, ...hit }) => (options.content ? { ...hit, excerpt } : hit)) });
      else if (!options.content) out.line(`${printableLine(id)}  ${hits.map(({ seq }) => `#${seq}`).join(' ')}`);
      else
        for (const { seq, role, excerpt } of hits)
          out.line(`${printableLine(id)}  #${seq} ${printableLine(role)}: ${printableLine(excerpt)}`);
    }
  } finally {
    bar.stop();
    if (signal.aborted) out.note(`Interrupted after ${counted(read, 'conversation')}.`);
  }
  if (out.json) out.value({ conversations: listed, read, damaged, more });
  else
    out.note(
      `${counted(Math.max(0, Math.min(found - offset, limit)), 'conversation')} of ${read} read${more ? '; there are more: --limit all, or --offset' : ''}.`,
    );
  if (damaged > 0) out.error(`${counted(damaged, 'conversation')} could not be read. jaf-memory verify names them.`, { code: 'corrupt' });
  return damaged > 0 ? EXIT.findings : EXIT.ok;
}

/** Adds the command. */
export function registerSearch(program: Command, run: Run): void {
  addQueryOptions(program.command('search').description('find conversations by metadata, time, or what was said'))
    .option('-t, --text <text>', 'what a message must hold, in any case: reads every conversation that is meant')
    .option('--content', 'with --text: also print what stands around it')
    .addHelpText(
      'after',
      `
Prints ids, counts, times and sequence numbers (#12); content only with --content. No store has an index of what was said:
--text reads all conversations of the other filters, by creation. It may be interrupted.

Examples:
  jaf-memory search --metadata channel=phone --since 7d
  jaf-memory search --user ada --text refund --content`,
    )
    .action(
      run(async (session, options: Options) => {
        if (options.text !== undefined) return await scan(session, options, options.text);
        if (options.content) throw new UsageError('--content belongs to --text. jaf-memory show ID prints a conversation.');
        return await listConversations(session, options);
      }),
    );
}
