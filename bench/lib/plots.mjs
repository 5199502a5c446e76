// The plots of the documentation, as Vega-Lite specifications made from bench/results.
import { resultsOf, titleOf } from './tables.mjs';

const COLOURS = ['#2f7ed8', '#e0711c', '#2a9d6f', '#b05cc6', '#c49a1a', '#7d8590', '#d64550'];
const sizeOf = (name) => Number(/[\d,]+$/.exec(name)[0].replaceAll(',', ''));

const rowsOf = (name, take = () => true) =>
  resultsOf(name).runs.flatMap((run) =>
    run.rows
      .filter((row) => take(row, run))
      .map((row) => ({
        store: titleOf(run.provider),
        contender: row.contender,
        kind: row.contender.startsWith('jaf') ? 'jaf' : 'bare client or generator',
        case: row.case,
        median: row.median,
        q1: row.q1,
        q3: row.q3,
      })),
  );

/** Medians against the size of the conversation or store, one panel for each store, with quartiles. */
function lines({ name, title, x, y, take }) {
  const values = rowsOf(name, take).map((row) => ({ ...row, size: sizeOf(row.case) }));
  const panel = (store) => {
    const own = values.filter((row) => row.store === store);
    const names = [...new Set(own.map(({ contender }) => contender))];
    const encoding = {
      x: {
        field: 'size',
        type: 'quantitative',
        scale: { type: 'log', padding: 12 },
        title: x,
        axis: { values: [...new Set(own.map(({ size }) => size))], format: ',d', grid: false, labelOverlap: true },
      },
      color: {
        field: 'contender',
        type: 'nominal',
        sort: names,
        scale: { domain: names, range: COLOURS },
        legend: { title: null, orient: 'bottom', columns: 2, symbolLimit: 0 },
      },
    };
    const scale = { type: 'log', nice: true };
    return {
      title: { text: store, fontSize: 12, offset: 6, frame: 'group' },
      width: 300,
      height: 170,
      data: { values: own },
      encoding,
      layer: [
        {
          mark: { type: 'rule', strokeWidth: 1.5, opacity: 0.7 },
          encoding: {
            y: { field: 'q1', type: 'quantitative', scale, title: y, axis: { tickCount: 4, format: ',~r' } },
            y2: { field: 'q3' },
          },
        },
        { mark: { type: 'line', strokeWidth: 2 }, encoding: { y: { field: 'median', type: 'quantitative', scale } } },
        {
          mark: { type: 'point', filled: true, size: 55, opacity: 1 },
          encoding: {
            y: { field: 'median', type: 'quantitative', scale },
            shape: {
              field: 'contender',
              type: 'nominal',
              sort: names,
              scale: { domain: names },
              legend: { title: null, orient: 'bottom', columns: 2 },
            },
          },
        },
      ],
    };
  };
  const stores = [...new Set(values.map(({ store }) => store))];
  return {
    title,
    columns: 2,
    spacing: 30,
    concat: stores.map(panel),
    resolve: { scale: { color: 'independent', shape: 'independent', x: 'independent', y: 'independent' } },
  };
}

/** Medians as bars, one panel for each store, with quartiles. */
function bars({ name, title, x, take, label = (row) => row.contender }) {
  const values = rowsOf(name, take).map((row) => ({ ...row, label: label(row) }));
  const stores = [...new Set(values.map(({ store }) => store))];
  const panel = (store) => {
    const own = values.filter((row) => row.store === store);
    return {
      title: { text: store, fontSize: 12, offset: 6, frame: 'group' },
      width: 460,
      height: { step: 22 },
      data: { values: own },
      encoding: { y: { field: 'label', type: 'nominal', sort: null, title: null } },
      layer: [
        {
          mark: { type: 'bar', height: { band: 0.7 } },
          encoding: {
            x: { field: 'median', type: 'quantitative', title: x },
            color: {
              field: 'kind',
              type: 'nominal',
              scale: { domain: ['jaf', 'bare client or generator'], range: [COLOURS[0], COLOURS[5]] },
              legend: { title: null, orient: 'bottom' },
            },
          },
        },
        {
          mark: { type: 'rule', strokeWidth: 1.5, color: '#656d76' },
          encoding: { x: { field: 'q1', type: 'quantitative' }, x2: { field: 'q3' } },
        },
        {
          mark: { type: 'text', align: 'left', dx: 6, fontSize: 11, color: '#1f2328' },
          encoding: { x: { field: 'q3', type: 'quantitative' }, text: { field: 'median', format: ',.3~s' } },
        },
      ],
    };
  };
  return { title, spacing: 22, vconcat: stores.map(panel), resolve: { scale: { x: 'independent', color: 'shared' } } };
}

