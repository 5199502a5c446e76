/**
 * The way from a provider to its core, for what this package builds on providers (export, erasure, sweeps). Not public:
 * every such function must also work on a provider it only knows by its methods.
 *
 * @module
 */
import type { Core } from './core.js';
import type { ConversationMemory, ConversationSnapshot, MemoryQuery } from './types.js';

/** What {@link internalsOf} answers. */
export interface Internals {
  readonly core: Core;
  /** The user of a `forUser` handle. */
  readonly scope: string | undefined;
  /** Like `iterateConversations`, with the first sequence of each. */
  snapshots(query: MemoryQuery): AsyncIterable<ConversationSnapshot>;
  /** Like `iterateConversations`, with the stored bytes of each; in order of creation (default) or of last write. */
  sized(
    query: MemoryQuery,
    by?: 'created' | 'updated',
  ): AsyncIterable<{ readonly conversation: ConversationMemory; readonly bytes: number }>;
}

/** The key under which a provider keeps its internals. */
export const INTERNALS: unique symbol = Symbol('jaf.internals');

/** The internals of one of our providers; undefined for a provider somebody else wrote. */
export function internalsOf(provider: object): Internals | undefined {
  return (provider as { [INTERNALS]?: Internals })[INTERNALS];
}
