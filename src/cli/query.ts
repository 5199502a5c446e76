/**
 * Options that say which conversations are meant, read into a {@link MemoryQuery}.
 *
 * @module
 */
import type { Command } from 'commander';
import type { JsonValue, MemoryQuery } from '../memory/types.js';
import { UsageError } from './session.js';

/** What {@link addFilterOptions} lets a user type. */
export interface FilterOptions {
  readonly user?: string;
  readonly trace?: string;
  readonly since?: string;
  readonly until?: string;
  readonly metadata?: readonly string[];
}

/** What {@link addQueryOptions} lets a user type. */
export interface QueryOptions extends FilterOptions {
  readonly limit: string;
  readonly offset: string;
  readonly order: string;
}

/** Adds options that say which conversations are meant, all of them by default. */
export function addFilterOptions(command: Command): Command {
  return command
    .option('-u, --user <id>', 'only conversations of this user')
    .option('--trace <id>', 'only conversations of this trace')
    .option('--since <time>', 'last written at or after: 2026-01-31, 2026-01-31T10:00Z, or 90m, 12h, 7d ago')
    .option('--until <time>', 'last written at or before (a date without a time: that whole day, UTC)')
    .option(
      '-m, --metadata <key=value>',
      'metadata must hold this value (JSON or text); repeatable',
      (value: string, before: readonly string[] | undefined): readonly string[] | undefined => [...(before ?? []), value],
    );
}

/** Adds the filters of a query to a command, and how many to show in which order. */
export function addQueryOptions(command: Command): Command {
  return addFilterOptions(command)
    .option('-n, --limit <count>', 'at most so many, or "all"', '50')
    .option('--offset <count>', 'skip so many', '0')
    .option('--order <order>', 'newest or oldest first, by the last write', 'newest');
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * A time as typed: ISO 8601, or how long ago.
 *
 * @param text - what was typed
 * @param option - for the error
 * @param end - a date without a time means the end of that day, not its beginning
 * @param now - milliseconds
 * @throws UsageError when it is no time
 */
export function readTime(text: string, option: string, end: boolean, now: number = Date.now()): Date {
  const ago = /^(\d{1,6})([smhdw])$/.exec(text);
  if (ago) return new Date(now - Number(ago[1]) * (UNIT_MS[ago[2] ?? ''] ?? 0));
  const day = /^\d{4}-\d{2}-\d{2}$/.test(text);
  const time = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text) ? Date.parse(text) : Number.NaN;
  // Date.parse takes 31 February for 3 March
  const exists = !Number.isNaN(time) && new Date(`${text.slice(0, 10)}T00:00:00Z`).toISOString().startsWith(text.slice(0, 10));
  if (!exists) throw new UsageError(`${option} must be a time such as 2026-01-31, 2026-01-31T10:00Z or 7d, got "${text}".`);
  return new Date(day && end ? time + (UNIT_MS['d'] ?? 0) - 1 : time);
}

/**
 * A duration as typed, in seconds.
 *
 * @throws UsageError when it is none
 */
export function readDuration(text: string, option: string): number {
  const found = /^(\d{1,6})([smhdw])$/.exec(text);
  const seconds = found ? (Number(found[1]) * (UNIT_MS[found[2] ?? ''] ?? 0)) / 1000 : 0;
  if (seconds > 0) return seconds;
  throw new UsageError(`${option} must be a duration such as 90d, 12h, 30m or 45s, got "${text.slice(0, 60)}".`);
}

/**
 * A count as typed.
 *
 * @throws UsageError when it is not a whole number of at least `min`
 */
export function readCount(text: string, option: string, min = 0): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(count >= min)) throw new UsageError(`${option} must be a whole number, ${min} or more, got "${text}".`);
  return count;
}

/**
 * An id as typed.
 *
 * @throws UsageError when no conversation or user can have it
 */
export function checkedId(id: string, option: string): string {
  if (id === '' || [...id].length > 255) throw new UsageError(`${option} must be 1 to 255 characters long, got ${[...id].length}.`);
  return id;
}

function readMetadata(pairs: readonly string[]): Record<string, JsonValue> {
  const metadata = Object.create(null) as Record<string, JsonValue>;
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError(`--metadata must be key=value, got "${pair}".`);
    const value = pair.slice(at + 1);
    try {
      metadata[pair.slice(0, at)] = JSON.parse(value) as JsonValue;
    } catch {
      metadata[pair.slice(0, at)] = value;
    }
  }
  return { ...metadata };
}

/**
 * The filters that were typed.
 *
 * @throws UsageError naming the option
 */
export function readFilters(options: FilterOptions): MemoryQuery {
  const query: MemoryQuery = {};
  if (options.user !== undefined) query.userId = checkedId(options.user, '--user');
  if (options.trace !== undefined) query.traceId = checkedId(options.trace, '--trace');
  if (options.since !== undefined) query.since = readTime(options.since, '--since', false);
  if (options.until !== undefined) query.until = readTime(options.until, '--until', true);
  if (query.since && query.until && query.since > query.until) throw new UsageError('--since must not be later than --until.');
  if (options.metadata !== undefined) query.metadata = readMetadata(options.metadata);
  return query;
}

/**
 * The query that was typed. `limit` is left out for "all".
 *
 * @throws UsageError naming the option
 */
export function readQuery(options: QueryOptions): MemoryQuery {
  if (options.order !== 'newest' && options.order !== 'oldest')
    throw new UsageError(`--order must be newest or oldest, got "${options.order}".`);
  const query: MemoryQuery = { ...readFilters(options), order: options.order, offset: readCount(options.offset, '--offset') };
  if (options.limit !== 'all') query.limit = readCount(options.limit, '--limit');
  return query;
}
