// Finds the code blocks of a Markdown file and what the HTML comments around them say about running them.
//
//   <!-- run: memory sqlite redis postgres -->   runs once on each provider; the environment names that provider (default: memory)
//   <!-- run: memory with provider -->           the same, with `provider` opened from the environment
//   <!-- run: memory⏎ … code … -->               lines below the first are set-up that readers do not see
//   <!-- later: redis -->                        needs what is not there yet; fails the test once it works
//   <!-- env: sqlite -->                         a bash block of variables; they must describe that provider
//   <!-- shown: why -->                          type-checked (ts) but not run
//   <!-- output -->                              the fenced block below it is what the code above prints; `…` stands for any text
//   <!-- check⏎ … code … -->                     below a block: code that runs behind it, for what is not printed

/** Languages of blocks that can be run. */
const CODE = new Set(['ts', 'js', 'bash', 'sh', 'sql']);
const PROVIDERS = ['memory', 'sqlite', 'redis', 'postgres'];

/**
 * @typedef {object} Lines
 * @property {number} line - where the text begins, from 1
 * @property {string} text
 *
 * @typedef {object} Block
 * @property {string} file
 * @property {number} line - of the first line of code, from 1
 * @property {string} lang
 * @property {string} code
 * @property {string[]} providers - where it runs
 * @property {boolean} withProvider
 * @property {Lines | undefined} setup
 * @property {Lines | undefined} check
 * @property {Lines | undefined} output - what it must print
 * @property {string | undefined} later
 * @property {string | undefined} shown
 * @property {string | undefined} env
 * @property {string[]} problems - marks that cannot be understood
 */

/**
 * @param {string} file - name for reports
 * @param {string} text - Markdown
 * @returns {Block[]} in order
 */
export function blocksOf(file, text) {
  const blocks = [];
  const lines = text.split('\n');
  let marks = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    if (line.startsWith('<!--')) {
      const start = i;
      while (!lines[i].includes('-->') && i < lines.length - 1) i++;
      const body = lines
        .slice(start, i + 1)
        .join('\n')
        .replace(/^<!--\s*/, '')
        .replace(/\s*-->.*$/s, '');
      const [first, ...rest] = body.split('\n');
      const mark = { line: start + 2, first: first.trim(), text: rest.join('\n') };
      const last = blocks.at(-1);
      if (mark.first === 'check' && last && marks.length === 0) last.check = { line: mark.line, text: mark.text };
      else marks.push(mark);
      continue;
    }
    const fence = /^(\s*)(`{3,})(\w*)/.exec(line);
    if (fence) {
      const [, indent, ticks, lang] = fence;
      const start = i + 1;
      do i++;
      while (i < lines.length && lines[i].trim() !== ticks);
      const code = lines
        .slice(start, i)
        .map((l) => (l.startsWith(indent) ? l.slice(indent.length) : l))
        .join('\n');
      const last = blocks.at(-1);
      if (marks.some((mark) => mark.first === 'output')) {
        if (last) last.output = { line: start + 1, text: code };
      } else if (CODE.has(lang)) blocks.push(blockOf(file, start + 1, lang, code, marks));
      marks = [];
    } else if (line.trim() !== '') marks = [];
  }
  return blocks;
}

function blockOf(file, line, lang, code, marks) {
  const block = { file, line, lang, code, providers: ['memory'], withProvider: false, problems: [] };
  for (const mark of marks) {
    const [, name, value] = /^(\w+):?\s*(.*)$/s.exec(mark.first) ?? [];
    if (name === 'run') {
      const [where, ...with_] = value.split(/\bwith\b/);
      block.providers = where.split(/[\s,]+/).filter(Boolean);
      block.withProvider = with_.join('').trim() === 'provider';
      const unknown = block.providers.filter((p) => !PROVIDERS.includes(p));
      if (unknown.length > 0 || block.providers.length === 0 || (with_.length > 0 && !block.withProvider))
        block.problems.push(`cannot read the mark "${mark.first}"`);
      if (mark.text !== '') block.setup = { line: mark.line, text: mark.text };
    } else if (name === 'later' || name === 'shown' || name === 'env') {
      if (value === '') block.problems.push(`the mark "${name}" needs a word behind it`);
      block[name] = value;
    } else block.problems.push(`there is no mark "${mark.first}"`);
  }
  if (block.env !== undefined && !PROVIDERS.includes(block.env)) block.problems.push(`there is no provider "${block.env}"`);
  const marked = marks.some((mark) => /^(run|env|shown|later)\b/.test(mark.first));
  if (!marked && lang !== 'ts' && lang !== 'js') block.shown = `${lang}, without a mark`;
  return block;
}
