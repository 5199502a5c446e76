// The document, Best practices 1: ids (lines 542–553).
import { createConversationId } from 'jaf/memory';
createConversationId('user-123', 'chat', '2024-01-15T10:00:00Z'); // 'user-123:chat:2024-01-15T10:00:00Z'
createConversationId('user-456', 'support', new Date());
createConversationId('user-789', 'onboarding');
