/**
 * `jaf-memory chat`: talk to an agent that remembers. `npm run chat` is this command.
 *
 * @module
 */
import { createInterface, type Interface } from 'node:readline';
import type { Command } from 'commander';
import { checkedId } from '../query.js';
import { RunError } from '../../engine/errors.js';
import type { Agent, ModelProvider } from '../../index.js';
import { MemoryError } from '../../memory/errors.js';
import { user } from '../../memory/message.js';
import type { MemoryProvider } from '../../memory/types.js';
import type { Output } from '../output.js';
import { EXIT, type Run, report, type Session } from '../session.js';
import { bytesText, counted, printable, printableLine, timeText, wrap } from '../text.js';
import { printMessage } from '../transcript.js';

interface ChatOptions {
  readonly conversation: string;
  readonly user?: string;
  readonly model?: string;
}

/** Shown by `/history` unless a count is given. */
const HISTORY = 20;
const HELP =
  '/history [count]  what is remembered\n/stats            how much is stored\n/forget           delete this conversation\n/quit             leave (also Ctrl-D)';

const agent: Agent = {
  name: 'assistant',
  instructions: () => 'You are a helpful assistant. Answer briefly. You remember this conversation from earlier sessions.',
};

/** The model the environment asks for, and a line that says which one it is. */
async function chooseModel(env: Session['env'], name: string | undefined): Promise<{ model: ModelProvider; says: string }> {
  const { createOfflineModel, createOpenAIModel } = await import('../../models/index.js');
  const apiKey = env['OPENAI_API_KEY'];
  if (!apiKey) {
    return {
      model: createOfflineModel(),
      says: 'Offline model (OPENAI_API_KEY is not set): it follows simple rules and knows only this conversation.',
    };
  }
  const baseURL = env['OPENAI_BASE_URL'];
  const chosen = name ?? env['JAF_MODEL'];
  const model = createOpenAIModel({ apiKey, ...(baseURL ? { baseURL } : {}), ...(chosen ? { model: chosen } : {}) });
  const host = baseURL && URL.canParse(baseURL) ? new URL(baseURL).host : 'api.openai.com';
  return { model, says: `Model ${chosen ? printableLine(chosen) : '(default)'} at ${host}.` };
}

/** Text as it arrives, harmless; half of a character waits for its other half. */
class Stream {
  private readonly out: Output;
  private held = '';
  /** Whether anything was printed. */
  any = false;

  constructor(out: Output) {
    this.out = out;
  }

  push(delta: string): void {
    const text = this.held + delta;
    const cut = /[\ud800-\udbff\r]$/.test(text) ? text.length - 1 : text.length;
    this.held = text.slice(cut);
    if (cut === 0) return;
    this.any = true;
    this.out.write(printable(text.slice(0, cut)));
  }

  end(): void {
    if (this.held !== '') this.out.write(printable(this.held));
    this.held = '';
    if (this.any) this.out.line();
  }
}

/** One conversation with a person. */
class Chat {
  private readonly session: Session;
  private readonly provider: MemoryProvider;
  private readonly model: ModelProvider;
  private readonly options: ChatOptions;
  /** Ends the reply that is being made. */
  private reply: AbortController | undefined;

  constructor(session: Session, provider: MemoryProvider, model: ModelProvider, options: ChatOptions) {
    this.session = session;
    this.provider = provider;
    this.model = model;
    this.options = options;
  }

  /** Stops the reply that is being made. @returns whether there was one */
  stop(): boolean {
    this.reply?.abort();
    return this.reply !== undefined;
  }

  /** Sends what was typed and prints the reply as it comes. @returns an exit code */
  async say(text: string): Promise<number> {
    const { stream } = await import('../../index.js');
    const { out, signal } = this.session;
    const reply = new AbortController();
    this.reply = reply;
    try {
      const userId = this.options.user;
      const running = stream(
        { messages: [user(text)], currentAgentName: agent.name, context: userId === undefined ? {} : { userId } },
        {
          agentRegistry: { [agent.name]: agent },
          modelProvider: this.model,
          memory: { provider: this.provider },
          conversationId: this.options.conversation,
          signal: AbortSignal.any([reply.signal, signal]),
        },
      );
      const printed = new Stream(out);
      for await (const event of running) {
        if (event.type === 'text_delta' && typeof event['textDelta'] === 'string' && !out.json) printed.push(event['textDelta']);
      }
      const { outcome } = await running.result;
      if (!out.json && outcome.status === 'completed' && !printed.any) printed.push(outcome.output);
      printed.end();
      if (outcome.status === 'completed') {
        if (out.json) out.value({ reply: outcome.output });
        return EXIT.ok;
      }
      if (reply.signal.aborted) {
        out.note('Stopped.');
        return EXIT.ok;
      }
      if (signal.aborted) return EXIT.interrupted;
      throw outcome.error;
    } finally {
      this.reply = undefined;
    }
  }

