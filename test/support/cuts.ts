/** Providers whose store is out of reach at times, and providers of which only the public methods are known. */
import { MemoryConnectionError, type MemoryProvider } from 'jaf/memory';

const READS: ReadonlySet<PropertyKey> = new Set(['getConversation', 'getRecentMessages', 'getMessages', 'findConversations', 'getStats']);

const cut = (operation: string, code = 'timeout'): MemoryConnectionError =>
  new MemoryConnectionError(`${operation}: cut by the test. Try again.`, { provider: 'cut', code });

/**
 * A provider whose reads fail when `isCut` says so: before they are sent, or when the answer is lost. A walk may be cut before its
 * first conversation, with `midway` also later. Everything else works.
 */
export function cutReads(provider: MemoryProvider, isCut: () => boolean, { midway = false }: { midway?: boolean } = {}): MemoryProvider {
  const walk = async function* (query: Parameters<MemoryProvider['iterateConversations']>[0]): AsyncGenerator<unknown> {
    if (isCut()) throw cut('iterateConversations');
    for await (const conversation of provider.iterateConversations(query)) {
      yield conversation;
      if (midway && isCut()) throw cut('iterateConversations', 'lost');
    }
  };
  return new Proxy(provider, {
    get(target, name) {
      if (name === 'iterateConversations') return walk;
      if (name === 'forUser') return (userId: string) => cutReads(target.forUser(userId), isCut, { midway });
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (!READS.has(name)) return value.bind(target) as unknown;
      return async (...args: unknown[]) => {
        if (isCut()) throw cut(String(name), 'refused');
        const answer: unknown = await Reflect.apply(value, target, args);
        if (isCut()) throw cut(String(name));
        return answer;
      };
    },
  });
}

/** The same provider with nothing but its public methods, as one that somebody else wrote. */
export function publicOnly(provider: MemoryProvider): MemoryProvider {
  return new Proxy(provider, {
    get(target, name) {
      if (name === 'forUser') return (userId: string) => publicOnly(target.forUser(userId));
      if (typeof name === 'symbol' && name !== Symbol.asyncDispose) return undefined;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
