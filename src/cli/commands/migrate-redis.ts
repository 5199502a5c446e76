/**
 * `jaf-memory migrate --to lists`: converts what the earlier implementations stored in Redis.
 *
 * @module
 */
import { MemoryError } from '../../memory/errors.js';
import { lookAtStore } from '../../memory/probe.js';
import type { NamedKeys, OlderReport } from '../../memory/providers/redis/older-convert.js';
import type { RedisConfig } from '../../memory/types.js';
import type { Output, Progress } from '../output.js';
import { EXIT, report, type Session } from '../session.js';
import { bytesText, counted, printableLine, wrap } from '../text.js';

/** Keys shown; the rest is counted. */
const SHOWN = 20;

interface Options {
  readonly dryRun: boolean;
  readonly removeSource: boolean;
}

/**
 * Converts, and prints what it came to.
 *
 * @param session - with the store
 * @param config - of the store
 * @returns the exit code
 */
export async function migrateRedis(session: Session, config: RedisConfig, options: Options): Promise<number> {
  const { out, signal } = session;
  const { convertOlder } = await import('../../memory/providers/redis/older-convert.js');
  // opening it would create what is not there yet
  const look = options.dryRun ? await lookAtStore({ type: 'redis', ...config }) : undefined;
  const provider = look?.state === 'absent' ? undefined : await session.open(true);
  const started = performance.now();
  let progress: Progress | undefined;
  let begun = false;
  try {
    const found = await convertOlder(config, {
      ...options,
      provider,
      signal,
      onProgress: (done, total) => {
        begun = true;
        progress ??= out.progress('keys', total);
        progress.update(done);
      },
    });
    progress?.stop();
    return conclude(out, found, options, (performance.now() - started) / 1000);
  } catch (error) {
    progress?.stop();
    const code = report(error, out, signal.aborted);
    // what was converted stays, and the next run goes on
    return begun && code === EXIT.connection && error instanceof MemoryError && error.retryable ? EXIT.partly : code;
  }
}

function printKeys(out: Output, { count, keys }: NamedKeys): void {
  if (out.json) return;
  for (const { key, reason } of keys.slice(0, SHOWN)) out.line(`  ${printableLine(key)}: ${printableLine(reason)}`);
  if (count > SHOWN) out.line(`  and ${count - SHOWN} more (--json prints the first ${keys.length})`);
}

function conclude(out: Output, found: OlderReport, options: Options, seconds: number): number {
  if (out.json) out.value({ ...found, dryRun: options.dryRun, seconds });
  const print = (text: string): void => {
    if (!out.json) for (const line of wrap(text, out.width)) out.line(line);
  };
  const { conversations, converted, continued, removed, different, changed, unreadable, foreign } = found;
  const there = [
    ...(found.found > 0 ? [`${found.found} were there already`] : []),
    ...(continued > 0 ? [`${continued} have gone on in the store since`] : []),
  ];
  const where = `under the prefix ${JSON.stringify(found.prefix)}`;
  if (conversations === 0) print(`There are no conversations of earlier versions ${where}.`);
  else {
    print(
      `${counted(conversations, 'conversation')} of earlier versions ${where}: ${counted(found.messages, 'message')}, ${bytesText(found.bytes)}.`,
    );
    if (options.dryRun) print(`${[`${converted} would be converted`, ...there].join(', ')}. Nothing was changed.`);
    else print(`${[`${converted} converted and compared in ${seconds.toFixed(1)} s`, ...there].join(', ')}.`);
  }
  if (found.gone > 0) print(`${counted(found.gone, 'key')} expired or went meanwhile.`);
  if (foreign.count > 0) {
    print(`${counted(foreign.count, 'key')} ${where} ${foreign.count === 1 ? 'is' : 'are'} something else, and left alone:`);
    printKeys(out, foreign);
  }
  if (unreadable.count > 0) {
    print(`${counted(unreadable.count, 'conversation')} cannot be read, and ${unreadable.count === 1 ? 'is' : 'are'} left alone:`);
    printKeys(out, unreadable);
  }
  if (different.count > 0) {
    print(
      `${counted(different.count, 'conversation')} ${different.count === 1 ? 'is' : 'are'} not in the store as the source has ${different.count === 1 ? 'it' : 'them'}; nothing was changed there:`,
    );
    printKeys(out, different);
  }
  if (changed.count > 0) {
    print(
      `${counted(changed.count, 'source')} changed after ${changed.count === 1 ? 'it was' : 'they were'} read, and ${changed.count === 1 ? 'was' : 'were'} kept:`,
    );
    printKeys(out, changed);
  }
  if (found.interrupted) {
    out.note('Interrupted. What was converted stays: run it again to go on.');
    return EXIT.interrupted;
  }
  if (changed.count > 0) {
    out.error('a program still writes the old form. Stop it, and run this again.', { code: 'busy' });
    return EXIT.partly;
  }
  if (unreadable.count > 0 || different.count > 0) {
    out.error('not everything was converted: look at the keys that are named, correct or remove them, and run this again.', {
      code: different.count > 0 ? 'different' : 'unreadable',
    });
    return EXIT.findings;
  }
  if (options.removeSource && !options.dryRun) print(`${counted(removed, 'source')} removed.`);
  else if (conversations > 0 && !options.dryRun)
    print('The sources are kept. When all is well, run it again with --remove-source: until then they are copies that no delete reaches.');
  return EXIT.ok;
}
