/**
 * Recorded conversations: a file with one JSON object per line (`conversation_id`, `user_id`, `metadata`, `messages`).
 *
 * @module
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Message, Metadata } from '../../memory/types.js';
import { UsageError } from '../session.js';

/** One recorded conversation. */
export interface Recording {
  readonly conversationId: string;
  readonly userId: string | undefined;
  readonly metadata: Metadata;
  readonly messages: readonly Message[];
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

function parseLine(line: string, where: string): Recording {
  const wrong = (what: string): UsageError => new UsageError(`${where}: ${what}.`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // the parser's message quotes the text
    throw wrong('not JSON; expected one conversation per line');
  }
  if (!isObject(value)) throw wrong('expected an object');
  const { conversation_id: conversationId, user_id: userId, metadata, messages } = value;
  if (typeof conversationId !== 'string') throw wrong('"conversation_id" must be a string');
  if (userId !== undefined && userId !== null && typeof userId !== 'string') throw wrong('"user_id" must be a string or null');
  if (metadata !== undefined && metadata !== null && !isObject(metadata)) throw wrong('"metadata" must be an object');
  if (!Array.isArray(messages)) throw wrong('"messages" must be an array');
  messages.forEach((message: unknown, index) => {
    if (!isObject(message) || typeof message['role'] !== 'string') throw wrong(`messages[${index}] must be an object with a "role"`);
  });
  return { conversationId, userId: userId ?? undefined, metadata: (metadata ?? {}) as Metadata, messages: messages as Message[] };
}

/**
 * Reads a file of recordings.
 *
 * @param file - path of a file with one JSON object per line; empty lines are passed over
 * @throws UsageError naming the file or the line; never its content
 */
export async function readRecordings(file: string): Promise<Recording[]> {
  const recordings: Recording[] = [];
  const lines = new Map<string, number>();
  let number = 0;
  const input = createReadStream(file, 'utf8');
  const failed = new Promise<never>((_resolve, reject) => {
    input.once('error', (error: NodeJS.ErrnoException) => {
      reject(new UsageError(`${JSON.stringify(file)} cannot be read (${error.code ?? error.name}). Check the path.`));
    });
  });
  const read = async (): Promise<void> => {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++;
      const text = number === 1 ? line.replace(/^\ufeff/, '') : line;
      if (text.trim() === '') continue;
      const recording = parseLine(text, `line ${number}`);
      const before = lines.get(recording.conversationId);
      if (before !== undefined) throw new UsageError(`line ${number}: the same conversation_id as line ${before}.`);
      lines.set(recording.conversationId, number);
      recordings.push(recording);
    }
  };
  try {
    await Promise.race([read(), failed]);
  } finally {
    input.destroy();
  }
  if (recordings.length === 0) throw new UsageError(`${JSON.stringify(file)} holds no conversations.`);
  return recordings;
}
