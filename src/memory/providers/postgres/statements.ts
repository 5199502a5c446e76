/**
 * The statements of sql/*.sql: cut out by name, put together, with the names of a store filled in.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { type StoreNames, withNames } from './names.js';
import type { Row } from './records.js';
import { sql } from './sql.generated.js';

/** A statement as it is sent. */
export interface Statement {
  /** Tells prepared statements apart: two stores may share a connection, so it follows from the text. */
  readonly name: string;
  readonly text: string;
  /** Makes a row of its columns, in their order, each as text: such a statement may be sent without asking for its columns. */
  readonly row?: (columns: readonly (string | null)[]) => Row;
}

/** What a statement is made for: flags for `-- if`, texts for `{=…}`. */
export type Variant = Readonly<Record<string, boolean | string>>;

const pieces: ReadonlyMap<string, string> = new Map(
  Object.entries(sql)
    .filter(([file]) => !/^\d/.test(file))
    .flatMap(([, text]) =>
      text
        .split(/^-- name: /m)
        .slice(1)
        .map((piece): [string, string] => [piece.slice(0, piece.indexOf('\n')), piece.slice(piece.indexOf('\n') + 1)]),
    ),
);

function pieceOf(name: string): string {
  const piece = pieces.get(name);
  if (piece === undefined) throw new Error(`no statement is named ${name}`);
  return piece;
}

/** Keeps the lines whose conditions hold, and drops comments: they would be parsed on every use of an unnamed statement. */
function choose(text: string, variant: Variant): string {
  const holds: boolean[] = [];
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    const [, word, not, flag] = /^-- (if|else|end)(?: (!?)(\w+))?$/.exec(line) ?? [];
    if (word === 'if') holds.push((variant[flag ?? ''] === true) !== (not === '!'));
    else if (word === 'else') holds.push(!holds.pop());
    else if (word === 'end') holds.pop();
    else if (!holds.includes(false) && !/^\s*(--|$)/.test(line)) lines.push(line);
  }
  return lines.join('\n');
}

function compose(name: string, variant: Variant): string {
  return choose(pieceOf(name), variant).replaceAll(/\{=(\w+)\}/g, (_, part: string) => {
    const given = variant[part];
    return typeof given === 'string' ? given : compose(part, variant);
  });
}

/** The statements of one store, made when they are first used. */
export class Statements {
  readonly #names: StoreNames;
  readonly #made = new Map<string, Statement>();

  constructor(names: StoreNames) {
    this.#names = names;
  }

  /**
   * A statement of sql/.
   *
   * @param name - behind `-- name:`
   * @param variant - see {@link Variant}
   */
  get(name: string, variant: Variant = {}): Statement {
    const key = `${name} ${Object.entries(variant)
      .map(([k, v]) => `${k}=${String(v)}`)
      .join(' ')}`;
    let made = this.#made.get(key);
    if (!made) {
      const text = withNames(compose(name, variant), this.#names);
      made = { name: `jaf_${name}_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`, text };
      this.#made.set(key, made);
    }
    return made;
  }
}
