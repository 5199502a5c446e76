// @langchain/community: PostgresChatMessageHistory, one object a session, one pool of 10 shared by all of them.
// Its table has no index on session_id: every read walks the whole table. A turn is two INSERTs outside of a transaction.
import { PostgresChatMessageHistory } from '@langchain/community/stores/message/postgres';
import pg from 'pg';
import { historyOf } from './langchain-redis.mjs';

export async function open({ url }) {
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  // each session object would look for the table again at its first call: done once, and taken over
  const first = new PostgresChatMessageHistory({ sessionId: 'first', pool });
  await first.ensureTable();
  const make = (sessionId) => Object.assign(new PostgresChatMessageHistory({ sessionId, pool }), { initialized: true });
  return { ...historyOf(make), close: () => pool.end() };
}
