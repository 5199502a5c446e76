// The document, Monitoring (lines 496–538).
import type { MemoryProvider } from 'jaf/memory';
declare const provider: MemoryProvider;
const stats = await provider.getStats();
console.log(`Total conversations: ${stats.totalConversations}`, `Total messages: ${stats.totalMessages}`);
console.log(`Average messages per conversation: ${stats.avgMessagesPerConversation}`, `Storage size: ${stats.totalStorageSize} bytes`);
const userStats = await provider.getStats('user-123');
const n: number = userStats.userConversations + userStats.userMessages;
