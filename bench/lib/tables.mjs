// The generated parts of the documentation that are tables. Everything comes from bench/results; a part without its results is
// an error.
import { mark, wording } from './compare.mjs';
import { readResults, resultNames } from './results.mjs';
import { readable, spread } from './statistics.mjs';

/** Names of providers as the documentation has them. */
const TITLES = { memory: 'In memory', sqlite: 'SQLite', redis: 'Redis', postgres: 'PostgreSQL' };
const ORDER = Object.keys(TITLES);

/** Title of a run. */
export const titleOf = (provider) => TITLES[provider] ?? provider;

/** The results of a benchmark, its runs in the order of the backends; an error when there are none. */
export function resultsOf(name) {
  const results = readResults(name);
  if (!results)
    throw new Error(
      `no bench/results/${name}.json: run "${name.startsWith('peers-') ? 'npm run bench:peers' : `npm run bench -- ${name}`}"`,
    );
  const place = ({ provider }) => (ORDER.includes(provider) ? ORDER.indexOf(provider) : ORDER.length);
  return results.runs ? { ...results, runs: [...results.runs].sort((a, b) => place(a) - place(b)) } : results;
}

const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
const cell = (text) => String(text).replaceAll('|', '\\|');

/** A median with its quartiles, or the only sample there is. */
const valueOf = (value) => (value.samples.length === 1 ? readable(value.median) : spread(value));
const marked = (value, goal) => `${valueOf(value)} ${mark(goal, value.median)}`.trim();
/** What the values of a run are, e.g. `µs per turn`. */
const unitOf = ({ unit, what }) => (unit.better === 'higher' ? `${what}s${unit.name}` : `${unit.name} per ${what}`);

function runTable(run) {
  const contenders = [...new Set(run.rows.map(({ contender }) => contender))];
  const rowOf = (contender, one) => run.rows.find((row) => row.contender === contender && row.case === one);
  const rows = contenders.flatMap((contender) => {
    const own = run.cases.map((one) => rowOf(contender, one));
    const first = [
      `**${cell(contender)}**`.replace(/^\*\*(?!jaf)(.*)\*\*$/, '$1'),
      ...own.map((row) => (row ? marked(row, row.goal) : '')),
    ];
    const bases = [...new Set(own.flatMap((row) => (row?.ratios ?? []).map(({ against }) => against)))];
    const ratios = bases.map((base) => {
      const each = own.map((row) => row?.ratios.find(({ against }) => against === base));
      const goal = wording(each.find((ratio) => wording(ratio?.goal) !== '')?.goal);
      const verb = run.ratio === 'speed' ? 'speed' : 'cost';
      return [
        `↳ ${verb} ÷ ${cell(base)}${goal ? ` (goal ${goal})` : ''}`,
        ...each.map((ratio) => (ratio ? marked(ratio, ratio.goal) : '')),
      ];
    });
    const names = [...new Set(own.flatMap((row) => Object.keys(row?.figures ?? {})))];
    const figures = names.map((figure) => [
      `↳ ${cell(figure)}`,
      ...own.map((row) => (row?.figures[figure] ? readable(row.figures[figure].median) : '')),
    ]);
    return [first, ...ratios, ...figures];
  });
  const flats = run.flats.map(
    (flat) =>
      `${flat.contender}: ${flat.to} costs ${spread(flat)} times ${flat.from}${wording(flat.goal) ? ` (goal ${wording(flat.goal)}) ${mark(flat.goal, flat.median)}` : ''}.`,
  );
  return [
    `**${titleOf(run.provider)}**: ${unitOf(run)}, median (quartiles) of ${run.repetitions} repetitions; commit ${run.commit}, load ${run.load[0]}`,
    '',
    table(['', ...run.cases], rows),
    ...(flats.length > 0 ? ['', flats.join(' ')] : []),
    ...(run.notes.length > 0 ? ['', `${run.notes.join('. ')}.`] : []),
  ].join('\n');
}

const percent = (share) => `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)} %`;

