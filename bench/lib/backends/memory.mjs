// In this process: the provider, and a Map of arrays.
import { createInMemoryProvider } from 'jaf/memory';
import { jafStore, PATIENT } from './jaf.mjs';

/** Opens the backend. */
export async function openMemory() {
  return {
    provider: 'memory',
    versions: {},
    jaf: {
      jaf: async (options) =>
        jafStore(createInMemoryProvider({ maxConversations: 10_000_000, maxMessages: 100_000_000, ...PATIENT, ...options })),
    },
    bare: { 'bare Map': bareMap },
    settle: async () => globalThis.gc?.(),
    close: async () => undefined,
  };
}

/** Keeps the very objects it is given, unlike any store that must not change when its caller's objects do. */
async function bareMap() {
  const map = new Map();
  return {
    fill: async (id, messages) => void (map.get(id)?.push(...messages) ?? map.set(id, [...messages])),
    append: async (id, turn) => map.get(id).push(...turn),
    recent: async (id, limit) => map.get(id).slice(-limit),
    whole: async (id) => map.get(id).slice(),
    count: async (id) => map.get(id).length,
    close: async () => map.clear(),
  };
}
