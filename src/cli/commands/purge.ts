/**
 * `jaf-memory purge`: removes what has expired, and what deletions left behind.
 *
 * @module
 */
import type { Command } from 'commander';
import { internalsOf } from '../../memory/internals.js';
import { purgeOver } from '../../memory/purging.js';
import { EXIT, type Run } from '../session.js';
import { counted } from '../text.js';

/** Conversations between two notes. */
const TOLD = 10_000;

/** Adds the command. */
export function registerPurge(program: Command, run: Run): void {
  program
    .command('purge')
    .description('remove conversations that have expired, and what deletions left behind')
    .addHelpText(
      'after',
      '\nRemoves nothing that anybody can still read: expired conversations are invisible already. Programs with a\nbackground sweep (SQLite and PostgreSQL have one) do the same by themselves. It can be interrupted and run again.\n\nExample, from cron:\n  jaf-memory purge --quiet --provider redis://localhost',
    )
    .action(
      run(async (session, _options: object) => {
        const { out, signal } = session;
        const core = internalsOf(await session.read())?.core;
        if (!core) throw new TypeError('purge: expected a provider of this package');
        let done = 0;
        let told = 0;
        const onBatch = (removed: number): void => {
          done += removed;
          if (done - told < TOLD) return;
          told = done;
          out.note(`${done} conversations removed`);
        };
        try {
          await purgeOver(core, core.call('purge'), undefined, { signal, onBatch });
        } catch (error) {
          if (!signal.aborted) throw error;
        }
        if (out.json) out.value({ expired: done, stopped: signal.aborted });
        else out.line(`${counted(done, 'expired conversation')} removed.`);
        if (!signal.aborted) return EXIT.ok;
        out.note('Stopped. Run it again for the rest.');
        return EXIT.interrupted;
      }),
    );
}
