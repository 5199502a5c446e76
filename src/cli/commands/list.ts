/**
 * `jaf-memory list`: which conversations there are. Ids, counts and times only: no content and no metadata.
 *
 * @module
 */
import type { Command } from 'commander';
import type { ConversationMemory } from '../../memory/types.js';
import { addQueryOptions, type QueryOptions, readQuery } from '../query.js';
import { EXIT, type Run, type Session } from '../session.js';
import { counted, printableLine, timeText } from '../text.js';

/** What is shown of a conversation: nothing anybody wrote. */
function outline(conversation: ConversationMemory): object {
  const { messages: _messages, metadata: _metadata, ...rest } = conversation;
  return rest;
}

/**
 * Prints the conversations of a query.
 *
 * @param session - names the store
 * @param options - as they were typed
 */
export async function listConversations(session: Session, options: QueryOptions): Promise<number> {
  const { out } = session;
  const { limit, ...query } = readQuery(options);
  const provider = await session.read();
  // one more than asked for tells whether there are more
  const found = await provider.findConversations({
    ...query,
    limit: limit === undefined ? undefined : limit + 1,
    messageLimit: 0,
    signal: session.signal,
  });
  const shown = limit === undefined ? found : found.slice(0, limit);
  const more = found.length > shown.length;
  if (out.json) {
    out.value({ conversations: shown.map(outline), more });
    return EXIT.ok;
  }
  if (shown.length > 0) {
    out.table(
      [
        { title: 'conversation' },
        { title: 'user' },
        { title: 'messages', align: 'right' },
        { title: 'last written' },
        { title: 'created', optional: true },
        { title: 'expires', optional: true },
      ],
      shown.map((c) => [
        printableLine(c.conversationId),
        printableLine(c.userId ?? '-'),
        String(c.messageCount),
        timeText(c.updatedAt),
        timeText(c.createdAt),
        c.expiresAt ? timeText(c.expiresAt) : '-',
      ]),
    );
  }
  if (shown.length === 0) out.note(limit === 0 ? 'Nothing was asked for (--limit 0).' : 'No conversation matches.');
  else out.note(`${counted(shown.length, 'conversation')}${more ? '; there are more: --limit all, or --offset' : ''}.`);
  return EXIT.ok;
}

/** Adds the command. */
export function registerList(program: Command, run: Run): void {
  addQueryOptions(program.command('list').description('list conversations: ids, counts and times, no content')).action(
    run((session, options: QueryOptions) => listConversations(session, options)),
  );
}
