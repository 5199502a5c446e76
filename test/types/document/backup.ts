// The document, Best practices 4: backup (lines 591–626).
import { unwrap, type ConversationMemory, type MemoryProvider, type Message, type Metadata } from 'jaf/memory';
declare const provider: MemoryProvider;
interface Backup {
  export_timestamp: string;
  user_id: string | null;
  conversation_count: number;
  conversations: { conversation_id: string; user_id: string | null; messages: readonly Message[]; metadata: Metadata }[];
}
async function exportAll(userId?: string): Promise<Backup> {
  const conversations: readonly ConversationMemory[] = await provider.findConversations({ userId, limit: undefined });
  return {
    export_timestamp: new Date().toISOString(),
    user_id: userId ?? null,
    conversation_count: conversations.length,
    conversations: conversations.map((c) => ({
      conversation_id: c.conversationId,
      user_id: c.userId ?? null,
      messages: c.messages,
      metadata: c.metadata,
    })),
  };
}
async function importAll(data: Backup): Promise<void> {
  for (const c of data.conversations) unwrap(await provider.storeMessages(c.conversation_id, c.messages, c.metadata));
}
