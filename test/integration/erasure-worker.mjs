// Writes for a user until it is told to stop: `node erasure-worker.mjs CONFIG USER CONVERSATIONS`, CONFIG as JSON.
// Prints what became of the writes as JSON.
import { createMemoryProvider, user } from 'jaf/memory';

const [config, owner, conversations] = process.argv.slice(2);
const provider = await createMemoryProvider({ ...JSON.parse(config), deadline: 30_000 });
const outcomes = {};
const stop = new AbortController();
process.on('message', () => stop.abort());
const count = Number(conversations);
for (let n = 0; !stop.signal.aborted; n++) {
  const pick = Math.floor(Math.random() * count);
  const text = [user(`private words of ${owner}, late ${process.pid}-${n}`)];
  const named = { createIfMissing: true, operationId: `${owner}-op-${process.pid}-${n}` };
  const results = await Promise.all([
    provider.appendMessages(`${owner}:${pick}`, text, { note: owner }, { ...named, userId: owner }),
    provider.forUser(owner).appendMessages(`${owner}:new-${process.pid}-${n}`, text, {}, named),
    provider.storeMessages(`${owner}:${(pick + 1) % count}`, text, {}, { userId: owner, ttl: 3600 }),
    // names nobody: it may only add to what is there
    provider.appendMessages(`${owner}:${(pick + 2) % count}`, text, {}),
  ]);
  for (const result of results) {
    const outcome = result.ok ? 'ok' : result.error.code;
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  process.send(outcomes);
  await new Promise((turn) => setImmediate(turn));
}
await provider.close();
process.disconnect();
