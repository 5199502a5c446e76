/**
 * `jaf-memory completion SHELL`: a script that completes commands and options, made from the commands themselves.
 *
 * @module
 */
import { Argument, type Command } from 'commander';
import { EXIT, type Run } from '../session.js';

/** An option as a shell needs it. */
interface Flag {
  /** `-o`, `--output`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

/** A command with its subcommands' words and options. */
interface Entry {
  readonly name: string;
  readonly description: string;
  readonly words: readonly string[];
  readonly flags: readonly Flag[];
}

function flagsOf(command: Command): Flag[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined),
      description: option.description,
      takesValue: option.required || option.optional,
      choices: option.argChoices ?? [],
    }));
}

function entriesOf(program: Command): Entry[] {
  const shared = flagsOf(program).filter(({ names }) => !names.includes('--version') && !names.includes('--help'));
  return program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    words: [...command.commands.map((sub) => sub.name()), ...command.registeredArguments.flatMap((argument) => argument.argChoices ?? [])],
    flags: [...flagsOf(command), ...command.commands.flatMap(flagsOf), ...shared].filter(
      (flag, index, all) => all.findIndex((other) => other.names.at(-1) === flag.names.at(-1)) === index,
    ),
  }));
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const namesOf = (flags: readonly Flag[]): string[] => flags.flatMap(({ names }) => names);

function bash(entries: readonly Entry[], shared: readonly Flag[]): string {
  const all = [...shared, ...entries.flatMap(({ flags }) => flags)];
  const withValue = [...new Set(namesOf(all.filter(({ takesValue }) => takesValue)))];
  const chosen = (flags: readonly Flag[]): string[] =>
    flags
      .filter(({ choices }) => choices.length > 0)
      .map(
        ({ names, choices }) => `        ${names.join('|')}) COMPREPLY=($(compgen -W ${quoted(choices.join(' '))} -- "$cur")); return ;;`,
      );
  const cases = entries.map(({ name, words, flags }) =>
    [
      `    ${name})`,
      '      case $prev in',
      ...chosen(flags),
      '      esac',
      `      words=${quoted([...words, ...namesOf(flags)].join(' '))} ;;`,
    ].join('\n'),
  );
  return `# bash completion of jaf-memory: source <(jaf-memory completion bash)
_jaf_memory() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${withValue.join('|')}) ((i++)) ;;
      -*) ;;
      *) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  COMPREPLY=()
  case $command in
    '') words=${quoted([...entries.map(({ name }) => name), ...namesOf(shared)].join(' '))} ;;
${cases.join('\n')}
  esac
  # a value nobody can list: files
  case $prev in
    ${withValue.join('|')}) return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _jaf_memory jaf-memory
`;
}

function zsh(entries: readonly Entry[], shared: readonly Flag[]): string {
  const plain = (text: string): string => text.replaceAll(/[[\]:\\]/g, (char) => `\\${char}`);
  const spec = ({ names, description, takesValue, choices }: Flag): string => {
    const value = takesValue ? (choices.length > 0 ? `:value:(${choices.join(' ')})` : ':value:_files') : '';
    const body = `[${plain(description)}]${value}`;
    return names.length > 1 ? `'(${names.join(' ')})'{${names.join(',')}}${quoted(body)}` : quoted(`${names[0] ?? ''}${body}`);
  };
  const cases = entries.map(({ name, words, flags }) => {
    const rest = words.length > 0 ? `'1:word:(${words.join(' ')})'` : "'*:file:_files'";
    return `    ${name}) _arguments -s ${[...flags.map(spec), rest].join(' \\\n        ')} ;;`;
  });
  return `#compdef jaf-memory
# zsh completion: jaf-memory completion zsh > "\${fpath[1]}/_jaf-memory"
_jaf_memory() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${[...shared.map(spec), "'1: :->command'", "'*:: :->rest'"].join(' \\\n    ')}
  case $state in
    command)
      local -a commands=(
${entries.map(({ name, description }) => `        ${quoted(`${name}:${plain(description)}`)}`).join('\n')}
      )
      _describe command commands ;;
    rest)
      case $line[1] in
${cases.map((text) => `  ${text}`).join('\n')}
      esac ;;
  esac
}
if [ "$funcstack[1]" = _jaf-memory ]; then _jaf_memory "$@"; else compdef _jaf_memory jaf-memory; fi
`;
}

function fish(entries: readonly Entry[], shared: readonly Flag[]): string {
  const option = ({ names, description, takesValue, choices }: Flag): string =>
    [
      ...names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)),
      ...(takesValue ? [choices.length > 0 ? `-x -a ${quoted(choices.join(' '))}` : '-r'] : []),
      `-d ${quoted(description)}`,
    ].join(' ');
  return [
    '# fish completion: jaf-memory completion fish > ~/.config/fish/completions/jaf-memory.fish',
    ...shared.map((flag) => `complete -c jaf-memory ${option(flag)}`),
    ...entries.map(({ name, description }) => `complete -c jaf-memory -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`),
    ...entries.flatMap(({ name, words, flags }) => {
      const when = `complete -c jaf-memory -n '__fish_seen_subcommand_from ${name}'`;
      const own = flags.filter((flag) => !shared.some((other) => other.names.at(-1) === flag.names.at(-1)));
      return [...(words.length > 0 ? [`${when} -f -a ${quoted(words.join(' '))}`] : []), ...own.map((flag) => `${when} ${option(flag)}`)];
    }),
    '',
  ].join('\n');
}

/** Adds the command; it knows the commands that were added before and after it. */
export function registerCompletion(program: Command, run: Run): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in a shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
Examples:
  source <(jaf-memory completion bash)                                       also in ~/.bashrc
  jaf-memory completion zsh > "\${fpath[1]}/_jaf-memory"
  jaf-memory completion fish > ~/.config/fish/completions/jaf-memory.fish`,
    )
    .action(
      run(async ({ out }, shell: 'bash' | 'zsh' | 'fish') => {
        out.write({ bash, zsh, fish }[shell](entriesOf(program), flagsOf(program)));
        return EXIT.ok;
      }),
    );
}
