// Messages of the openai package go in and toChatMessages go out, without a cast.
import { type MemoryProvider, type MessageInput, openConversation, toChatMessages, unwrap } from 'jaf/memory';
import { createOpenAIModel } from 'jaf/models';
import OpenAI from 'openai';
import type {
  ChatCompletion,
  ChatCompletionMessage,
  ChatCompletionMessageParam,
  ChatCompletionAssistantMessageParam,
  ChatCompletionToolMessageParam,
} from 'openai/resources/chat/completions';

declare const provider: MemoryProvider;
declare const client: OpenAI;
declare const params: ChatCompletionMessageParam[];
declare const completion: ChatCompletion;
declare const toolMessage: ChatCompletionToolMessageParam;
declare const assistantMessage: ChatCompletionAssistantMessageParam;

export async function storesTheirMessages(): Promise<void> {
  unwrap(await provider.storeMessages('chat-1', params));
  const reply = completion.choices[0]?.message;
  if (!reply) return;
  unwrap(await provider.appendMessages('chat-1', [reply]));
  unwrap(await provider.appendMessages('chat-1', [assistantMessage, toolMessage, { role: 'user', content: 'and then?' }]));
  const typed: ChatCompletionMessage = reply;
  const input: MessageInput = typed;
  await openConversation(provider, 'chat-1').append([...params, input]);
}

export async function sendsOurs(): Promise<string | null> {
  const messages = toChatMessages(await provider.getRecentMessages('chat-1', 20));
  const asParams: ChatCompletionMessageParam[] = messages;
  const reply = await client.chat.completions.create({ model: 'gpt-4o-mini', messages });
  const streamed = await client.chat.completions.create({ model: 'gpt-4o-mini', messages: asParams, stream: true });
  for await (const chunk of streamed) void chunk.choices[0]?.delta.content;
  return reply.choices[0]?.message.content ?? null;
}

export const model = createOpenAIModel({ client, model: 'gpt-4o-mini' });
