/** One call of a program through the public methods. */
import { eraseUser, type MemoryProvider, type Message, textOf } from 'jaf/memory';
import type { Answer } from './linearize.js';
import { type Call, type Seen, stable, type Written } from './state.js';

const audit = { append: async (): Promise<{ hash: string }> => ({ hash: 'none' }) };

const tagOf = (message: Message): string => {
  const text = textOf(message);
  return text === '' ? String(message['tag']) : text;
};

/** The message of a tag. */
function messageOf(tag: string): Message {
  switch (tag[0]) {
    case 'a':
      return { role: 'assistant', content: tag };
    case 'c':
      return {
        role: 'assistant',
        content: null,
        tool_calls: [
          { id: 'call', type: 'function', function: { name: 'f', arguments: '{}' } },
          { id: 'call-2', type: 'function', function: { name: 'f', arguments: '{}' } },
        ],
        tag,
      };
    case 'r':
      return { role: 'tool', content: tag, tool_call_id: 'call', name: 'f' };
    default:
      return { role: 'user', content: tag };
  }
}

/**
 * Makes a call, and says what it answered in the reference's terms.
 *
 * @param provider - of the client that makes it
 * @param versions - the last version that was told of each conversation; a write enters its own
 * @throws MemoryError when the call fails and the reference has no answer for it, Error for an answer that no state could give
 */
export async function perform(
  provider: MemoryProvider,
  call: Call,
  versions: Map<string, number>,
): Promise<ReadonlyMap<string, Answer> | Answer> {
  const handle = 'scope' in call && call.scope !== undefined ? provider.forUser(call.scope) : provider;
  switch (call.op) {
    case 'store':
    case 'append':
    case 'restore': {
      const result = await (call.op === 'restore'
        ? handle.restoreConversation(
            {
              conversationId: call.id,
              ...(call.snapshot.userId === undefined ? {} : { userId: call.snapshot.userId }),
              messages: call.snapshot.tags.map(messageOf),
              messageCount: call.snapshot.tags.length,
              metadata: call.snapshot.metadata as never,
              createdAt: new Date(call.snapshot.createdAt),
              updatedAt: new Date(call.snapshot.updatedAt),
              ...(call.snapshot.expiresAt === undefined ? {} : { expiresAt: new Date(call.snapshot.expiresAt) }),
              version: 1,
              firstSeq: call.snapshot.firstSeq,
            },
            { onConflict: call.onConflict },
          )
        : handle[call.op === 'store' ? 'storeMessages' : 'appendMessages'](call.id, call.tags.map(messageOf), call.metadata as never, {
            userId: call.userId,
            ttl: call.ttl,
            maxMessages: call.maxMessages,
            compressionThreshold: call.compressionThreshold,
            expectedVersion: call.expected,
            operationId: call.operationId,
            ...(call.op === 'append' ? { createIfMissing: call.create } : {}),
          }));
      if (result.ok) {
        const { version, messageCount, created, duplicate } = result.data;
        versions.set(call.id, version);
        return { kind: 'written', written: { ok: true, version, messageCount, created, duplicate } };
      }
      const { error } = result;
      if (error.name === 'MemoryConnectionError') throw error;
      if (['internal', 'storage', 'corrupt', 'unsupported', 'invalid'].includes(error.code))
        throw new Error(`${call.op}: ${error.message}`);
      const written: Written = { ok: false, code: error.code, actualVersion: (error as { actualVersion?: number }).actualVersion };
      return { kind: 'written', written };
    }
    case 'delete':
      return { kind: 'removed', removed: await handle.deleteConversation(call.id, { expectedVersion: call.expected }) };
    case 'clear':
      await provider.clearUserConversations(call.user);
      return { kind: 'done' };
    case 'purge':
      await (call.everybody ? provider : provider.forUser(call.user)).purgeExpired();
      return { kind: 'done' };
    case 'stats':
      await provider.getStats(call.user);
      return { kind: 'done' };
    case 'erase':
      await eraseUser(provider, call.user, { audit });
      return { kind: 'done' };
    case 'get': {
      const found = await handle.getConversation(call.id, { messageLimit: call.limit });
      return { kind: 'seen', seen: found && seenOf(found) };
    }
    case 'recent':
      return { kind: 'recent', tags: (await handle.getRecentMessages(call.id, call.limit)).map(tagOf) };
    case 'page': {
      const { items, firstSeq, nextSeq, hasMore } = await handle.getMessages(call.id, {
        after: call.after,
        before: call.before,
        limit: call.limit,
      });
      return { kind: 'page', page: [firstSeq, nextSeq, hasMore, items.map(({ seq, message }) => [seq, tagOf(message)] as const)] };
    }
    case 'find':
    case 'iterate': {
      const asked = { userId: call.user, ...(call.mark === undefined ? {} : { metadata: { mark: call.mark } }) };
      const from = call.scoped ? provider.forUser(call.user) : provider;
      const found = call.op === 'find' ? await from.findConversations(asked) : await all(from.iterateConversations(asked));
      // a walk cannot sort what a restore has given another time since its place was looked up
      const walked = call.op === 'iterate' && call.mark !== undefined;
      const sorted = found.every((c, i) => {
        const next = found[i + 1];
        if (!next) return true;
        const by = call.op === 'find' ? next.updatedAt.getTime() - c.updatedAt.getTime() : c.createdAt.getTime() - next.createdAt.getTime();
        const ids = call.op === 'find' ? next.conversationId < c.conversationId : c.conversationId < next.conversationId;
        return by < 0 || (by === 0 && ids);
      });
      if (!sorted && !walked)
        throw new Error(
          `${call.op}: not in order: ${found.map((c) => JSON.stringify([c.conversationId, c.createdAt.getTime(), c.updatedAt.getTime(), c.version])).join(' ')}`,
        );
      return new Map(found.map((c) => [c.conversationId, { kind: 'seen', seen: seenOf(c) } as const]));
    }
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

type Found = NonNullable<Awaited<ReturnType<MemoryProvider['getConversation']>>>;

function seenOf(c: Found): Seen {
  return [
    c.version,
    c.messageCount,
    c.userId ?? null,
    c.createdAt.getTime(),
    c.updatedAt.getTime(),
    c.expiresAt?.getTime() ?? null,
    stable(c.metadata),
    c.messages.map(tagOf),
  ];
}
