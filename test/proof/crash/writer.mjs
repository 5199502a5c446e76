// A process of its own that is killed: node writer.mjs CONFIG NAME LANES
// Appends NAME-1, NAME-2, … to each of LANES conversations, and says on a line what became of each once it knows:
// "+ lane n" acknowledged, "? lane n" unknown, "- lane n" not applied (then it is sent again).
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const dist = process.env.JAF_DIST ?? fileURLToPath(new URL('../../../dist', import.meta.url));
const [config, name, lanes] = process.argv.slice(2);
const { createMemoryProvider, user } = await import(`${dist}/memory/index.js`);

let provider;
// the server may be on its way back
while (!provider) {
  try {
    provider = await createMemoryProvider({ ...JSON.parse(config), deadline: 3000 });
  } catch (error) {
    if (error.name !== 'MemoryConnectionError') throw error;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
writeSync(1, 'ready\n');
const lane = async (which) => {
  for (let n = 1; ; n++) {
    const result = await provider.appendMessages(`crash-${which}`, [user(`${name}-${n}`)], undefined, {
      createIfMissing: true,
      compressionThreshold: 50,
    });
    if (result.ok) writeSync(1, `+ ${which} ${n}\n`);
    else {
      writeSync(1, `${result.error.outcome === 'unknown' ? '?' : '-'} ${which} ${n} ${result.error.code}\n`);
      if (result.error.outcome === 'not_applied') n--;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
};
await Promise.all(Array.from({ length: Number(lanes) }, (_, which) => lane(which)));
