// The document, Search and management (lines 357–388).
import type { MemoryProvider, MemoryQuery } from 'jaf/memory';
declare const provider: MemoryProvider;
const query: MemoryQuery = { userId: 'user-123', limit: 10, since: new Date(Date.now() - 7 * 86_400_000) };
for (const conv of await provider.findConversations(query))
  console.log(`Conversation ${conv.conversationId}: ${conv.messageCount} messages`);
const recentMessages = await provider.getRecentMessages('user-123-session-1', 20);
const stats = await provider.getStats('user-123');
console.log(`Total conversations: ${stats.totalConversations}`, `Total messages: ${stats.totalMessages}`);
const deletedCount: number = await provider.clearUserConversations('user-123');
console.log(`Deleted ${deletedCount} conversations`, recentMessages.length);
