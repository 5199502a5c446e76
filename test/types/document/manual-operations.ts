// The document, Manual operations (lines 318–353).
import { unwrap, type MemoryProvider, type Message } from 'jaf/memory';
declare const provider: MemoryProvider;
const messages: Message[] = [
  { role: 'user', content: "What's the weather like?" },
  { role: 'assistant', content: "I'd need your location to check the weather." },
];
unwrap(await provider.storeMessages('weather-chat-1', messages, { topic: 'weather', user_location: 'unknown' }));
const newMessages: Message[] = [
  { role: 'user', content: "I'm in New York" },
  { role: 'assistant', content: "It's currently 72°F and sunny in New York!" },
];
unwrap(await provider.appendMessages('weather-chat-1', newMessages));
const conversation = await provider.getConversation('weather-chat-1');
if (conversation) {
  console.log(`Found ${conversation.messages.length} messages`);
  for (const message of conversation.messages)
    console.log(`${message.role}: ${typeof message.content === 'string' ? message.content : ''}`);
}
