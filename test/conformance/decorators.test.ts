// What stands around a provider is held to what a provider is held to: withCache over stores whose cache is kept, forgets, or
// fails, and withFallback with a primary that is cut at random.
import { createInMemoryProvider, withCache, withFallback } from 'jaf/memory';
import { type Backend, inMemoryBackend, seededRandom, sqliteBackend } from 'jaf/memory/testing';
import { cutReads, publicOnly } from '../support/cuts.js';
import { conformance as allCases } from './conformance.js';

/** All cases but the one that counts trips of reads: asking first, or asking another store, is what a decorator is for. */
const conformance = (backend: Backend): void =>
  allCases(backend, { filter: (id) => id !== 'trips: an operation is one trip, however long the conversation' });

conformance({
  ...inMemoryBackend(),
  name: 'withCache(memory, memory)',
  decorate: (provider, clock) => withCache(provider, createInMemoryProvider({ clock: clock.now }), { clock: clock.now }),
});
conformance({
  ...inMemoryBackend(),
  name: 'withCache(a provider known by its methods, a small cache that fails at random)',
  decorate: (provider, clock) => {
    const random = seededRandom(7);
    const fast = createInMemoryProvider({ clock: clock.now, maxConversations: 2, maxMessages: 5 });
    return withCache(publicOnly(provider), publicOnly(cutReads(fast, () => random() < 0.3)), { clock: clock.now });
  },
});
conformance({
  ...inMemoryBackend(),
  name: 'withFallback(memory that is cut at random, the same memory)',
  decorate: (provider) => {
    const random = seededRandom(3);
    return withFallback(
      cutReads(provider, () => random() < 0.4),
      provider,
    );
  },
});
conformance({
  ...sqliteBackend(),
  name: 'withFallback(withCache(sqlite, memory), sqlite)',
  decorate: (provider, clock) =>
    withFallback(withCache(provider, createInMemoryProvider({ clock: clock.now }), { clock: clock.now }), provider),
});
