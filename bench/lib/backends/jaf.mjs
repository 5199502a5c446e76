// A jaf provider as a store under test: its public methods, with every guarantee on.
import { unwrap } from 'jaf/memory';

/** Options of every provider here: on a busy machine a call may take longer than the 5 seconds of the default, which is no failure of what is measured. */
export const PATIENT = { deadline: 60_000 };

/** Conversations longer than this are counted by their header; shorter ones by what a whole read returns. */
const COUNTED_BY_READING = 20_000;

/** Wraps a provider; `done` comes after it is closed. */
export function jafStore(provider, done) {
  return {
    provider,
    fill: async (id, messages, { userId } = {}) => {
      unwrap(await provider.appendMessages(id, messages, undefined, { createIfMissing: true, userId }));
    },
    append: async (id, turn) => unwrap(await provider.appendMessages(id, turn)),
    recent: (id, limit) => provider.getRecentMessages(id, limit),
    whole: async (id) => (await provider.getConversation(id)).messages,
    count: async (id) => {
      const { messageCount } = await provider.getConversation(id, { messageLimit: 0 });
      return messageCount > COUNTED_BY_READING ? messageCount : (await provider.getConversation(id)).messages.length;
    },
    close: async () => {
      await provider.close();
      await done?.();
    },
  };
}
