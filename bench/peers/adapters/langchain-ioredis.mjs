// @langchain/community: RedisChatMessageHistory for ioredis, one object a session, one client shared by all of them.
import { RedisChatMessageHistory } from '@langchain/community/stores/message/ioredis';
import { Redis } from 'ioredis';
import { historyOf } from './langchain-redis.mjs';

export async function open({ url }) {
  const client = new Redis(url);
  return { ...historyOf((sessionId) => new RedisChatMessageHistory({ sessionId, client })), close: () => client.quit() };
}
