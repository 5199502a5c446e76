/**
 * Messages as stored text. A body is a mark, a checksum and JSON: `1` + CRC-32 in 7 base-36 digits + the message. The
 * checksum turns a flipped bit into a typed error instead of a wrong answer; the fixed width lets SQL cut the JSON out.
 *
 * @module
 */
import { crc32 } from 'node:zlib';
import type { Body } from './driver.js';
import type { Message, MessageInput, Metadata } from './types.js';

/** Format mark of a body. */
const MARK = '1';
/** Characters before the JSON text. */
const BODY_PREFIX = 8;

/** Thrown on damaged stored text; the layer names the conversation and the sequence. */
export class DamagedError extends Error {}

function checksum(text: string): string {
  return crc32(text)
    .toString(36)
    .padStart(BODY_PREFIX - 1, '0');
}

/** Encodes a checked message. `content` left out (an assistant message of the openai package) is stored as null. */
export function encodeMessage(message: MessageInput): Body {
  const json = JSON.stringify(message.content === undefined ? { ...message, content: null } : message);
  const text = MARK + checksum(json) + json;
  return { text, bytes: Buffer.byteLength(text) };
}

/**
 * Decodes a body, deeply frozen. The result is kept on the `Body` object: a driver that holds on to it (in-memory) saves
 * the next reader the parsing.
 *
 * @throws DamagedError
 */
export function decodeMessage(body: Body): Message {
  if (body.value !== undefined) return body.value as Message;
  const { text } = body;
  if (text[0] !== MARK) throw new DamagedError('unknown format mark');
  const json = text.slice(BODY_PREFIX);
  if (text.slice(1, BODY_PREFIX) !== checksum(json)) throw new DamagedError('checksum does not match');
  const message = freeze(parse(json)) as Message;
  body.value = message;
  return message;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // the parser's own message would quote content
    throw new DamagedError('not JSON');
  }
}

/** Freezes a JSON value deeply, in place. */
export function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) for (const item of value) freeze(item);
  else for (const key of Object.keys(value)) freeze((value as Record<string, unknown>)[key]);
  return Object.freeze(value);
}

/** Encodes checked metadata. */
export function encodeMetadata(metadata: object): string {
  return JSON.stringify(metadata);
}

/**
 * Decodes metadata, deeply frozen.
 *
 * @throws DamagedError
 */
export function decodeMetadata(text: string): Metadata {
  if (text === '{}') return EMPTY;
  return freeze(parse(text)) as Metadata;
}
const EMPTY: Metadata = Object.freeze({});
