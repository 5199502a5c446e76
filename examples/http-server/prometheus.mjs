// What healthCheck() knows, in the text format of Prometheus (0.0.4).

const label = (text) => text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/\W/g, '_');

/** Content-Type of the text. */
export const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * @param {import('jaf/memory').HealthStatus} health
 * @param {ReadonlyMap<string, number>} events - how often each type of event was told
 * @returns {string}
 */
export function prometheusText({ healthy, provider, metrics }, events) {
  const lines = [];
  const of = `provider="${label(provider)}"`;
  const family = (name, type, help, samples) => {
    if (samples.length > 0) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples);
  };
  const gauges = Object.entries(metrics).filter(([name, value]) => !name.includes('.') && value !== undefined);
  const calls = Object.entries(metrics).filter(([name]) => name.endsWith('.count'));
  family('jaf_memory_up', 'gauge', 'Whether the store can be used.', [`jaf_memory_up{${of}} ${healthy ? 1 : 0}`]);
  for (const [name, value] of gauges) {
    const full = `jaf_memory_${snake(name)}`;
    family(full, 'gauge', `${name} of the health check.`, [`${full}{${of}} ${value}`]);
  }
  const duration = 'jaf_memory_operation_duration_seconds';
  family(
    duration,
    'histogram',
    'Time calls took.',
    calls.flatMap(([name, count]) => {
      const operation = name.slice(0, -'.count'.length);
      const labels = `${of},operation="${label(operation)}"`;
      const buckets = Object.entries(metrics).flatMap(([metric, value]) => {
        const [, bound] = metric.startsWith(`${operation}.`) ? (/\.le_([\d.]+)ms$/.exec(metric) ?? []) : [];
        return bound === undefined ? [] : [[Number(bound) / 1000, value]];
      });
      return [
        ...[...buckets, ['+Inf', count]].map(([le, value]) => `${duration}_bucket{${labels},le="${le}"} ${value}`),
        `${duration}_sum{${labels}} ${(metrics[`${operation}.sum`] ?? 0) / 1000}`,
        `${duration}_count{${labels}} ${count}`,
      ];
    }),
  );
  family(
    'jaf_memory_operation_failures_total',
    'counter',
    'Calls that failed.',
    calls.map(([name]) => {
      const operation = name.slice(0, -'.count'.length);
      return `jaf_memory_operation_failures_total{${of},operation="${label(operation)}"} ${metrics[`${operation}.failed`] ?? 0}`;
    }),
  );
  family(
    'jaf_memory_events_total',
    'counter',
    'Events by type.',
    [...events].map(([type, count]) => `jaf_memory_events_total{${of},type="${label(type)}"} ${count}`),
  );
  return `${lines.join('\n')}\n`;
}
