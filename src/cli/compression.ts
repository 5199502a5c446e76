/**
 * gzip and zstd around a stream of bytes.
 *
 * @module
 */
import type { Duplex } from 'node:stream';
import * as zlib from 'node:zlib';
import { UsageError } from './session.js';

/** How bytes are packed. */
export type Compression = 'none' | 'gzip' | 'zstd';

/** What newer versions of Node have beside the declared ones. */
const newer = zlib as {
  readonly createZstdCompress?: () => Duplex;
  readonly createZstdDecompress?: (options?: { readonly finishFlush?: number }) => Duplex;
};

const noZstd = (): UsageError =>
  new UsageError(`this Node (${process.version}) has no zstd. Use gzip, Node 22.15 or newer, or the program zstd in a pipe.`);

/**
 * What `--compress` or the name of a file asks for.
 *
 * @throws UsageError for another word, and for zstd where Node has none
 */
export function compressionOf(asked: string | undefined, file: string | undefined): Compression {
  const kind = asked ?? (file?.endsWith('.gz') ? 'gzip' : file?.endsWith('.zst') ? 'zstd' : 'none');
  if (kind !== 'none' && kind !== 'gzip' && kind !== 'zstd')
    throw new UsageError(`--compress must be none, gzip or zstd, got ${JSON.stringify(kind.slice(0, 60))}.`);
  if (kind === 'zstd' && !newer.createZstdCompress) throw noZstd();
  return kind;
}

/** Packs; `undefined` for none. @throws UsageError where Node has no zstd */
export function packer(kind: Compression): Duplex | undefined {
  if (kind === 'none') return undefined;
  if (kind === 'gzip') return zlib.createGzip();
  if (!newer.createZstdCompress) throw noZstd();
  return newer.createZstdCompress();
}

/** Thrown by {@link unpacked} behind everything that could be unpacked. */
export class DamagedStream extends Error {}

const MAGIC: readonly (readonly [kind: Compression, bytes: Buffer])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
];

/**
 * Unpacks what its first bytes say is packed. Of a stream that was cut, everything that is there comes out, and no error.
 *
 * @param source - in chunks of moderate size: what one chunk unpacks to is held in memory
 * @throws DamagedStream, behind what comes before the damage; UsageError where Node has no zstd
 */
export async function* unpacked(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const chunks = source[Symbol.asyncIterator]();
  try {
    let head: Buffer = Buffer.alloc(0);
    let next = await chunks.next();
    while (!next.done && head.length + next.value.length < 4) {
      head = Buffer.concat([head, next.value]);
      next = await chunks.next();
    }
    if (!next.done) head = Buffer.concat([head, next.value]);
    const kind = MAGIC.find(([, bytes]) => head.subarray(0, bytes.length).equals(bytes))?.[0] ?? 'none';
    const rest = async function* (): AsyncGenerator<Buffer> {
      yield head;
      for (let chunk = await chunks.next(); !chunk.done; chunk = await chunks.next()) yield chunk.value;
    };
    if (kind === 'none') yield* rest();
    else yield* through(kind, rest());
  } finally {
    await chunks.return?.();
  }
}

async function* through(kind: 'gzip' | 'zstd', source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  if (kind === 'zstd' && !newer.createZstdDecompress) throw noZstd();
  const { ZSTD_e_flush: flush = 1 } = zlib.constants as { readonly ZSTD_e_flush?: number };
  const stream =
    kind === 'gzip'
      ? zlib.createGunzip({ finishFlush: zlib.constants.Z_SYNC_FLUSH })
      : (newer.createZstdDecompress as NonNullable<typeof newer.createZstdDecompress>)({ finishFlush: flush });
  const out: Buffer[] = [];
  let failure: Error | undefined;
  stream.on('data', (chunk: Buffer) => out.push(chunk));
  const ended = new Promise<void>((resolve) => {
    stream.once('error', (error: Error) => {
      failure = error;
      resolve();
    });
    stream.once('end', resolve);
  });
  try {
    for await (const chunk of source) {
      // a write that fails is not answered
      await Promise.race([new Promise<void>((resolve) => stream.write(chunk, () => resolve())), ended]);
      yield* out.splice(0);
      if (failure) break;
    }
    if (!failure) stream.end();
    await ended;
    yield* out.splice(0);
    if (failure) throw new DamagedStream((failure as NodeJS.ErrnoException).code ?? failure.name);
  } finally {
    stream.destroy();
  }
}
