/**
 * `jaf-memory info`: what the configuration means. Connects to nothing.
 *
 * @module
 */
import type { Command } from 'commander';
import { ignoredVariables } from '../../memory/env.js';
import { describeProvider } from '../../memory/inspect.js';
import { EXIT, type Run } from '../session.js';
import { printableLine } from '../text.js';

const yes = (value: boolean): string => (value ? 'yes' : 'no');

/** Adds the command. */
export function registerInfo(program: Command, run: Run): void {
  program
    .command('info')
    .description('say what the configuration means; connects to nothing')
    .action(
      run(async (session, _options: object) => {
        const { out } = session;
        const config = session.config();
        const info = { ...describeProvider(config), ignored: session.explicit ? [] : ignoredVariables(session.env, config.type) };
        if (out.json) {
          out.value(info);
          return EXIT.ok;
        }
        out.pairs([
          ['type', info.type],
          ['store', printableLine(info.location)],
          ['what it is', printableLine(info.description)],
          ['survives a restart', yes(info.survivesRestart)],
          ['several processes', yes(info.severalProcesses)],
          ['several servers', yes(info.severalServers)],
          [
            'a write survives',
            { none: 'nothing', process: 'a crash of the process', power: 'loss of power', server: 'what the server is set to' }[
              info.durability
            ],
          ],
          ...Object.entries(info.settings).map(([name, value]): [string, string] => [name, printableLine(String(value))]),
          ...(info.ignored.length === 0 ? [] : [['no effect', info.ignored.join(', ')] as const]),
        ]);
        return EXIT.ok;
      }),
    );
}
