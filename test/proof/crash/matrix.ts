/** Kills a writer, its server, or both, and compares what was acknowledged with what is there afterwards. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createMemoryProvider, type MemoryProviderConfig, textOf } from 'jaf/memory';

const LANES = 6;
const WRITER = fileURLToPath(new URL('./writer.mjs', import.meta.url));

/** What is killed. */
export type Victim = 'client' | 'server' | 'both';

/** What a cell of the matrix adds up over its runs. */
export interface Cell {
  runs: number;
  acknowledged: number;
  lost: number;
  doubled: number;
  reordered: number;
  /** Not acknowledged, and there: of unknown fate, or under way when the writer died. */
  'there without an answer': number;
  /** There, although the writer was told that it was not applied. */
  'there although refused': number;
}

/** Nothing yet. */
export const noCell = (): Cell => ({
  runs: 0,
  acknowledged: 0,
  lost: 0,
  doubled: 0,
  reordered: 0,
  'there without an answer': 0,
  'there although refused': 0,
});

interface Writer {
  readonly child: ChildProcess;
  readonly acknowledged: Set<string>;
  readonly refused: Set<string>;
  readonly answers: () => number;
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
}

function startWriter(config: MemoryProviderConfig, name: string): Writer {
  const child = spawn(process.execPath, [WRITER, JSON.stringify(config), name, String(LANES)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const acknowledged = new Set<string>();
  const refused = new Set<string>();
  let answers = 0;
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise<void>((resolve, reject) => {
    void ended.then(() => reject(new Error(`the writer ${name} ended by itself`)));
    lines.on('line', (line) => {
      const [sign, lane = '', n = ''] = line.split(' ');
      const key = `${lane} ${name}-${n}`;
      if (sign === 'ready') resolve();
      else answers++;
      if (sign === '+') acknowledged.add(key);
      if (sign === '-') refused.add(key);
      else refused.delete(key);
    });
  });
  return { child, acknowledged, refused, answers: () => answers, ready, ended };
}

async function until(what: string, test: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !test(); await sleep(5)) if (Date.now() > end) throw new Error(`${what}: nothing in 60 s`);
}

/**
 * One run: a writer, a kill at a random moment, then a look.
 *
 * @param config - of a store that only this run uses
 * @param victim - see {@link Victim}
 * @param server - what is killed and started again
 * @param cell - is added to
 */
export async function crashOnce(
  config: MemoryProviderConfig,
  victim: Victim,
  server: { kill(): Promise<void>; start(): Promise<void> } | undefined,
  cell: Cell,
): Promise<void> {
  const writers: Writer[] = [];
  const write = async (name: string): Promise<Writer> => {
    const writer = startWriter(config, name);
    writers.push(writer);
    await writer.ready;
    return writer;
  };
  const first = await write('a');
  await until('the first answers', () => first.answers() > LANES * 5);
  await sleep(Math.random() * 300);
  if (victim !== 'server') first.child.kill('SIGKILL');
  if (victim !== 'client') {
    await server?.kill();
    await server?.start();
  }
  if (victim === 'server') {
    const before = first.acknowledged.size;
    await until('answers after the restart', () => first.acknowledged.size > before + LANES);
    first.child.kill('SIGKILL');
  } else {
    // the next process goes on
    const second = await write('b');
    await until('answers of the second writer', () => second.answers() > LANES * 5);
    second.child.kill('SIGKILL');
  }
  await Promise.all(writers.map((writer) => writer.ended));
  await look(config, writers, cell);
  cell.runs++;
}

async function look(config: MemoryProviderConfig, writers: readonly Writer[], cell: Cell): Promise<void> {
  await using provider = await createMemoryProvider({ ...config, deadline: 30_000 });
  for (let lane = 0; lane < LANES; lane++) {
    const there = ((await provider.getConversation(`crash-${lane}`))?.messages ?? []).map(textOf);
    const set = new Set(there);
    cell.doubled += there.length - set.size;
    for (const { acknowledged, refused } of writers) {
      for (const key of acknowledged) {
        const [of, text = ''] = key.split(' ');
        if (of !== String(lane)) continue;
        cell.acknowledged++;
        if (!set.has(text)) cell.lost++;
      }
      for (const key of refused)
        if (key.startsWith(`${lane} `) && set.has(key.slice(key.indexOf(' ') + 1))) cell['there although refused']++;
    }
    for (const text of there)
      if (!writers.some(({ acknowledged }) => acknowledged.has(`${lane} ${text}`))) cell['there without an answer']++;
    for (const name of ['a', 'b']) {
      const numbers = there.filter((text) => text.startsWith(name)).map((text) => Number(text.slice(2)));
      cell.reordered += numbers.filter((n, i) => n < (numbers[i - 1] ?? 0)).length;
    }
    // the second writer began after the first was dead
    const last = there.findLastIndex((text) => text.startsWith('a'));
    cell.reordered += there.slice(0, last + 1).filter((text) => text.startsWith('b')).length;
  }
}