/** Parts by kind: argument → markdown. */
export const parts = {
  /** All runs of a benchmark; or of the providers named behind it. */
  table(argument) {
    const [name, ...providers] = argument.split(' ');
    const { runs } = resultsOf(name);
    const shown = runs.filter(({ provider }) => providers.length === 0 || providers.includes(provider));
    if (shown.length === 0) throw new Error(`no run with ${providers.join(', ')}`);
    return shown.map(runTable).join('\n\n');
  },

  /** A plot: its name, then the text for who does not see it. */
  plot(argument) {
    const [name, ...alternative] = argument.split(' ');
    return `![${alternative.join(' ')}](performance/${name}.svg)`;
  },

  /** Every goal, with the medians of what was measured. */
  goals(argument) {
    const lines = new Map();
    const add = (name, run, contender, what, goal, one, value) => {
      if (wording(goal) === '') return;
      const key = [name, titleOf(run.provider), cell(contender), cell(what), wording(goal)];
      const line = lines.get(key.join('|')) ?? { key, measured: [] };
      line.measured.push(`${run.cases.length === 1 ? '' : `${one}: `}${readable(value.median)} ${mark(goal, value.median)}`);
      lines.set(key.join('|'), line);
    };
    for (const name of argument.split(' ')) {
      for (const run of resultsOf(name).runs) {
        for (const row of run.rows) {
          add(name, run, row.contender, unitOf(run), row.goal, row.case, row);
          for (const ratio of row.ratios) add(name, run, row.contender, `${run.ratio} ÷ ${ratio.against}`, ratio.goal, row.case, ratio);
        }
        for (const flat of run.flats) add(name, run, flat.contender, 'flat', flat.goal, `${flat.to} ÷ ${flat.from}`, flat);
      }
    }
    if (lines.size === 0) throw new Error('no goals in these results');
    return table(
      ['benchmark', 'store', 'contender', 'what', 'goal', 'measured'],
      [...lines.values()].map(({ key, measured }) => [...key, cell(measured.join('; '))]),
    );
  },

  /** Machine and versions of the runs of some benchmarks: one line for each set of versions. */
  environment(argument) {
    const runs = argument.split(' ').flatMap((name) => resultsOf(name).runs);
    const versions = Object.assign({}, ...runs.map((run) => run.versions));
    const [{ machine }] = runs;
    const loads = runs.flatMap(({ load, loadAfter }) => [load[0], loadAfter[0]]);
    const dates = runs.map(({ at }) => at.slice(0, 10)).sort();
    const commits = [...new Set(runs.map(({ commit }) => commit))];
    return table(
      ['', ''],
      [
        ['machine', `${machine.cores} cores (${machine.cpu}), ${machine.memoryGB} GB`],
        ['load average', `${Math.min(...loads)} to ${Math.max(...loads)}`],
        [
          'versions',
          Object.entries(versions)
            .map(([name, version]) => `${name} ${version}`)
            .join(', '),
        ],
        ['commit', commits.join(', ')],
        ['measured', dates[0] === dates.at(-1) ? dates[0] : `${dates[0]} to ${dates.at(-1)}`],
      ],
    );
  },

  /** Soaks: what drifted. */
  soak() {
    const runs = resultNames()
      .filter((name) => name.startsWith('soak-'))
      .map(resultsOf)
      .sort((a, b) => ORDER.indexOf(a.provider) - ORDER.indexOf(b.provider));
    if (runs.length === 0) throw new Error('no bench/results/soak-*.json: run "npm run bench -- soak"');
    const mb = (bytes) => readable(bytes / 1e6);
    const rows = runs.map(({ provider, seconds, rate, samples, drifts, errors }) => {
      const last = samples.at(-1);
      return [
        titleOf(provider),
        `${readable(seconds)} s, ${readable(rate)} calls/s`,
        `${mb(last.heap)} MB, ${percent(drifts.heap)}`,
        `${mb(last.rss)} MB, ${percent(drifts.rss)}`,
        String(last.connections),
        `${readable(last.p50)} ms, ${percent(drifts.p50)}`,
        `${readable(last.p99)} ms, ${percent(drifts.p99)}`,
        String(Object.values(errors).reduce((sum, n) => sum + n, 0)),
      ];
    });
    const shown = runs.map(
      ({ provider }) => `![Heap, latency and connections over a soak of ${titleOf(provider)}](performance/soak-${provider}.svg)`,
    );
    return [table(['', 'load', 'heap', 'RSS', 'connections', 'p50', 'p99', 'errors'], rows), ...shown].join('\n\n');
  },
};
