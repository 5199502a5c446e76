// The document, Best practices 3: erasure (lines 573–589).
import type { MemoryProvider } from 'jaf/memory';
declare const provider: MemoryProvider;
declare function verifyDeletionConsent(userId: string): boolean;
declare const auditLog: { info(text: string): void };
async function deleteUserData(userId: string): Promise<number> {
  if (!verifyDeletionConsent(userId)) throw new Error('User deletion requires verified consent');
  const deletedCount = await provider.clearUserConversations(userId);
  auditLog.info(`Deleted ${deletedCount} conversations for user ${userId}`);
  return deletedCount;
}
