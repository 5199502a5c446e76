/**
 * Asking before something is deleted.
 *
 * @module
 */
import { createInterface } from 'node:readline/promises';
import { type Session, UsageError } from './session.js';

/** What `--yes` says. */
export const YES: readonly [flags: string, description: string] = ['-y, --yes', 'do not ask before deleting'];

/**
 * Asks on the terminal. Where nobody can answer, nothing is done without `--yes`.
 *
 * @param question - ends with a question mark
 * @returns whether to go on
 * @throws UsageError when nobody can be asked
 */
export async function confirmed(session: Session, question: string, yes: boolean): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new UsageError(`${question} Nobody can be asked here: pass --yes, or look first with --dry-run.`);
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  // in this mode the terminal sends Ctrl-C as a key
  asking.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await asking.question(`${question} [y/N] `, { signal: session.signal });
    if (/^y(es)?$/i.test(answer.trim())) return true;
    session.out.note('Nothing was done.');
    return false;
  } finally {
    asking.close();
  }
}
