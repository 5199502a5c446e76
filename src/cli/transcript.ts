/**
 * Messages for people to read.
 *
 * @module
 */
import { textOf } from '../memory/message.js';
import type { Message } from '../memory/types.js';
import type { Output } from './output.js';
import { printable, printableLine, wrap } from './text.js';

const COLORS = { system: 'magenta', developer: 'magenta', user: 'cyan', assistant: 'green', tool: 'yellow' } as const;

/** What a message holds beside its text: parts that are no text, and attachments. */
function extras(message: Message): string[] {
  const parts = Array.isArray(message.content) ? (message.content as readonly { readonly type: string }[]) : [];
  const attachments = message.attachments ?? [];
  return [
    ...parts.filter((part) => part.type !== 'text').map((part) => `[${part.type}]`),
    ...attachments.map((a) => `[${a.kind}${a.name === undefined ? '' : ` ${a.name}`}]`),
  ];
}

/**
 * Prints one message: a heading, then its text and tool calls, indented.
 *
 * @param out - where to
 * @param message - as it is stored
 * @param seq - its sequence number, when it is known
 */
export function printMessage(out: Output, message: Message, seq?: number): void {
  const color = Object.hasOwn(COLORS, message.role) ? COLORS[message.role] : 'white';
  const about = [message.name, message.tool_call_id].filter((part) => part !== undefined).map((part) => printableLine(part));
  const heading = [seq === undefined ? '' : out.paint('dim', `#${seq} `), out.paint(['bold', color], printableLine(message.role))].join('');
  out.line(about.length === 0 ? heading : `${heading} ${out.paint('dim', about.join(' '))}`);
  const body: string[] = [];
  const text = textOf(message);
  if (text !== '') body.push(printable(text));
  body.push(...extras(message).map(printableLine));
  for (const call of message.tool_calls ?? []) {
    const { name = '', arguments: args = '' } = (call as { function?: { name?: string; arguments?: string } }).function ?? {};
    body.push(`-> ${printableLine(name)}(${printable(args)}) ${printableLine(call.id)}`);
  }
  if (body.length === 0) body.push('(empty)');
  for (const part of body) for (const line of wrap(part, out.width - 2)) out.line(line === '' ? '' : `  ${line}`);
}
