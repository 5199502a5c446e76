// npm run bench -- append: does appending a turn cost the same however long the conversation is?
// A turn = 2 messages of about 400 bytes, appended one after the other to a conversation that holds N messages, through the
// public methods with every guarantee on. Beside it the least each store could do: Map + push, and a bare prepared INSERT of
// two rows in one transaction. The sizes are interleaved within each repetition; printed are medians and their spread.
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInMemoryProvider, createSqliteProvider, unwrap } from 'jaf/memory';
import { turnOf } from './turns.mjs';

const SIZES = [10, 1_000, 100_000];
const REPETITIONS = 12;
const TURNS = 200;

const rotated = (list, by) => [...list.slice(by % list.length), ...list.slice(0, by % list.length)];
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

const folder = mkdtempSync(join(tmpdir(), 'jaf-bench-'));
const { openBareSqlite } = await import('./bare-sqlite.mjs');

async function contenders() {
  const memory = createInMemoryProvider({ maxMessages: 10_000_000 });
  const sqlite = await createSqliteProvider({ path: join(folder, 'jaf.db'), sweep: false });
  const map = new Map(SIZES.map((size) => [`c${size}`, []]));
  const bare = await openBareSqlite(join(folder, 'bare.db'));
  const provided = (provider) => ({
    append: async (id, messages) => unwrap(await provider.appendMessages(id, messages, undefined, { createIfMissing: true })),
    close: () => provider.close(),
  });
  return {
    'in-memory': provided(memory),
    'Map + push': {
      append: async (id, messages) => map.get(id).push(...messages.map((m) => JSON.stringify(m))),
      close: async () => map.clear(),
    },
    'sqlite (normal)': provided(sqlite),
    'bare INSERT': {
      append: async (id, messages) =>
        bare.insert(
          id,
          messages.map((m) => JSON.stringify(m)),
        ),
      close: async () => bare.close(),
    },
  };
}

const all = await contenders();
const times = {};
for (const [name, contender] of Object.entries(all)) {
  times[name] = Object.fromEntries(SIZES.map((size) => [size, []]));
  for (const size of SIZES) {
    for (let held = 0; held < size; held += 1000)
      await contender.append(`c${size}`, Array.from({ length: Math.min(1000, size - held) / 2 }, turnOf).flat());
  }
}
for (let repetition = 0; repetition < REPETITIONS; repetition++) {
  // each repetition begins elsewhere, so that no size and no store is always the one on cold caches
  for (const size of rotated(SIZES, repetition)) {
    for (const [name, contender] of rotated(Object.entries(all), repetition)) {
      const turns = Array.from({ length: TURNS }, turnOf);
      const started = performance.now();
      for (const messages of turns) await contender.append(`c${size}`, messages);
      times[name][size].push(((performance.now() - started) * 1000) / TURNS);
    }
  }
}
for (const contender of Object.values(all)) await contender.close();
rmSync(folder, { recursive: true, force: true });

console.log(
  `node ${process.version}, load ${loadavg()[0].toFixed(1)}, ${REPETITIONS} repetitions of ${TURNS} turns; microseconds a turn: median (fastest–slowest)`,
);
console.table(
  Object.fromEntries(
    Object.entries(times).map(([name, bySize]) => [
      name,
      Object.fromEntries([
        ...SIZES.map((size) => [
          `N=${size}`,
          `${median(bySize[size]).toFixed(1)} (${Math.min(...bySize[size]).toFixed(1)}–${Math.max(...bySize[size]).toFixed(1)})`,
        ]),
        ['100,000 against 10', `${(median(bySize[100_000]) / median(bySize[10])).toFixed(2)} ×`],
      ]),
    ]),
  ),
);
