// The document, MemoryProvider protocol (lines 37–77).
import {
  Success,
  type AppendOptions,
  type ConversationMemory,
  type MemoryConfig,
  type MemoryProviderCore,
  type Message,
  type Metadata,
  type Result,
  type WriteOptions,
} from 'jaf/memory';
class MyCustomProvider implements MemoryProviderCore {
  async storeMessages(
    conversationId: string,
    messages: readonly Message[],
    metadata?: Metadata,
    options?: WriteOptions,
  ): Promise<Result<unknown>> {
    return new Success(undefined);
  }
  async getConversation(conversationId: string): Promise<ConversationMemory | undefined> {
    return undefined;
  }
  async appendMessages(
    conversationId: string,
    messages: readonly Message[],
    metadata?: Metadata,
    options?: AppendOptions,
  ): Promise<Result<unknown>> {
    return new Success(undefined);
  }
  async getRecentMessages(conversationId: string, limit = 50): Promise<readonly Message[]> {
    return [];
  }
  async deleteConversation(conversationId: string): Promise<boolean> {
    return false;
  }
  async healthCheck() {
    return { healthy: true, message: 'ok' };
  }
}
export const memory: MemoryConfig = { provider: new MyCustomProvider() };
