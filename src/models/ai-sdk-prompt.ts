/**
 * Our messages as the AI SDK's prompt.
 *
 * @module
 */
import { textOf, toChatMessages } from '../memory/message.js';
import type { Message } from '../memory/types.js';
import { isResult, pairCalls } from '../memory/window.js';

type TextPart = { readonly type: 'text'; readonly text: string };
type FilePart = { readonly type: 'file'; readonly data: string | URL; readonly mediaType: string; readonly filename?: string };
type CallPart = { readonly type: 'tool-call'; readonly toolCallId: string; readonly toolName: string; readonly input: unknown };
type ResultPart = {
  readonly type: 'tool-result';
  readonly toolCallId: string;
  readonly toolName: string;
  readonly output: { readonly type: 'text'; readonly value: string };
};

/** The prompt of specifications v2 and v3. */
export type Prompt = readonly (
  | { readonly role: 'system'; readonly content: string }
  | { readonly role: 'user'; readonly content: readonly (TextPart | FilePart)[] }
  | { readonly role: 'assistant'; readonly content: readonly (TextPart | CallPart)[] }
  | { readonly role: 'tool'; readonly content: readonly ResultPart[] }
)[];

/**
 * @param messages - in order
 * @returns the prompt; results of one turn are put together in one message, as the SDK does
 */
export function toPrompt(messages: readonly Message[]): Prompt {
  const { callOf } = pairCalls(messages);
  const prompt: Prompt[number][] = [];
  messages.forEach((message, index) => {
    switch (message.role) {
      case 'system':
      case 'developer':
        prompt.push({ role: 'system', content: textOf(message) });
        break;
      case 'user':
        prompt.push({ role: 'user', content: userParts(message) });
        break;
      case 'assistant':
        prompt.push({ role: 'assistant', content: assistantParts(message) });
        break;
      case 'tool': {
        const call = messages[callOf[index] ?? -1]?.tool_calls?.find((c) => c.id === message.tool_call_id);
        const part: ResultPart = {
          type: 'tool-result',
          toolCallId: message.tool_call_id ?? '',
          toolName: call?.function.name ?? message.name ?? 'unknown',
          output: { type: 'text', value: textOf(message) },
        };
        const last = prompt.at(-1);
        const before = messages[index - 1];
        if (last?.role === 'tool' && before && isResult(before))
          prompt[prompt.length - 1] = { role: 'tool', content: [...last.content, part] };
        else prompt.push({ role: 'tool', content: [part] });
      }
    }
  });
  return prompt;
}

function assistantParts(message: Message): (TextPart | CallPart)[] {
  const text = textOf(message);
  const calls = (message.tool_calls ?? []).map(
    (call): CallPart => ({
      type: 'tool-call',
      toolCallId: call.id,
      toolName: call.function.name,
      input: parseInput(call.function.arguments),
    }),
  );
  return text === '' && calls.length > 0 ? calls : [{ type: 'text', text }, ...calls];
}

/** Stored arguments are the model's text, which may be no JSON; the SDK takes any value. */
function parseInput(text: string): unknown {
  try {
    return text.trim() === '' ? {} : JSON.parse(text);
  } catch {
    return text;
  }
}

/** Parts and attachments, in the form chat completions give them. */
function userParts(message: Message): (TextPart | FilePart)[] {
  const content = toChatMessages([message])[0]?.content;
  if (!Array.isArray(content)) return [{ type: 'text', text: typeof content === 'string' ? content : '' }];
  return content.map(
    (part: {
      type?: string;
      text?: string;
      image_url?: { url?: string };
      file?: { file_data?: string; file_id?: string; filename?: string };
    }) => {
      if (part.type === 'image_url') return filePart(part.image_url?.url ?? '', 'image/*');
      if (part.type !== 'file') return { type: 'text', text: part.text ?? '' };
      const { file_data: data, file_id: id, filename } = part.file ?? {};
      if (data === undefined) return { type: 'text', text: `[file ${id ?? ''}]` };
      return { ...filePart(data, 'application/octet-stream'), ...(filename === undefined ? {} : { filename }) };
    },
  );
}

/** A data URL is taken apart, any other URL stays a reference. */
function filePart(url: string, mediaType: string): FilePart | TextPart {
  const inline = /^data:([^;,]+);base64,([\s\S]*)$/.exec(url);
  if (inline) return { type: 'file', mediaType: inline[1] ?? mediaType, data: inline[2] ?? '' };
  return URL.canParse(url) ? { type: 'file', mediaType, data: new URL(url) } : { type: 'text', text: url };
}
