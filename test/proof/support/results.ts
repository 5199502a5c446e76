/** What the parts of the suite tried and found, for the tables that `run.mjs` prints and writes. */
import { appendFileSync } from 'node:fs';

/** One line of a table. */
export interface Finding {
  /** The table. */
  readonly part: string;
  readonly backend: string;
  readonly what: string;
  /** The row of the table of all faults in which `acknowledged`, `lost`, `doubled` and `reordered` of `numbers` are added up. */
  readonly fault?: string;
  /** Columns and numbers, in order. */
  readonly numbers: Readonly<Record<string, number | string>>;
}

/** Notes a finding: in the file that run.mjs names, else on the screen. */
export function found(finding: Finding): void {
  const file = process.env['JAF_PROOF_RESULTS'];
  const line = JSON.stringify(finding);
  if (file) appendFileSync(file, `${line}\n`);
  else process.stdout.write(`${line}\n`);
}

/** A number from the environment. */
export function setting(name: string, otherwise: number): number {
  const text = process.env[`JAF_PROOF_${name}`];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`JAF_PROOF_${name}: expected a whole number, got ${JSON.stringify(text)}`);
  return value;
}
