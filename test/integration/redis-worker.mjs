// A process of its own for the Redis tests: node redis-worker.mjs URL PREFIX CONVERSATION NAME COUNT
// Appends COUNT messages NAME-1, NAME-2, … to CONVERSATION.
import { fileURLToPath } from 'node:url';

const dist = process.env.JAF_DIST ?? fileURLToPath(new URL('../../dist', import.meta.url));
const [url, keyPrefix, conversation, name, count] = process.argv.slice(2);

const { createRedisProvider, unwrap, user } = await import(`${dist}/memory/index.js`);
const provider = await createRedisProvider({ url, keyPrefix, deadline: 60_000 });
for (let n = 1; n <= Number(count); n++)
  unwrap(await provider.appendMessages(conversation, [user(`${name}-${n}`)], undefined, { createIfMissing: true }));
await provider.close();
