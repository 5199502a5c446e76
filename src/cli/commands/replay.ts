/**
 * `jaf-memory replay FILE`: real conversations through the engine and a store, and a comparison of what came out.
 *
 * @module
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { describeProvider } from '../../memory/inspect.js';
import type { MemoryProviderConfig } from '../../memory/types.js';
import { readRecordings, type Recording } from '../replay/recording.js';
import type { Difference } from '../replay/replay.js';
import type { Output, Progress } from '../output.js';
import { EXIT, type Run, type Session, UsageError } from '../session.js';
import { printableLine } from '../text.js';

/** What a replay into one store came to. */
interface Summary {
  readonly store: string;
  readonly location: string;
  conversations: number;
  runs: number;
  messages: number;
  writes: number;
  /** Writes that no run made. */
  otherWrites: number;
  differences: Difference[];
  seconds: number;
}

/** Replays all recordings into one store. */
async function replayInto(
  config: MemoryProviderConfig,
  recordings: readonly Recording[],
  session: Session,
  progress: Progress,
  before: number,
): Promise<Summary> {
  const [{ openReplayStore }, { replayRecording }] = await Promise.all([import('../replay/store.js'), import('../replay/replay.js')]);
  const info = describeProvider(config);
  const store = await openReplayStore(config, recordings.length);
  const { provider, tally } = store;
  const started = performance.now();
  const summary: Summary = {
    store: store.name,
    location: info.location,
    conversations: 0,
    runs: 0,
    messages: 0,
    writes: 0,
    otherWrites: 0,
    differences: [],
    seconds: 0,
  };
  try {
    for (const { conversationId } of recordings) {
      if (await provider.getConversation(conversationId, { messageLimit: 0, signal: session.signal })) {
        throw new UsageError(
          `the store already holds ${JSON.stringify(conversationId)} of the file (${info.location}). Replay into an empty store.`,
        );
      }
    }
    let recorded = before;
    for (const recording of recordings) {
      if (session.signal.aborted) break;
      const { runs, messages, differences } = await replayRecording(recording, store, session.signal);
      summary.conversations++;
      summary.runs += runs;
      summary.messages += messages;
      summary.differences.push(...differences);
      recorded += recording.messages.length;
      progress.update(recorded);
    }
    summary.writes = tally.writes;
    summary.otherWrites = tally.others;
    summary.seconds = (performance.now() - started) / 1000;
    if (!session.signal.aborted && tally.messages !== summary.messages) {
      const conversationId = '(all)';
      summary.differences.push({ conversationId, what: `run() wrote ${tally.messages} messages, ${summary.messages} are stored` });
    }
    return summary;
  } finally {
    await provider.close();
  }
}

/** Where to replay: the store that was asked for, or one of each kind that is gone afterwards. */
async function withStores<T>(session: Session, work: (configs: readonly MemoryProviderConfig[]) => Promise<T>): Promise<T> {
  const config = session.config();
  if (session.configured) return await work([config]);
  const folder = await mkdtemp(join(tmpdir(), 'jaf-replay-'));
  try {
    return await work([{ type: 'memory' }, { type: 'sqlite', path: join(folder, 'replay.db') }]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Differences shown; the rest is counted. */
const SHOWN = 50;

function print(out: Output, summaries: readonly Summary[]): void {
  for (const { store, differences } of summaries) {
    if (differences.length === 0) continue;
    out.line(out.paint(['bold', 'red'], `Differences (${store})`));
    out.table(
      [{ title: 'conversation' }, { title: 'message', align: 'right' }, { title: 'difference' }],
      differences
        .slice(0, SHOWN)
        .map((d) => [printableLine(d.conversationId), d.message === undefined ? '-' : String(d.message), printableLine(d.what)]),
    );
    if (differences.length > SHOWN) out.line(`and ${differences.length - SHOWN} more (--json prints all)`);
    out.line();
  }
  const right = { align: 'right' } as const;
  out.table(
    [
      { title: 'store' },
      { title: 'conversations', ...right },
      { title: 'runs', ...right, optional: true },
      { title: 'messages', ...right },
      { title: 'writes by run()', ...right, optional: true },
      { title: 'other writes', ...right },
      { title: 'differences', ...right },
      { title: 'seconds', ...right, optional: true },
    ],
    summaries.map((s) => [
      s.store,
      String(s.conversations),
      String(s.runs),
      String(s.messages),
      String(s.writes),
      String(s.otherWrites),
      String(s.differences.length),
      s.seconds.toFixed(1),
    ]),
  );
}

/** Adds the command. */
export function registerReplay(program: Command, run: Run): void {
  program
    .command('replay')
    .description('run recorded conversations through the engine and compare what is stored')
    .argument('<file>', 'one JSON object per line: conversation_id, user_id, metadata, messages')
    .addHelpText(
      'after',
      '\nReplays into the store of --provider or JAF_MEMORY_TYPE, which must not hold these conversations yet and keeps them;\nwithout either into an in-memory store and a SQLite file that is removed afterwards.',
    )
    .action(
      run(async (session, file: string, _options: object) => {
        const { out } = session;
        // a wrong setting before a long file
        session.config();
        const recordings = await readRecordings(file);
        const total = recordings.reduce((sum, r) => sum + r.messages.length, 0);
        return await withStores(session, async (configs) => {
          const progress = out.progress('messages', total * configs.length);
          const summaries: Summary[] = [];
          try {
            for (const config of configs) {
              if (!session.signal.aborted)
                summaries.push(await replayInto(config, recordings, session, progress, total * summaries.length));
            }
          } finally {
            progress.stop();
          }
          if (session.signal.aborted) return EXIT.interrupted;
          if (out.json) out.value({ conversations: recordings.length, messages: total, stores: summaries });
          else print(out, summaries);
          return summaries.some((s) => s.differences.length > 0 || s.otherWrites > 0) ? EXIT.findings : EXIT.ok;
        });
      }),
    );
}
