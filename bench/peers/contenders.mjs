// Who is compared on which store, and against whom. Of jaf there is one for each client a peer uses, and one under the Node
// that a peer needs, so that only the libraries differ.

/**
 * @typedef {{ name: string, adapter: string, package?: string, node?: 24, options?: object, base?: string, without?: Record<string, string>, cannot?: { list?: string } }} Peer
 * `base`: the jaf it is compared with; `without`: cases it is left out of, and why; `cannot`: what it has no method for
 */

const JAF = 'jaf';
const HISTORY = { list: 'a history knows its session only: there are no users and no list' };
const TOO_SLOW = 'seconds a turn: its time grows with the messages held';

/** @type {Record<string, readonly Peer[]>} */
export const CONTENDERS = {
  memory: [
    { name: JAF, adapter: 'jaf' },
    { name: '@openai/agents MemorySession', adapter: 'openai-agents', base: JAF, cannot: HISTORY },
    { name: '@xynehq/jaf in-memory', adapter: 'xynehq-jaf', base: JAF },
  ],
  redis: [
    { name: JAF, adapter: 'jaf' },
    { name: `${JAF} (ioredis)`, adapter: 'jaf', options: { client: 'ioredis' } },
    { name: '@langchain/redis', adapter: 'langchain-redis', base: JAF, cannot: HISTORY },
    { name: '@langchain/community ioredis', adapter: 'langchain-ioredis', base: `${JAF} (ioredis)`, cannot: HISTORY },
    { name: '@xynehq/jaf Redis', adapter: 'xynehq-jaf', base: JAF },
  ],
  postgres: [
    { name: JAF, adapter: 'jaf' },
    { name: `${JAF} (Node 24)`, adapter: 'jaf', node: 24 },
    { name: '@langchain/community Postgres', adapter: 'langchain-postgres', base: JAF, cannot: HISTORY },
    {
      name: 'LangGraph PostgresSaver',
      package: '@langchain/langgraph-checkpoint-postgres',
      adapter: 'langgraph-postgres',
      base: JAF,
      cannot: { list: 'threads have no users and no time of change' },
      without: {
        'N = 10,000': TOO_SLOW,
        '500 messages': 'each turn writes all messages again: a size depends on how long the conversation is',
      },
    },
    { name: '@voltagent/postgres', adapter: 'voltagent-postgres', base: JAF },
    { name: '@voltagent/postgres one by one', adapter: 'voltagent-postgres', base: JAF, options: { each: true } },
    { name: '@xynehq/jaf Postgres', adapter: 'xynehq-jaf', base: JAF },
    { name: '@mastra/pg', adapter: 'mastra-pg', node: 24, base: `${JAF} (Node 24)` },
  ],
};
