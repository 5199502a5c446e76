// A process of its own for the Redis tests: node redis-writer.mjs CLIENT URL PREFIX CONVERSATION NAME COUNT
// Appends COUNT messages NAME-1, NAME-2, … to CONVERSATION through CLIENT: own, node-redis or ioredis.
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { createClient } from 'redis';

const dist = process.env.JAF_DIST ?? fileURLToPath(new URL('../../dist', import.meta.url));
const [kind, url, keyPrefix, conversation, name, count] = process.argv.slice(2);

const { createRedisProvider, unwrap, user } = await import(`${dist}/memory/index.js`);
let client;
let end = () => undefined;
if (kind === 'ioredis') {
  const io = new Redis(url);
  io.on('error', () => undefined); // connections are killed
  await new Promise((resolve) => io.once('ready', resolve));
  client = io;
  // not quit(): it fails when the connection is killed before the server answers it
  end = () => io.disconnect();
} else if (kind === 'node-redis') {
  const node = createClient({ url, disableOfflineQueue: true });
  node.on('error', () => undefined);
  await node.connect();
  client = node;
  end = () => node.destroy();
}
for (;;) {
  try {
    const provider = await createRedisProvider(client ? { keyPrefix, deadline: 30_000 } : { url, keyPrefix, deadline: 30_000 }, client);
    for (let n = 1; n <= Number(count); n++)
      unwrap(await provider.appendMessages(conversation, [user(`${name}-${n}`)], undefined, { createIfMissing: true }));
    await provider.close();
    break;
  } catch (error) {
    // opening is not repeated by itself; a failed append is not to be repeated here
    if (!/createRedisProvider/.test(String(error))) throw error;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
end();
