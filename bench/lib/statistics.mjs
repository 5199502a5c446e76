// Medians and their spread, and numbers as people read them.

/** The value below which a share of the samples lies, between neighbours in proportion. */
function quantile(sorted, share) {
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)];
  return low + (sorted[Math.ceil(at)] - low) * (at - Math.floor(at));
}

/**
 * What a list of samples says.
 *
 * @param {readonly number[]} samples - at least one
 */
export function summary(samples) {
  if (samples.length === 0 || samples.some((value) => !Number.isFinite(value))) throw new Error(`not samples: [${samples.join(', ')}]`);
  const sorted = [...samples].sort((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    q1: quantile(sorted, 0.25),
    q3: quantile(sorted, 0.75),
    min: sorted[0],
    max: sorted[sorted.length - 1],
    samples,
  };
}

/** A number with three significant digits, thousands apart. */
export function readable(value) {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const shown = digits === 0 ? Number(value.toPrecision(3)) : value;
  return shown.toLocaleString('en-US', { minimumFractionDigits: Math.min(digits, 6), maximumFractionDigits: Math.min(digits, 6) });
}

/** A median with its quartiles. */
export const spread = ({ median, q1, q3 }) => `${readable(median)} (${readable(q1)}–${readable(q3)})`;
