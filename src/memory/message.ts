/**
 * Making, reading and sending messages.
 *
 * @module
 */
import { MemoryValidationError } from './errors.js';
import type { Attachment, ChatMessage, ChatPart, Message } from './types.js';

/**
 * A message of the user.
 *
 * @param text - what the user says
 */
export function user(text: string): Message {
  return { role: 'user', content: text };
}

/**
 * A message of the assistant.
 *
 * @param text - what the assistant says
 */
export function assistant(text: string): Message {
  return { role: 'assistant', content: text };
}

/**
 * The result of a tool call.
 *
 * @param callId - id of the call it answers
 * @param name - name of the tool
 * @param value - a string is kept as it is, anything else becomes JSON (`undefined` becomes the empty string)
 */
export function toolResult(callId: string, name: string, value: unknown): Message {
  return { role: 'tool', content: toolContent(value), tool_call_id: callId, name };
}

/** What a tool's return value looks like as content. */
function toolContent(value: unknown): string {
  if (typeof value === 'string') return value;
  return JSON.stringify(value) ?? '';
}

/**
 * The text of a message: its string content, or its text parts joined by line breaks; `''` for a bare tool call.
 *
 * @param message - any message
 */
export function textOf(message: Message): string {
  if (typeof message.content === 'string') return message.content;
  if (!Array.isArray(message.content)) return '';
  return (message.content as readonly { readonly type: string; readonly text?: unknown }[])
    .filter((part) => part.type === 'text' && typeof part.text === 'string')
    .map((part) => part.text)
    .join('\n');
}

/** A part for chat completions: images by URL or base64, everything else as a file. */
function attachmentPart(attachment: Attachment): ChatPart {
  const { kind, url, data, mimeType, name } = attachment;
  const dataUrl =
    data === undefined ? undefined : `data:${mimeType ?? (kind === 'image' ? 'image/png' : 'application/octet-stream')};base64,${data}`;
  const source = url ?? dataUrl;
  if (kind === 'image' && source !== undefined) return { type: 'image_url', image_url: { url: source } };
  if (dataUrl !== undefined) return { type: 'file', file: { file_data: dataUrl, ...(name === undefined ? {} : { filename: name }) } };
  return { type: 'text', text: `[${kind}${name === undefined ? '' : ` ${name}`}${url === undefined ? '' : `: ${url}`}]` };
}

/** Our `file` parts carry a `format` that chat completions do not know; parts we have no type for (audio) pass as they are. */
function wirePart(part: object): ChatPart {
  const { type, file } = part as { type?: string; file?: { file_id?: string; format?: string } };
  if (type !== 'file' || file?.format === undefined) return part as ChatPart;
  const { format: _format, ...rest } = file;
  return { type, file: rest };
}

/**
 * Messages as the chat-completions API takes them: `message_id` and unknown keys removed, attachments turned into parts.
 *
 * @param messages - stored or new messages
 * @returns fresh objects, assignable to the parameters of the `openai` package
 * @throws MemoryValidationError for a message that has no place there (a legacy `function` message)
 * @example
 * await client.chat.completions.create({ model, messages: toChatMessages(await provider.getRecentMessages('chat-1')) });
 */
export function toChatMessages(messages: readonly Message[]): ChatMessage[] {
  return messages.map((message, index) => toChatMessage(message, index));
}

function toChatMessage(message: Message, index: number): ChatMessage {
  const name = typeof message.name === 'string' ? { name: message.name } : {};
  switch (message.role) {
    case 'system':
    case 'developer':
      return { role: message.role, content: textOf(message), ...name };
    case 'user': {
      const parts = (message.attachments ?? []).map(attachmentPart);
      if (!Array.isArray(message.content) && parts.length === 0) return { role: 'user', content: textOf(message), ...name };
      const own = Array.isArray(message.content) ? message.content.map((part) => wirePart(part as object)) : [];
      if (typeof message.content === 'string' && message.content !== '') own.push({ type: 'text', text: message.content });
      return { role: 'user', content: [...own, ...parts], ...name };
    }
    case 'assistant': {
      const calls = message.tool_calls?.length
        ? {
            tool_calls: message.tool_calls.map((call) => ({
              id: call.id,
              type: call.type,
              function: { name: call.function.name, arguments: call.function.arguments },
            })),
          }
        : {};
      const content = Array.isArray(message.content) ? textOf(message) : (message.content as string | null);
      return { role: 'assistant', content, ...calls, ...name };
    }
    case 'tool':
      return { role: 'tool', content: textOf(message), tool_call_id: message.tool_call_id ?? '' };
    default:
      throw new MemoryValidationError(`toChatMessages: messages[${index}].role is not a chat-completions role. Leave that message out.`, {
        provider: 'none',
        issues: [{ path: `messages[${index}].role`, reason: 'expected system, developer, user, assistant or tool' }],
      });
  }
}
