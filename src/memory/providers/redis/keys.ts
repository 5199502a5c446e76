/**
 * Names of keys. A namespace is split in buckets by conversation id; all keys of a bucket begin with the same hash tag, so a
 * conversation and the indexes it is in share a slot of a cluster. lua/lib-index.lua says what the keys hold.
 *
 * @module
 */
import { crc32 } from 'node:zlib';

/** Default of `keyPrefix`. */
export const KEY_PREFIX = 'jaf:memory:';

/** The bucket of a conversation. */
export function bucketOf(id: string, buckets: number): number {
  return buckets === 1 ? 0 : crc32(id) % buckets;
}

/** Names of the keys of one namespace. */
export class Keys {
  readonly #prefix: string;
  readonly #tags: string[] = [];

  /** @param prefix - without braces */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** What all keys of the namespace begin with. */
  get start(): string {
    return `{${this.#prefix}#`;
  }

  /** A hash: the secret of the store, the number of its buckets, the version of its format. */
  get settings(): string {
    return `{${this.#prefix}#}settings`;
  }

  /** What all keys of a bucket begin with. `#` keeps the buckets of `a` apart from those of `a1`. */
  tag(bucket: number): string {
    return (this.#tags[bucket] ??= `{${this.#prefix}#${bucket}}`);
  }

  /** KEYS of the bucket in write.lua and remove.lua. */
  bucket(tag: string): string[] {
    return [`${tag}u`, `${tag}r`, `${tag}e`, `${tag}d`, `${tag}x`, `${tag}f`, `${tag}l`, this.none(tag)];
  }

  /** KEYS of a conversation: header, the two lists of bodies, segments and their directory, operations. */
  conversation(tag: string, id: string): string[] {
    return [...this.readable(tag, id), `${tag}o:${id}`];
  }

  /** KEYS of a conversation that a read needs. */
  readable(tag: string, id: string): string[] {
    return [`${tag}c:${id}`, `${tag}m0:${id}`, `${tag}m1:${id}`, `${tag}s:${id}`, `${tag}n:${id}`];
  }

  /** The index of all conversations of a bucket, or of those of a user. */
  index(tag: string, of: 'updated' | 'created' | 'expires', owner: string | undefined): string {
    const name = of === 'updated' ? 'u' : of === 'created' ? 'r' : 'e';
    return owner === undefined ? tag + name : `${tag}${name.toUpperCase()}:${owner}`;
  }

  /** A key that never holds anything. */
  none(tag: string): string {
    return `${tag}none`;
  }
}
