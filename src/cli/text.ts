/**
 * Text for a terminal: made harmless, measured, wrapped.
 *
 * @module
 */

// Controls that are not line breaks or tabs, and marks that reorder what is shown: stored text must not steer the terminal.
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/gu;

const escaped = (char: string): string => {
  const code = char.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
};

/**
 * Stored text that may go to a terminal: control characters and marks that reorder text become visible escapes. Line
 * breaks and tabs stay.
 *
 * @param text - anything that was stored
 */
export function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(UNSAFE, escaped);
}

/** As {@link printable}, on one line: line breaks and tabs become escapes too. */
export function printableLine(text: string): string {
  return text.replace(UNSAFE, escaped).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const WIDE =
  /^(?:\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}])|\ufe0f/u;

/**
 * Columns a text without escape codes takes: most characters one, CJK and emoji two, combining marks none.
 *
 * @param text - one line
 */
export function widthOf(text: string): number {
  // ASCII, the usual case, without segmenting
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += WIDE.test(segment) ? 2 : /^[\p{Mn}\p{Cf}]+$/u.test(segment) ? 0 : 1;
  return width;
}

/** Cuts a word that is wider than a line. */
function pieces(word: string, width: number): string[] {
  if (widthOf(word) <= width) return [word];
  const parts: string[] = [];
  let part = '';
  let used = 0;
  for (const { segment } of graphemes.segment(word)) {
    const w = widthOf(segment);
    if (used + w > width && part !== '') {
      parts.push(part);
      part = '';
      used = 0;
    }
    part += segment;
    used += w;
  }
  parts.push(part);
  return parts;
}

/**
 * Breaks a text into lines of a width, at spaces where there are any. Line breaks stay; indentation of a line stays.
 *
 * @param text - without escape codes
 * @param width - columns; Infinity breaks nothing
 */
export function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((line) => {
    if (widthOf(line) <= width) return [line];
    const lines: string[] = [];
    let current = '';
    let used = 0;
    for (const word of line.split(/(?<=\s)(?=\S)/)) {
      for (const piece of pieces(word, width)) {
        if (used > 0 && used + widthOf(piece.trimEnd()) > width) {
          lines.push(current.trimEnd());
          current = '';
          used = 0;
        }
        current += piece;
        used += widthOf(piece);
      }
    }
    lines.push(current.trimEnd());
    return lines;
  });
}

/**
 * A time in UTC to the minute, or to the second.
 *
 * @param time - a valid date
 */
export function timeText(time: Date, seconds = false): string {
  return `${time
    .toISOString()
    .slice(0, seconds ? 19 : 16)
    .replace('T', ' ')}Z`;
}

/**
 * A count of bytes for people.
 *
 * @param bytes - zero or more
 */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/**
 * A count with its noun: `1 message`, `2 messages`.
 *
 * @param count - how many
 * @param noun - in the singular; its plural ends in "s"
 */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
