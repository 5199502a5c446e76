/**
 * Everything the commands print: results to stdout, notes, progress and errors to stderr. Colours and wrapping only
 * where a person is looking; piped output is plain and never cut.
 *
 * @module
 */
import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';
import progress from 'cli-progress'; // CommonJS: Node 24 finds no named exports in it
import { widthOf, wrap } from './text.js';

/** What the global options and the environment say about output. */
export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  /** False with `--no-color`. */
  readonly color: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;
  readonly stderr: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;
}

/** A column of a table. */
export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** May be left out where the table does not fit. */
  readonly optional?: boolean;
}

type Style = Parameters<typeof styleText>[0];

/** Shows how far a command has come. */
export interface Progress {
  update(done: number): void;
  stop(): void;
}

/** Narrower than this nothing can be laid out. */
const MIN_WIDTH = 30;

/** Prints for people or, with `--json`, for programs. */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  private readonly options: OutputOptions;
  /** @param options - see {@link OutputOptions} */
  constructor(options: OutputOptions) {
    this.options = options;
    this.json = options.json;
    this.quiet = options.quiet;
  }

  /** Columns to lay out for; Infinity when nobody is looking (a pipe or a file). */
  get width(): number {
    const { stdout } = this.options;
    return stdout.isTTY ? Math.max(MIN_WIDTH, stdout.columns ?? 80) : Number.POSITIVE_INFINITY;
  }

  /** Colours a text for stdout (or stderr), where that is wanted: https://no-color.org, `FORCE_COLOR`, `--no-color`. */
  paint(style: Style, text: string, stream: 'stdout' | 'stderr' = 'stdout'): string {
    const { color, env } = this.options;
    const forced = env['FORCE_COLOR'] !== undefined && env['FORCE_COLOR'] !== '0' && env['FORCE_COLOR'] !== '';
    const wanted = color && !env['NO_COLOR'] && (forced || (this.options[stream].isTTY === true && env['TERM'] !== 'dumb'));
    return wanted ? styleText(style, text, { validateStream: false }) : text;
  }

  /** A line of the result. */
  line(text = ''): void {
    this.options.stdout.write(`${text}\n`);
  }

  /** Sentences of the result, wrapped where a person is looking. */
  prose(text: string): void {
    for (const line of wrap(text, this.width)) this.line(line);
  }

  /** Text of the result without a line break (streaming). */
  write(text: string): void {
    this.options.stdout.write(text);
  }

  /** The result for programs: one JSON value. */
  value(value: unknown): void {
    this.options.stdout.write(`${JSON.stringify(value, null, this.options.stdout.isTTY ? 2 : 0)}\n`);
  }

  /** A remark that is no result; not with `--quiet`. */
  note(text: string): void {
    if (!this.quiet) this.options.stderr.write(`${this.paint('dim', text, 'stderr')}\n`);
  }

  /** An error: one line, or with `--json` one object. */
  error(text: string, details: object = {}): void {
    const line = text.replaceAll(/\s*\n\s*/g, ' ');
    if (this.json) this.options.stderr.write(`${JSON.stringify({ error: { message: line, ...details } })}\n`);
    else this.options.stderr.write(`${this.paint('red', 'error:', 'stderr')} ${line}\n`);
  }

  /** Name and value, one below the other. */
  pairs(pairs: readonly (readonly [name: string, value: string])[]): void {
    const names = Math.max(0, ...pairs.map(([name]) => widthOf(name)));
    for (const [name, value] of pairs) {
      wrap(value, Math.max(MIN_WIDTH / 2, this.width - names - 2)).forEach((line, n) => {
        this.line(`${this.paint('dim', pad(n === 0 ? name : '', names))}  ${line}`);
      });
    }
  }

  /**
   * Rows below each other. What does not fit into the terminal first loses optional columns and is then printed as one
   * block per row, so that an id is never cut and can always be copied.
   */
  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
    let shown = columns.map((column, index) => ({
      column,
      index,
      width: Math.max(widthOf(column.title), ...rows.map((row) => widthOf(row[index] ?? ''))),
    }));
    const total = (): number => shown.reduce((sum, c) => sum + c.width + 2, -2);
    for (const column of columns.toReversed()) {
      if (total() <= this.width) break;
      if (column.optional) shown = shown.filter((c) => c.column !== column);
    }
    if (total() > this.width) {
      rows.forEach((row, n) => {
        if (n > 0) this.line();
        this.pairs(columns.map((column, index) => [column.title, row[index] ?? '']));
      });
      return;
    }
    const print = (cells: readonly string[]): void => this.line(cells.join('  ').trimEnd());
    print(shown.map((c) => this.paint('bold', pad(c.column.title, c.width, c.column.align))));
    for (const row of rows) print(shown.map((c) => pad(row[c.index] ?? '', c.width, c.column.align)));
  }

  /**
   * Starts to show on stderr how much of something was done whose total nobody knows: one line on a terminal, a line now and
   * then otherwise, nothing with `--quiet` or `--json`.
   *
   * @param what - what is counted, e.g. `conversations read`
   */
  counting(what: string): Progress {
    const { stderr } = this.options;
    if (this.quiet || this.json) return { update: () => undefined, stop: () => undefined };
    const started = performance.now();
    let told = started;
    let shown = false;
    return {
      update: (done) => {
        const now = performance.now();
        if (now - told < (stderr.isTTY ? TELL.terminal : TELL.pipe)) return;
        told = now;
        shown = true;
        const text = `${done} ${what}, ${Math.round((done * 1000) / (now - started))}/s`;
        stderr.write(stderr.isTTY ? `\r\x1b[K${text.slice(0, (stderr.columns ?? 80) - 1)}` : `${text}\n`);
      },
      stop: () => {
        if (shown && stderr.isTTY) stderr.write('\r\x1b[K');
        shown = false;
      },
    };
  }

  /**
   * Starts to show progress on stderr: a bar on a terminal, a line per tenth otherwise, nothing with `--quiet` or `--json`.
   *
   * @param what - what is counted, e.g. `messages`
   * @param total - how many there are
   */
  progress(what: string, total: number): Progress {
    const { stderr } = this.options;
    if (this.quiet || this.json || total === 0) return { update: () => undefined, stop: () => undefined };
    if (!stderr.isTTY) {
      let told = 0;
      return {
        update: (done) => {
          const tenth = Math.floor((done * 10) / total);
          if (tenth > told) stderr.write(`${done}/${total} ${what}\n`);
          told = Math.max(told, tenth);
        },
        stop: () => undefined,
      };
    }
    // 40 columns for the numbers: the bar must stay on one line, or each update would leave a line behind
    const barsize = Math.max(5, Math.min(40, (stderr.columns ?? 80) - 40 - what.length));
    const bar = new progress.SingleBar(
      { format: `{bar} {value}/{total} ${what} {rate}/s {eta_formatted}`, barsize, hideCursor: true, stream: stderr, gracefulExit: false },
      progress.Presets.shades_classic,
    );
    const started = performance.now();
    bar.start(total, 0, { rate: 0 });
    return {
      update: (done) => bar.update(done, { rate: Math.round((done * 1000) / Math.max(1, performance.now() - started)) }),
      stop: () => bar.stop(),
    };
  }
}

/** Milliseconds between lines about work whose end is not known: on a terminal one line is written over, elsewhere they add up. */
const TELL = { terminal: 200, pipe: 10_000 };

function pad(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return align === 'right' ? space + text : text + space;
}
