// The document, Custom metadata (lines 390–417).
import { unwrap, type MemoryProvider, type Message } from 'jaf/memory';
declare const provider: MemoryProvider;
declare const messages: Message[];
interface SupportMetadata {
  session_info: { user_agent: string; ip_address: string; session_start: string };
  conversation_context: { topic: string; priority: 'low' | 'high'; department: string };
  user_preferences: { language: string; timezone: string; notification_settings: { email: boolean; sms: boolean } };
}
const metadata: SupportMetadata = {
  session_info: { user_agent: 'Mozilla/5.0...', ip_address: '192.168.1.1', session_start: '2024-01-15T10:00:00Z' },
  conversation_context: { topic: 'customer_support', priority: 'high', department: 'billing' },
  user_preferences: { language: 'en', timezone: 'America/New_York', notification_settings: { email: true, sms: false } },
};
unwrap(await provider.storeMessages('support-ticket-456', messages, metadata));
