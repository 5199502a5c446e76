/**
 * Segments: runs of older bodies in one compressed piece. Always deflate, on every Node version: a store is shared by
 * processes of different versions during a rolling update, and what one writes all must read.
 *
 * @module
 */
import { crc32, deflateRaw, inflateRaw } from 'node:zlib';
import { promisify } from 'node:util';
import { checkedJson, DamagedError, trustedBody } from './codec.js';
import type { Body, Segment } from './driver.js';

/** Messages in one segment: 128 bodies of 400 bytes are about 50 kB, where deflate has reached its ratio. */
export const SEGMENT_MESSAGES = 128;
/** A segment is closed early at so many bytes of bodies, so that reading one message never inflates much more. */
export const SEGMENT_BYTES = 1_048_576;

/** Format marks: a first byte for deflate, a first character for text. */
const MARK_DEFLATE = 1;
const MARK_TEXT = 'a';

const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/**
 * How many leading bodies make one segment.
 *
 * @param bodies - consecutive bodies, oldest first
 */
export function segmentLength(bodies: readonly Body[]): number {
  let bytes = 0;
  let n = 0;
  for (const body of bodies) {
    if (n > 0 && (n >= SEGMENT_MESSAGES || bytes + body.bytes > SEGMENT_BYTES)) break;
    bytes += body.bytes;
    n++;
  }
  return n;
}

/**
 * Packs consecutive bodies. Layout before compression: the lengths of the texts as one line, then the texts end to end;
 * behind the mark stand 4 bytes of CRC-32. As text, each body is a line (JSON text has no line breaks, so SQL can cut it
 * too), and the CRC-32 is written in 7 digits of base 36.
 *
 * @param bodies - consecutive bodies; each is checked, because nobody looks at its own checksum in the segment
 * @param form - what the driver stores
 * @throws DamagedError
 */
export async function packSegment(bodies: readonly Body[], form: 'deflate' | 'text'): Promise<Uint8Array | string> {
  const texts = bodies.map((body) => body.text);
  for (const text of texts) checkedJson(text);
  const plain = `${texts.map((text) => text.length).join(' ')}\n${texts.join(form === 'text' ? '\n' : '')}`;
  if (form === 'text') return MARK_TEXT + crc32(plain).toString(36).padStart(7, '0') + plain;
  const packed = await deflate(plain);
  const out = Buffer.allocUnsafe(packed.length + 5);
  out[0] = MARK_DEFLATE;
  out.writeUInt32LE(crc32(packed), 1);
  packed.copy(out, 5);
  return out;
}

/**
 * Unpacks a segment.
 *
 * @param segment - as stored
 * @returns its bodies in order, `segment.to - segment.from` of them
 * @throws DamagedError
 */
export async function unpackSegment(segment: Segment): Promise<Body[]> {
  const plain = typeof segment.data === 'string' ? plainOf(segment.data) : await inflated(segment.data);
  const cut = plain.indexOf('\n');
  const lengths = plain.slice(0, cut).split(' ').map(Number);
  if (cut < 0 || lengths.length !== segment.to - segment.from) throw new DamagedError('segment holds another number of messages');
  const bodies: Body[] = [];
  const between = typeof segment.data === 'string' ? 1 : 0;
  let at = cut + 1;
  for (const length of lengths) {
    const text = plain.slice(at, at + length);
    at += length + between;
    bodies.push(trustedBody(text));
  }
  if (at - between !== plain.length) throw new DamagedError('segment has another length');
  return bodies;
}

function plainOf(data: string): string {
  const plain = data.slice(8);
  if (data[0] !== MARK_TEXT || data.slice(1, 8) !== crc32(plain).toString(36).padStart(7, '0')) {
    throw new DamagedError('segment checksum does not match');
  }
  return plain;
}

async function inflated(data: Uint8Array): Promise<string> {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length < 5 || bytes[0] !== MARK_DEFLATE) throw new DamagedError('unknown segment format');
  const packed = bytes.subarray(5);
  // checked before inflating: damaged bytes could otherwise inflate without bound
  if (bytes.readUInt32LE(1) !== crc32(packed)) throw new DamagedError('segment checksum does not match');
  try {
    return (await inflate(packed)).toString('utf8');
  } catch {
    throw new DamagedError('segment does not inflate');
  }
}