/** Heap, latency and connections over the time of a soak. */
function soak(name) {
  const { provider, samples, rate } = resultsOf(name);
  const chart = (figures, y, scale = {}) => {
    const values = samples.flatMap((sample) =>
      Object.entries(figures).map(([label, of]) => ({ seconds: sample.seconds, label, value: of(sample) })),
    );
    const names = Object.keys(figures);
    return {
      width: 560,
      height: 110,
      data: { values },
      mark: { type: 'line', strokeWidth: 1.8 },
      encoding: {
        x: { field: 'seconds', type: 'quantitative', title: 'time (s)', axis: { grid: false } },
        y: { field: 'value', type: 'quantitative', title: y, scale, axis: { tickCount: 4, format: ',~r' } },
        color: {
          field: 'label',
          type: 'nominal',
          sort: names,
          scale: { domain: names, range: COLOURS },
          legend: { title: null, orient: 'right' },
        },
      },
    };
  };
  return {
    title: { text: `Soak: ${titleOf(provider)}`, subtitle: `${rate} calls a second` },
    spacing: 16,
    vconcat: [
      chart({ 'heap after a collection': ({ heap }) => heap / 1e6, RSS: ({ rss }) => rss / 1e6 }, 'memory (MB)'),
      chart({ p50: ({ p50 }) => p50, p99: ({ p99 }) => p99 }, 'latency (ms)'),
      chart({ connections: ({ connections }) => connections }, 'connections', {
        domainMin: 0,
        domainMax: Math.max(...samples.map(({ connections }) => connections)) + 1,
      }),
    ],
    resolve: { scale: { color: 'independent' } },
  };
}

const PLOTS = {
  append: () =>
    lines({
      name: 'append',
      title: 'Append a turn of 2 messages, one after the other',
      x: 'messages the conversation holds (log)',
      y: 'µs a turn (log)',
      take: ({ contender }) => !/document|client$/.test(contender) || contender.startsWith('jaf (own') || contender.startsWith('jaf (io'),
    }),
  recent: () =>
    lines({
      name: 'recent',
      title: 'Read the newest 50 messages',
      x: 'messages the conversation holds (log)',
      y: 'µs a read (log)',
      take: ({ contender }) => !/document/.test(contender),
    }),
  list: () =>
    lines({
      name: 'list',
      title: "One user's 20 newest conversations, headers only",
      x: 'conversations of the user (log)',
      y: 'µs a list (log)',
    }),
  inflight: () => bars({ name: 'inflight', title: '64 callers at once, each with one turn under way', x: 'turns a second' }),
  bytes: () =>
    bars({
      name: 'bytes',
      title: 'Bytes a message takes, conversations of 2,000 messages of 400 characters',
      x: 'bytes a message',
      take: (row) => row.case === '2,000 messages',
    }),
  'peers-append': () =>
    lines({
      name: 'peers-append',
      title: 'Append a turn: jaf and its peers',
      x: 'messages the conversation holds (log)',
      y: 'µs a turn (log)',
    }),
};

/** The specification of a plot. Throws when there is none of this name, or no results for it. */
export function plots(name) {
  if (name.startsWith('soak-')) return soak(name);
  if (!(name in PLOTS)) throw new Error(`there is no plot "${name}"`);
  return PLOTS[name]();
}
