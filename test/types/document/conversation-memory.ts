// The document, ConversationMemory (lines 17–35).
import { createConversation, type ConversationMemory } from 'jaf/memory';
const conversation: ConversationMemory = createConversation({
  conversationId: 'user-123-session-1',
  userId: 'user-123',
  messages: [
    { role: 'user', content: 'Hello!' },
    { role: 'assistant', content: 'Hi there! How can I help you?' },
  ],
  metadata: { session_start: '2024-01-15T10:00:00Z' },
});
conversation.messageCount; // 2
