// The harness: named contenders do the same named cases, turn about within one run. Each repetition begins with another case
// and another contender, so that none is always the one on cold caches or behind somebody's garbage; what is compared are ratios
// within a repetition, so that the load of the machine falls on both sides; reported are medians with quartiles.
import { loadavg } from 'node:os';
import { describe, environment, saveRun } from './results.mjs';
import { readable, spread, summary } from './statistics.mjs';

/**
 * Units: what a sample is worth that took `ms` for `n` operations.
 *
 * @type {Record<string, { name: string, better: 'lower' | 'higher', of: (ms: number, n: number) => number }>}
 */
export const UNITS = {
  micros: { name: 'µs', better: 'lower', of: (ms, n) => (ms * 1000) / n },
  millis: { name: 'ms', better: 'lower', of: (ms, n) => ms / n },
  rate: { name: '/s', better: 'higher', of: (ms, n) => (n * 1000) / ms },
  bytes: { name: 'bytes', better: 'lower', of: (ms, n) => n },
};

/**
 * A contender. `against`: names of the contenders it is compared with, and the goal for the ratio; `goal`: for its own value;
 * `flat`: for the last case against the first. `operations`: how many operations a sample has, a multiple of the slices.
 * `whole`: its samples are not cut into slices (they start a program, or give a value of their own).
 *
 * @typedef {{ min?: number, max?: number, cases?: readonly string[] }} Goal - `cases`: the ones it is for; absent = all
 * @typedef {{
 *   name: string,
 *   against?: Record<string, Goal>,
 *   goal?: Goal,
 *   flat?: Goal,
 *   whole?: boolean,
 *   operations: number | ((name: string) => number),
 *   cases?: (name: string) => boolean,
 *   open: () => Promise<Instance>,
 * }} Contender
 */

/**
 * An opened contender. `fill` prepares a case for so many operations in all, once; `prepare` comes before each sample, `work`
 * is what is timed, `after` comes behind. `work` may answer a `value` of its own in place of the time; `figures`, and what
 * `after` answers, are reported beside it. `check` throws when what is stored is not what so many operations should have left.
 *
 * @typedef {{
 *   fill?: (name: string, operations: number) => Promise<void>,
 *   prepare?: (name: string, operations: number) => Promise<void> | void,
 *   work: (name: string, operations: number) => Promise<void | { value?: number, figures?: Record<string, number> }>,
 *   after?: (name: string, operations: number) => Promise<Record<string, number>>,
 *   check: (name: string, operations: number) => Promise<void>,
 *   close: () => Promise<void>,
 * }} Instance
 */

const rotated = (list, by) => [...list.slice(by % list.length), ...list.slice(0, by % list.length)];

/** Contenders in the order of a repetition: each first in its turn, and every other time the other way round. */
function ordered(contenders, repetition) {
  const turned = rotated(contenders, repetition >> 1);
  return repetition % 2 === 0 ? turned : turned.reverse();
}

/**
 * Compares contenders, prints what came out and saves it.
 *
 * @param {{
 *   name: string, title: string, provider: string, what: string,
 *   unit: (typeof UNITS)[string], ratio: 'speed' | 'cost',
 *   cases: readonly string[], contenders: readonly Contender[],
 *   settle?: () => Promise<void>, slices?: number, once?: boolean,
 *   repetitions?: number, warmups?: number, servers?: Record<string, string>, notes?: readonly string[],
 * }} options - `settle`: comes when all contenders are filled; `slices`: into how many parts
 *   a sample is cut, each part in turn with those of the others; `once`: the value does not vary, one sample will do; `what`: what is counted, e.g. `turn`; `ratio`: `speed` = how fast against the base (1 = as fast, more is better),
 *   `cost` = how much against the base (1 = the same, less is better)
 */
