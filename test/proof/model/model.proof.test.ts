// Random programs of several clients on every backend, with faults between the round trips. JAF_PROOF_PROGRAMS: how many per
// backend; JAF_PROOF_SEED: which; JAF_PROOF_BACKENDS: only these; JAF_PROOF_REPLAY: again and again
// the one program that a failure names.
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { brokenDrivers, type FakeClock, fakeClock } from 'jaf/memory/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StorageDriver } from '../../../src/memory/driver.js';
import { found, setting } from '../support/results.js';
import { BACKENDS, type Running, startBackend } from './backends.js';
import { type Counts, noCounts, runProgram } from './execute.js';
import { type Program, program } from './programs.js';

const PROGRAMS = setting('PROGRAMS', 300);
const SEED = setting('SEED', 20_261_123);
/** Programs at the same time, each in a store of its own: most of a program's time is spent waiting. */
const LANES = 8;
const OPERATIONS = ['store', 'append', 'restore', 'get', 'recent', 'page', 'find', 'iterate', 'delete', 'clear', 'purge', 'stats', 'erase'];

/** What these do wrong comes up once in thousands of programs; the kit's own cases catch each of them. */
const SELDOM: ReadonlySet<string> = new Set([
  // findConversations sorts what it has found, and programs are too short for pages
  'wrong order on equal times',
  'a pack that crosses epochs',
  'leftovers below first',
  'limit 0 = all',
  'expiry a millisecond late',
  'ids in UTF-16 order',
  'a retry ring that overflows',
]);

/** Programs that are made from one seed; a failure names the seed and the place. */
const CHUNK = 100;
/** Failures of a lane after which it goes no further. */
const PATIENCE = Math.max(3, Math.ceil(PROGRAMS / 2000));
const replay = /^(-?\d+):(\d+)$/
  .exec(process.env['JAF_PROOF_REPLAY'] ?? '')
  ?.slice(1)
  .map(Number);

const asked = process.env['JAF_PROOF_BACKENDS']?.split(',');
const backends = BACKENDS.filter((name) => asked?.includes(name) ?? true);

/** The programs of a lane, with their names. */
function* programsOf(lane: number, size: number): Generator<readonly [name: string, Program]> {
  if (replay) {
    const [seed = 0, place = 0] = replay;
    const one = fc.sample(program, { seed, numRuns: CHUNK })[place];
    if (one) for (let n = 0; n < size; n++) yield [`${seed}:${place}`, one];
    return;
  }
  for (let begun = 0; begun < size; begun += CHUNK) {
    const seed = crc32(`${SEED} ${lane} ${begun}`) | 0;
    const all = fc.sample(program, { seed, numRuns: CHUNK });
    for (const [place, one] of all.slice(0, size - begun).entries()) yield [`${seed}:${place}`, one];
  }
}

/** One program after the other; time goes on from one to the next. Answers what was found. */
async function runLane(
  drivers: readonly StorageDriver[],
  clock: FakeClock,
  programs: number,
  lane: number,
  counts: Counts,
  patience = PATIENCE,
): Promise<readonly Error[]> {
  const failures: Error[] = [];
  for (const [name, one] of programsOf(lane, programs)) {
    // not made smaller: what is seen depends on the store's own timing, and a smaller program would mostly pass
    await runProgram(drivers, clock, one, counts).catch((cause: unknown) =>
      failures.push(new Error(`JAF_PROOF_REPLAY=${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })),
    );
    if (failures.length >= patience) break;
  }
  return failures;
}

const sum = (numbers: Readonly<Record<string, number>>): number => Object.values(numbers).reduce((a, b) => a + b, 0);

describe.each(backends)('%s', (name) => {
  let running: Running;
  beforeAll(async () => {
    running = await startBackend(name);
  }, 120_000);
  afterAll(() => running?.stop());

  it(`${PROGRAMS} programs: each history has an order`, { timeout: 0 }, async () => {
    const counts = noCounts();
    const lane = async (n: number): Promise<readonly Error[]> => {
      const clock = fakeClock();
      const drivers = await running.open(n, clock.now);
      const failures = await runLane(drivers, clock, Math.ceil(PROGRAMS / LANES), n, counts);
      for (const driver of drivers) await driver.close();
      return failures;
    };
    const failures = (await Promise.all(Array.from({ length: LANES }, (_, n) => lane(n)))).flat();
    for (const { message } of failures) console.error(message);
    found({
      part: 'model',
      backend: name,
      what: `seed ${SEED}`,
      fault: 'between round trips, clients killed (model)',
      numbers: {
        programs: counts.distinct.size,
        calls: counts.calls,
        acknowledged: counts.acknowledged,
        faults: sum(counts.faults),
        'clients killed': counts.kills,
        'answers lost': counts.unknown,
        'segments packed': counts.packs,
        'programs without a fault': counts.faultless,
        'pairs of operations': `${Object.keys(counts.pairs).length} of ${OPERATIONS.length ** 2}`,
        'rarest pair': Math.min(...Object.values(counts.pairs)),
        'histories without an order': failures.length,
      },
    });
    // one table of all backends needs the same order of columns
    const faults = Object.fromEntries(Object.entries(counts.faults).sort(([a], [b]) => (a < b ? -1 : 1)));
    found({ part: 'faults of the model', backend: name, what: 'times', numbers: faults });
    found({ part: 'pairs', backend: name, what: 'calls that follow each other on a conversation', numbers: counts.pairs });
    const [failure] = failures;
    if (failure) throw failure;
    expect(counts.programs).toBeGreaterThanOrEqual(PROGRAMS);
  });
});

// they are wrapped around the driver in memory
describe.skipIf(!backends.includes('memory'))('what the check is worth', () => {
  // the kit's own cases catch each of them; how many show in histories says what the check sees
  it.each(brokenDrivers)('$name', { timeout: 300_000 }, async (broken) => {
    const running = await startBackend('memory');
    const lane = async (n: number): Promise<readonly Error[]> => {
      const clock = fakeClock();
      const drivers = await running.open(n, clock.now);
      return runLane(drivers.map(broken.wrap), clock, 100, n, noCounts(), 1);
    };
    const caught = (await Promise.all(Array.from({ length: LANES }, (_, n) => lane(n)))).flat().length > 0;
    found({ part: 'broken drivers', backend: 'memory', what: broken.name, numbers: { caught: caught ? 'yes' : 'no' } });
    if (!SELDOM.has(broken.name)) expect(caught).toBe(true);
  });
});
