import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Output } from '../../src/cli/output.js';
import { readTime } from '../../src/cli/query.js';
import { bytesText, printable, printableLine, widthOf, wrap } from '../../src/cli/text.js';

/** A stream that remembers, and says it is a terminal of a width (or none). */
class Screen extends Writable {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number;
  constructor(columns?: number) {
    super();
    this.isTTY = columns !== undefined;
    this.columns = columns ?? 0;
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
  get lines(): string[] {
    return this.text.replace(/\n$/, '').split('\n');
  }
}
function terminal(
  columns?: number,
  more: { quiet?: boolean; env?: Record<string, string>; json?: boolean } = {},
): { out: Output; stdout: Screen; stderr: Screen } {
  const [stdout, stderr] = [new Screen(columns), new Screen(columns)];
  const { quiet = false, json = false, env = { NO_COLOR: '1' } } = more;
  return { out: new Output({ json, quiet, color: true, env, stdout, stderr }), stdout, stderr };
}

describe('text for a terminal', () => {
  it('holds no controls, whatever was stored', () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/u;
    for (let code = 0; code <= 0xffff; code++) {
      const char = String.fromCharCode(code);
      if (unsafe.test(printable(char)) || /[\n\t]/.test(printableLine(char))) throw new Error(`U+${code.toString(16)} gets through`);
    }
    expect(printable('a\u001b[31mb\r\nc\td\ud800')).toBe('a\\x1b[31mb\nc\td\\ud800');
    expect(printable('😀 ünï 漢字')).toBe('😀 ünï 漢字');
    expect(printableLine('a\nb\tc')).toBe('a\\nb\\tc');
  });

  it('is measured in columns', () => {
    expect(['abc', '漢字', '😀', 'e\u0301', '👨‍👩‍👧', 'ｆ', ''].map(widthOf)).toStrictEqual([3, 4, 2, 1, 2, 2, 0]);
  });

  it('is wrapped without losing anything but spaces', () => {
    const text = `one two three ${'x'.repeat(25)} 漢字漢字漢字漢字漢字\n  kept indentation of a long line\n\nend`;
    for (const width of [10, 11, 20, 60]) {
      const lines = wrap(text, width);
      expect(lines.filter((line) => widthOf(line) > width)).toStrictEqual([]);
      expect(lines.join('').replaceAll(/\s/g, '')).toBe(text.replaceAll(/\s/g, ''));
    }
    expect(wrap(text, Number.POSITIVE_INFINITY)).toStrictEqual(text.split('\n'));
    expect(wrap('', 10)).toStrictEqual(['']);
  });

  it('counts bytes', () => {
    expect([0, 999, 1000, 1_636_612, 5e12].map(bytesText)).toStrictEqual(['0 B', '999 B', '1.0 kB', '1.6 MB', '5.0 TB']);
  });
});

describe('a table', () => {
  const columns = [{ title: 'conversation' }, { title: 'n', align: 'right' }, { title: 'created', optional: true }] as const;
  const rows = [
    ['a-rather-long-conversation-id', '5', '2026-01-01 00:00Z'],
    ['漢字', '12345', '2026-01-02 00:00Z'],
  ];

  it('is aligned', () => {
    const { out, stdout } = terminal(80);
    out.table(columns, rows);
    expect(stdout.lines).toStrictEqual([
      'conversation                       n  created',
      'a-rather-long-conversation-id      5  2026-01-01 00:00Z',
      '漢字                           12345  2026-01-02 00:00Z',
    ]);
  });

  it('fits a narrow terminal: fewer columns first, then one block per row, and ids stay whole', () => {
    for (const width of [80, 60, 50, 40, 32]) {
      const { out, stdout } = terminal(width);
      out.table(columns, rows);
      const longest = Math.max(...stdout.lines.map(widthOf));
      // a block's value may be wider than what is left: it is wrapped, not cut
      expect(longest).toBeLessThanOrEqual(Math.max(width, 44));
      expect(stdout.text.replaceAll(/\s/g, '')).toContain('a-rather-long-conversation-id');
    }
    const { out, stdout } = terminal(40);
    out.table(columns, rows);
    expect(stdout.lines[0]).toBe('conversation                       n');
  });

  it('is never cut in a pipe', () => {
    const { out, stdout } = terminal();
    out.table(columns, [['x'.repeat(500), '1', 'c']]);
    expect(stdout.text).toContain('x'.repeat(500));
  });
});

describe('colours', () => {
  it('follow the terminal, NO_COLOR, FORCE_COLOR and TERM', () => {
    const painted = (columns: number | undefined, env: Record<string, string>): boolean =>
      terminal(columns, { env }).out.paint('red', 'x') !== 'x';
    expect(painted(80, {})).toBe(true);
    expect(painted(undefined, {})).toBe(false);
    expect(painted(80, { NO_COLOR: '1' })).toBe(false);
    expect(painted(80, { TERM: 'dumb' })).toBe(false);
    expect(painted(undefined, { FORCE_COLOR: '1' })).toBe(true);
    expect(painted(undefined, { FORCE_COLOR: '0' })).toBe(false);
    expect(painted(80, { NO_COLOR: '' })).toBe(true);
  });
});

describe('progress', () => {
  it('is a line per tenth in a pipe, a bar on a terminal, nothing when quiet', () => {
    const show = (columns: number | undefined, more: { quiet?: boolean; json?: boolean }): Screen => {
      const { out, stderr } = terminal(columns, more);
      const progress = out.progress('messages', 50);
      for (let i = 1; i <= 50; i++) progress.update(i);
      progress.stop();
      return stderr;
    };
    expect(show(undefined, {}).lines).toStrictEqual([5, 10, 15, 20, 25, 30, 35, 40, 45, 50].map((n) => `${n}/50 messages`));
    expect(show(80, {}).text).toContain('50/50 messages');
    expect(show(80, { quiet: true }).text + show(undefined, { quiet: true }).text + show(80, { json: true }).text).toBe('');
  });
});

describe('a time as typed', () => {
  const now = Date.UTC(2026, 0, 15, 12);
  const read = (text: string, end = false): string => readTime(text, '--since', end, now).toISOString();

  it('is ISO 8601 or how long ago', () => {
    expect(read('2026-01-10')).toBe('2026-01-10T00:00:00.000Z');
    expect(read('2026-01-10', true)).toBe('2026-01-10T23:59:59.999Z');
    expect(read('2026-01-10T08:30+02:00')).toBe('2026-01-10T06:30:00.000Z');
    expect(read('2026-01-10T08:30:15.5Z', true)).toBe('2026-01-10T08:30:15.500Z');
    expect(read('90m')).toBe('2026-01-15T10:30:00.000Z');
    expect(read('7d')).toBe('2026-01-08T12:00:00.000Z');
  });

  it('is refused when it is neither', () => {
    for (const text of ['', 'yesterday', '2026-02-30', '2026-13-01', '10.01.2026', '7', '7y', '2026-01-10 08:00', '2026-01-10T25:00Z']) {
      expect(() => read(text), text).toThrow('--since must be a time');
    }
  });
});
