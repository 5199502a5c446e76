/**
 * Bytes to lines.
 *
 * @module
 */
import { isUtf8 } from 'node:buffer';
import type { SourceLine } from '../memory/backup-lines.js';
import { DamagedStream } from './compression.js';

const NEWLINE = 10;

/**
 * Cuts bytes into lines, without line breaks. A line that is too long or no UTF-8, and the place where a packed stream is damaged,
 * come as problems.
 *
 * @param chunks - of any size
 * @param limit - bytes of a line
 */
export async function* linesOf(chunks: AsyncIterable<Buffer>, limit: number): AsyncGenerator<SourceLine, void, undefined> {
  let parts: Buffer[] = [];
  let size = 0;
  const keep = (part: Buffer): void => {
    size += part.length;
    // what is too long is counted, not kept
    if (size <= limit) parts.push(part);
    else parts = [];
  };
  const line = (): SourceLine => {
    const whole = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    const tooLong = size > limit;
    parts = [];
    size = 0;
    if (tooLong) return { problem: `longer than ${limit} bytes` };
    return isUtf8(whole) ? whole.toString('utf8') : { problem: 'not UTF-8' };
  };
  try {
    for await (const chunk of chunks) {
      let from = 0;
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
        keep(chunk.subarray(from, at));
        yield line();
        from = at + 1;
      }
      if (from < chunk.length) keep(chunk.subarray(from));
    }
  } catch (error) {
    if (!(error instanceof DamagedStream)) throw error;
    yield { problem: `the packed data is damaged from here on (${error.message})` };
    return;
  }
  if (size > 0) yield line();
}