export async function compare({
  name,
  title,
  provider,
  what,
  unit,
  ratio,
  cases,
  contenders,
  settle,
  slices = 1,
  once = false,
  repetitions = once ? 1 : 9,
  warmups = once ? 0 : 1,
  servers,
  notes = [],
}) {
  if (!once && repetitions < 5) throw new Error(`${name}: at least 5 repetitions`);
  const started = environment(servers);
  const from = performance.now();
  const takes = ({ cases: own }, one) => own?.(one) ?? true;
  const operationsOf = ({ operations }, one) => (typeof operations === 'number' ? operations : operations(one));
  /** [contender, case] → samples */
  const samples = new Map(
    contenders.map((c) => [c.name, Object.fromEntries(cases.filter((one) => takes(c, one)).map((one) => [one, []]))]),
  );
  const figures = new Map(contenders.map((c) => [c.name, Object.fromEntries(cases.map((one) => [one, {}]))]));
  const instances = new Map();
  try {
    for (const contender of contenders) {
      const instance = await contender.open();
      instances.set(contender.name, instance);
      for (const one of cases) {
        if (takes(contender, one)) await instance.fill?.(one, operationsOf(contender, one) * (repetitions + warmups));
      }
    }
    await settle?.();
    /** One slice of a sample: its time, or the value the contender gives. */
    const slice = async (contender, one, operations) => {
      const instance = instances.get(contender.name);
      await instance.prepare?.(one, operations);
      // what others left behind is not this one's work
      globalThis.gc?.({ type: 'minor' });
      const at = performance.now();
      const outcome = await instance.work(one, operations);
      const ms = performance.now() - at;
      return { ms, value: outcome?.value, figures: { ...outcome?.figures, ...(await instance.after?.(one, operations)) } };
    };
    /** All contenders of a case, in turn, slice by slice. */
    const round = async (one, repetition) => {
      const taking = contenders.filter((contender) => takes(contender, one));
      const parts = new Map(taking.map(({ name: contender }) => [contender, []]));
      for (let part = 0; part < slices; part++) {
        for (const contender of ordered(taking, repetition + warmups + part)) {
          const operations = operationsOf(contender, one);
          if (!contender.whole) parts.get(contender.name).push(await slice(contender, one, operations / slices));
          else if (part === 0) parts.get(contender.name).push(await slice(contender, one, operations));
        }
      }
      if (repetition < 0) return;
      for (const contender of taking) {
        const own = parts.get(contender.name);
        const ms = own.reduce((sum, part) => sum + part.ms, 0);
        samples.get(contender.name)[one].push(own[0].value ?? unit.of(ms, operationsOf(contender, one)));
        const kept = figures.get(contender.name)[one];
        for (const figure of Object.keys(own[0].figures))
          (kept[figure] ??= []).push(own.reduce((sum, part) => sum + part.figures[figure], 0) / own.length);
      }
    };
    for (let repetition = -warmups; repetition < repetitions; repetition++) {
      for (const one of rotated(cases, repetition + warmups)) await round(one, repetition);
    }
    for (const contender of contenders) {
      for (const one of cases) {
        if (takes(contender, one)) await instances.get(contender.name).check(one, operationsOf(contender, one) * (repetitions + warmups));
      }
    }
  } finally {
    for (const instance of instances.values()) await instance.close();
  }

  const worth = (a, b) => ((ratio === 'speed') === (unit.better === 'lower') ? b / a : a / b);
  const applies = (goal, one) => (goal?.cases && !goal.cases.includes(one) ? {} : (goal ?? {}));
  const rows = contenders.flatMap((contender) =>
    Object.entries(samples.get(contender.name)).map(([one, own]) => ({
      contender: contender.name,
      case: one,
      operations: operationsOf(contender, one),
      ...summary(own),
      goal: applies(contender.goal, one),
      ratios: Object.entries(contender.against ?? {}).flatMap(([base, goal]) => {
        const others = samples.get(base)?.[one];
        if (others === undefined) return [];
        return [{ against: base, goal: applies(goal, one), ...summary(own.map((value, n) => worth(value, others[n]))) }];
      }),
      figures: Object.fromEntries(Object.entries(figures.get(contender.name)[one]).map(([figure, values]) => [figure, summary(values)])),
    })),
  );
  const flats = contenders.flatMap(({ name: contender, flat }) => {
    const own = Object.entries(samples.get(contender));
    if (flat === undefined || own.length < 2) return [];
    const [first, small] = own[0];
    const [last, large] = own.at(-1);
    const cost = (a, b) => (unit.better === 'lower' ? a / b : b / a);
    return [{ contender, from: first, to: last, goal: flat, ...summary(large.map((value, n) => cost(value, small[n]))) }];
  });
  const run = {
    provider,
    ...started,
    loadAfter: loadavg().map((value) => Number(value.toFixed(2))),
    seconds: Math.round((performance.now() - from) / 1000),
    what,
    unit: { name: unit.name, better: unit.better },
    ratio,
    repetitions,
    notes,
    cases,
    rows,
    flats,
  };
  print(name, title, run);
  console.log(`→ ${saveRun(name, title, run)}\n`);
  return run;
}

/** Whether a goal is reached, as a mark. */
export function mark(goal, value) {
  if (goal?.min === undefined && goal?.max === undefined) return '';
  return (goal.min === undefined || value >= goal.min) && (goal.max === undefined || value <= goal.max) ? '✓' : '✗';
}

/** A goal in words; empty when there is none. */
export const wording = ({ min, max } = {}) =>
  [min === undefined ? '' : `≥ ${readable(min)}`, max === undefined ? '' : `≤ ${readable(max)}`].filter((part) => part !== '').join(', ');

function print(name, title, run) {
  console.log(`${name}, ${run.provider}: ${title}`);
  console.log(`${describe(run)}; ${run.repetitions} repetitions in ${run.seconds} s`);
  console.log(`${run.unit.name} (${run.what}): median (quartiles); ratios: median of the ratios in each repetition`);
  console.table(
    run.rows.map((row) => ({
      case: row.case,
      contender: row.contender,
      [run.unit.name]: `${spread(row)} ${mark(row.goal, row.median)} ${wording(row.goal)}`.trim(),
      [run.ratio === 'speed' ? 'speed against' : 'cost against']: row.ratios
        .map((r) => `${r.against}: ${spread(r)} ${mark(r.goal, r.median)} ${wording(r.goal)}`.trim())
        .join('; '),
      beside: Object.entries(row.figures)
        .map(([figure, value]) => `${figure} ${readable(value.median)}`)
        .join(', '),
    })),
  );
  for (const flat of run.flats)
    console.log(
      `${flat.contender}: ${flat.to} costs ${spread(flat)} × ${flat.from} ${mark(flat.goal, flat.median)} ${wording(flat.goal)}`.trim(),
    );
}
