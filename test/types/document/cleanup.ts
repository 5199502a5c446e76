// The document, Best practices 2: cleanup (lines 555–571).
import type { ConversationMemory, MemoryProvider, MemoryQuery } from 'jaf/memory';
declare const provider: MemoryProvider;
declare function shouldArchive(c: ConversationMemory): boolean;
declare function archiveConversation(c: ConversationMemory): Promise<void>;
async function cleanupOldConversations(): Promise<void> {
  const query: MemoryQuery = { until: new Date(Date.now() - 90 * 86_400_000), order: 'oldest', limit: 1000 };
  for await (const conv of provider.iterateConversations(query)) {
    if (shouldArchive(conv)) await archiveConversation(conv);
    await provider.deleteConversation(conv.conversationId, { expectedVersion: conv.version }); // not if written meanwhile
  }
}
