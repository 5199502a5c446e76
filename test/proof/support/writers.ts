/** Writers that go on whatever happens to the store, and what became of what they wrote. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MemoryError, type MemoryProvider, textOf, user } from 'jaf/memory';
import { expect } from 'vitest';

/** Conversations that are written to at the same time. */
export const LANES = 8;
/** Milliseconds a call may take beyond its deadline on a busy machine. */
const SLACK = 5000;

/** What was answered, and what was there afterwards. */
export interface Tally {
  acknowledged: number;
  lost: number;
  doubled: number;
  reordered: number;
  unknown: number;
  'not applied': number;
  /** There, although the writer was told that it was not applied. */
  'there although refused': number;
}

/** Nothing yet. */
export const noTally = (): Tally => ({
  acknowledged: 0,
  lost: 0,
  doubled: 0,
  reordered: 0,
  unknown: 0,
  'not applied': 0,
  'there although refused': 0,
});

/** How to write, and through what. */
export interface Through {
  readonly open: () => Promise<MemoryProvider>;
  /** Milliseconds: that of the provider. */
  readonly deadline: number;
  /** What looks at the end: past the trouble. */
  readonly direct: () => Promise<MemoryProvider>;
  /** Of the conversations' ids. */
  readonly prefix: string;
  /** Names of the errors that calls may fail with. */
  readonly errors?: readonly string[];
  /** What happens meanwhile, once: it returns when all is well again. */
  readonly troubles: readonly (() => Promise<void>)[];
}

/**
 * Writes to {@link LANES} conversations, one append after the other in each, through one trouble after the other. After each
 * one writing must go on by itself.
 */
export async function writeThrough(through: Through): Promise<Tally> {
  const { deadline, prefix, troubles, errors = ['MemoryConnectionError'] } = through;
  const tally = noTally();
  const provider = await through.open();
  const stop = new AbortController();
  const acknowledged: string[][] = Array.from({ length: LANES }, () => []);
  const refused: Set<string>[] = Array.from({ length: LANES }, () => new Set());
  const lane = async (which: number): Promise<void> => {
    for (let n = 1; !stop.signal.aborted; n++) {
      const began = performance.now();
      const result = await provider.appendMessages(`${prefix}-${which}`, [user(`${n}`)], undefined, { createIfMissing: true });
      expect(performance.now() - began).toBeLessThan(deadline + SLACK); // it ends
      if (result.ok) acknowledged[which]?.push(`${n}`);
      else {
        const { outcome, name } = result.error;
        expect(errors).toContain(name);
        tally[outcome === 'unknown' ? 'unknown' : 'not applied']++;
        if (outcome === 'not_applied') refused[which]?.add(`${n}`);
        await sleep(10);
      }
      if (n % 10 === 0)
        await provider.getRecentMessages(`${prefix}-${which}`, 5).catch((error: MemoryError) => expect(errors).toContain(error.name));
    }
  };
  const all = Promise.all(Array.from({ length: LANES }, (_, which) => lane(which)));
  all.catch(() => stop.abort());
  const count = (): number => acknowledged.reduce((sum, list) => sum + list.length, 0);
  const goesOn = async (): Promise<void> => {
    const before = count();
    await expect.poll(() => stop.signal.aborted || count() > before + LANES, { timeout: 40_000 }).toBe(true);
  };
  try {
    await goesOn();
    for (const trouble of troubles) {
      await sleep(300);
      await trouble();
      await goesOn();
    }
  } finally {
    stop.abort();
    await all;
    await provider.close();
  }
  await using direct = await through.direct();
  for (let which = 0; which < LANES; which++) {
    const there = ((await direct.getConversation(`${prefix}-${which}`))?.messages ?? []).map(textOf);
    const set = new Set(there);
    tally.doubled += there.length - set.size;
    tally.acknowledged += acknowledged[which]?.length ?? 0;
    tally.lost += (acknowledged[which] ?? []).filter((text) => !set.has(text)).length;
    tally.reordered += there.filter((text, i) => Number(text) < Number(there[i - 1] ?? 0)).length;
    tally['there although refused'] += there.filter((text) => refused[which]?.has(text)).length;
  }
  return tally;
}
