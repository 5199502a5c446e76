// npm run bench -- redis-size: what conversations take on a Redis server, in bytes of its memory.
// 400-byte messages, appended turn by turn (2 messages) through the public methods, beside the least a server could take: a
// list with the JSON of each message. Bytes are the growth of used_memory (INFO), so nobody else may use the server meanwhile.
// Needs JAF_TEST_REDIS_URL, an idle server; what it makes is removed.
import { createRedisProvider, unwrap } from 'jaf/memory';
import { createClient } from 'redis';
import { turnOf } from './turns.mjs';

const url = process.env.JAF_TEST_REDIS_URL;
if (!url) {
  console.error('Set JAF_TEST_REDIS_URL to an idle server this benchmark may use.');
  process.exit(2);
}
const prefix = `jaf-bench:${process.pid}:`;
const admin = await createClient({ url }).connect();
const used = async () => Number(/used_memory:(\d+)/.exec(await admin.info('memory'))[1]);

async function clear() {
  for await (const keys of admin.scanIterator({ MATCH: `*${prefix}*`, COUNT: 1000 })) if (keys.length > 0) await admin.del(keys);
}

/** Bytes the server's memory grows by. */
async function grown(work) {
  await clear();
  const before = await used();
  await work();
  return (await used()) - before;
}

const idOf = (c) => `user-${c % 1000}:conversation-${c}`;

/** Writes conversations of this many messages. Our scripts are loaded before anything is measured. */
async function provided(conversations, messages, options) {
  const provider = await createRedisProvider({ url, keyPrefix: prefix, ...options });
  for (let held = 0; held < messages; held += 2) {
    const writes = Array.from({ length: conversations }, (_, c) =>
      provider.appendMessages(idOf(c), turnOf(), { topic: 'booking' }, { createIfMissing: true, userId: `user-${c % 1000}` }),
    );
    for (const result of await Promise.all(writes)) unwrap(result);
  }
  await provider.close(); // packing that is under way ends with it
}

async function bareLists(conversations, messages) {
  for (let held = 0; held < messages; held += 2) {
    await Promise.all(
      Array.from({ length: conversations }, (_, c) =>
        admin.rPush(
          `${prefix}${idOf(c)}`,
          turnOf().map((message) => JSON.stringify(message)),
        ),
      ),
    );
  }
}

await provided(1, 300, { compressionThreshold: 100 });
const cases = [
  ['2,000 conversations of 2 messages', 2000, 2],
  ['200 conversations of 50 messages', 200, 50],
  ['10 conversations of 2,000 messages', 10, 2000],
];
const rows = [];
for (const [title, conversations, messages] of cases) {
  const stores = {
    'bare lists': await grown(() => bareLists(conversations, messages)),
    store: await grown(() => provided(conversations, messages, {})),
    'store, compressionThreshold 100': await grown(() => provided(conversations, messages, { compressionThreshold: 100 })),
    'store, ttl': await grown(() => provided(conversations, messages, { ttl: 86_400 })),
  };
  for (const [store, bytes] of Object.entries(stores)) {
    rows.push({
      what: title,
      store,
      'bytes per conversation': Math.round(bytes / conversations),
      'bytes per message': Math.round(bytes / conversations / messages),
      'of bare lists': (bytes / stores['bare lists']).toFixed(2),
    });
  }
}
await clear();
const [, version] = /redis_version:(\S+)/.exec(await admin.info('server')) ?? [];
admin.destroy();
console.log(`Redis ${version}`);
console.table(rows);
