/**
 * The way from a provider to its core, for what this package builds on providers (export, erasure, sweeps). Not public:
 * every such function must also work on a provider it only knows by its methods.
 *
 * @module
 */
import type { Core } from './core.js';
import type { MemoryStorageError } from './errors.js';
import type { ConversationMemory, ConversationSnapshot, MemoryQuery } from './types.js';

/** A whole conversation, or why its stored data cannot be decoded (`corrupt`). */
export type Reading =
  | { readonly id: string; readonly snapshot: ConversationSnapshot; readonly error?: never }
  | { readonly id: string; readonly error: MemoryStorageError; readonly snapshot?: never };

/** What {@link internalsOf} answers. */
export interface Internals {
  readonly core: Core;
  /** The user of a `forUser` handle. */
  readonly scope: string | undefined;
  /** Like `iterateConversations`, each exactly as it is stored, and damaged ones as what is wrong with them. */
  readings(query: MemoryQuery): AsyncIterable<Reading>;
  /** Like `iterateConversations`, with the stored bytes of each; in order of creation (default) or of last write. */
  sized(
    query: MemoryQuery,
    by?: 'created' | 'updated',
  ): AsyncIterable<{ readonly conversation: ConversationMemory; readonly bytes: number }>;
  /** Erases copies that are kept in other stores; `eraseUser` calls it last. Absent: there are none. */
  eraseCopies?(userId: string, erasure: CopyErasure): Promise<void>;
}

/** What an erasure says to those who keep copies: until when (ms) a late write is refused, and whether legal holds go too. */
export interface CopyErasure {
  readonly until: number;
  readonly allowHold: boolean;
}

/** The key under which a provider keeps its internals. */
export const INTERNALS: unique symbol = Symbol('jaf.internals');

/** The internals of one of our providers; undefined for a provider somebody else wrote. */
export function internalsOf(provider: object): Internals | undefined {
  return (provider as { [INTERNALS]?: Internals })[INTERNALS];
}