  /** Carries out a line that begins with `/`. @returns whether to go on */
  async command(line: string): Promise<boolean> {
    const { out } = this.session;
    const { conversation } = this.options;
    const [name = '', argument] = line.trim().split(/\s+/);
    switch (name) {
      case '/history': {
        const count = argument === undefined ? HISTORY : Number(argument);
        if (!Number.isSafeInteger(count) || count < 1) out.note('/history takes a count, such as /history 5.');
        else await this.history(count);
        return true;
      }
      case '/stats': {
        const [found, stats] = await Promise.all([
          this.provider.getConversation(conversation, { messageLimit: 0 }),
          this.provider.getStats(),
        ]);
        if (out.json) out.value({ conversation: found?.messageCount ?? 0, store: stats });
        else {
          out.pairs([
            ['this conversation', `${counted(found?.messageCount ?? 0, 'message')}${found ? `, since ${timeText(found.createdAt)}` : ''}`],
            [
              'the store',
              `${counted(stats.totalConversations, 'conversation')}, ${counted(stats.totalMessages, 'message')}, ${bytesText(stats.totalStorageSize)}`,
            ],
          ]);
        }
        return true;
      }
      case '/forget': {
        const gone = await this.provider.deleteConversation(conversation);
        if (out.json) out.value({ forgotten: gone });
        else out.line(gone ? 'Forgotten.' : 'There was nothing to forget.');
        return true;
      }
      case '/help':
        if (!out.json) out.line(HELP);
        return true;
      case '/quit':
      case '/exit':
        return false;
      default:
        out.note(`There is no command ${printableLine(name)}.\n${HELP}`);
        return true;
    }
  }

  private async history(count: number): Promise<void> {
    const { out } = this.session;
    const { items } = await this.provider.getMessages(this.options.conversation, { before: Number.MAX_SAFE_INTEGER, limit: count });
    if (out.json) out.value({ messages: items.map((item) => item.message) });
    else if (items.length === 0) out.line('Nothing is remembered yet.');
    else for (const { seq, message } of items) printMessage(out, message, seq);
  }
}

/** Reports the failure of a reply. What is not of this package comes from the model's client. */
function failed(error: unknown, out: Output, interrupted: boolean): number {
  if (error instanceof MemoryError || interrupted) return report(error, out, interrupted);
  const own = error instanceof RunError;
  const text = printableLine(error instanceof Error ? error.message : String(error));
  out.error(own ? text : `the model: ${text} Check OPENAI_API_KEY, OPENAI_BASE_URL, JAF_MODEL and the network.`, {
    code: own ? error.code : 'model',
  });
  return own ? EXIT.findings : EXIT.connection;
}

/** Reads lines until the end of the input, `/quit` or an interrupt. */
async function converse(chat: Chat, session: Session, lines: Interface, interactive: boolean): Promise<number> {
  const { out } = session;
  let code: number = EXIT.ok;
  const prompt = (): void => {
    if (interactive) lines.prompt();
  };
  // in a terminal Ctrl-C comes as an event of the line reader: it ends the reply, or with none under way the chat
  lines.on('SIGINT', () => {
    if (chat.stop()) return;
    code = EXIT.interrupted;
    lines.close();
  });
  const onAbort = (): void => lines.close();
  session.signal.addEventListener('abort', onAbort);
  try {
    prompt();
    for await (const line of lines) {
      const text = line.trim();
      if (text.startsWith('/')) {
        if (!(await chat.command(text))) return EXIT.ok;
      } else if (text !== '') {
        // the chat goes on, and a script sees the failure in the exit code
        const said = await chat.say(text).catch((error: unknown) => failed(error, out, session.signal.aborted));
        if (!interactive && said !== EXIT.ok) code = said;
      }
      prompt();
    }
    if (interactive) out.line();
    return code;
  } finally {
    session.signal.removeEventListener('abort', onAbort);
    lines.close();
  }
}

/** Adds the command. */
export function registerChat(program: Command, run: Run): void {
  program
    .command('chat')
    .description('talk to an agent that remembers; with OPENAI_API_KEY to a real model')
    .option('-c, --conversation <id>', 'conversation id', 'chat')
    .option('-u, --user <id>', 'owner of the conversation')
    .option('--model <name>', 'model to use with OPENAI_API_KEY (default: JAF_MODEL)')
    .action(
      run(async (session, options: ChatOptions) => {
        const { out } = session;
        checkedId(options.conversation, '--conversation');
        if (options.user !== undefined) checkedId(options.user, '--user');
        const { model, says } = await chooseModel(session.env, options.model);
        const provider = await session.open(true, { type: 'sqlite' });
        const interactive = process.stdin.isTTY && process.stdout.isTTY;
        if (!out.json) {
          for (const line of wrap(says, out.width)) out.line(line);
          const found = await provider.getConversation(options.conversation, { messageLimit: 0 });
          const remembered = found ? `${counted(found.messageCount, 'message')} remembered` : 'new';
          for (const line of wrap(
            `Conversation "${printableLine(options.conversation)}" (${remembered}) in ${printableLine(session.location)}.`,
            out.width,
          ))
            out.line(line);
          if (interactive) out.line('/history, /stats, /forget, /quit');
        }
        const lines = createInterface(
          interactive
            ? { input: process.stdin, output: process.stdout, prompt: out.paint('cyan', 'you> ') }
            : { input: process.stdin, terminal: false, crlfDelay: Number.POSITIVE_INFINITY },
        );
        return await converse(new Chat(session, provider, model, options), session, lines, interactive);
      }),
    );
}
