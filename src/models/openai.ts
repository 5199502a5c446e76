/**
 * Models behind the chat-completions API: OpenAI, and every server that speaks it (Ollama, vLLM, LiteLLM …), through the
 * `openai` package.
 *
 * @module
 */
import type { ModelProvider, ModelReply, ModelRequest } from '../engine/agent.js';
import { RunError } from '../engine/errors.js';
import { MemoryConfigError } from '../memory/errors.js';
import { toChatMessages } from '../memory/message.js';
import type { Message, ToolCall } from '../memory/types.js';

/** Where and how to reach the model. */
export interface OpenAIModelOptions {
  /** Used unless the agent's `modelConfig.name` says otherwise; default `JAF_MODEL`, else `gpt-4o-mini`. */
  model?: string;
  /** Default `OPENAI_API_KEY`. Servers of your own often need none. */
  apiKey?: string;
  /** E.g. `http://localhost:11434/v1` for Ollama; default `OPENAI_BASE_URL`, else OpenAI. */
  baseURL?: string;
  /** A client of the `openai` package to use instead of making one; it keeps its own settings. */
  client?: object;
}

/** What is used of a client of the `openai` package. */
interface Client {
  readonly baseURL?: unknown;
  readonly chat: { readonly completions: { create(body: object, options: { signal?: AbortSignal }): PromiseLike<unknown> } };
}

/** The parts of a completion, or of a streamed chunk, that are read. Servers differ: everything may be absent. */
interface Completion {
  readonly choices?: readonly { readonly message?: Delta; readonly delta?: Delta; readonly finish_reason?: string | null }[];
  readonly usage?: { readonly prompt_tokens?: number; readonly completion_tokens?: number } | null;
}
interface Delta {
  readonly content?: string | null;
  readonly refusal?: string | null;
  readonly tool_calls?: readonly CallDelta[] | null;
}
interface CallDelta {
  readonly index?: number;
  readonly id?: string | null;
  readonly function?: { readonly name?: string | null; readonly arguments?: unknown };
}

/** A reply while it comes in. */
interface Draft {
  content: string | null;
  refusal: string;
  readonly calls: { id: string; name: string; args: string }[];
}

/**
 * A model behind the chat-completions API. The `openai` package is loaded at the first call.
 *
 * @param options - see {@link OpenAIModelOptions}; environment variables are read when the model is created
 * @returns a model for `RunConfig.modelProvider`; calls fail with `MemoryConfigError` (code `missing_peer`) when the package
 * is not installed, with `MemoryConfigError` without a key, and with the package's own errors otherwise
 * @example
 * createOpenAIModel({ baseURL: 'http://localhost:11434/v1', model: 'llama3.2' });
 */
export function createOpenAIModel(options: OpenAIModelOptions = {}): ModelProvider {
  const { OPENAI_API_KEY, OPENAI_BASE_URL, JAF_MODEL } = process.env;
  const apiKey = options.apiKey ?? (OPENAI_API_KEY || undefined);
  const baseURL = options.baseURL ?? (OPENAI_BASE_URL || undefined);
  const model = options.model ?? (JAF_MODEL || 'gpt-4o-mini');
  if (options.client !== undefined && typeof (options.client as Partial<Client>).chat?.completions?.create !== 'function') {
    throw new MemoryConfigError('createOpenAIModel: client: expected a client of the "openai" package (with chat.completions.create).', {
      provider: 'none',
      setting: 'client',
    });
  }
  let client = options.client ? Promise.resolve(options.client as Client) : undefined;
  const connect = async (): Promise<Client> => {
    client ??= createClient(apiKey, baseURL);
    try {
      return await client;
    } catch (error) {
      client = undefined;
      throw error;
    }
  };
  return {
    async getCompletion(request) {
      const { chat, baseURL: url } = await connect();
      const answer = (await chat.completions.create(requestBody(request, model, url), signalOf(request))) as Completion;
      const draft: Draft = { content: null, refusal: '', calls: [] };
      const choice = answer.choices?.[0];
      if (!choice?.message)
        throw new RunError(
          'model_reply',
          'createOpenAIModel: the server answered without a message (choices[0].message). Is this a chat-completions server?',
        );
      merge(draft, choice.message);
      return replyOf(draft, answer.usage);
    },
    async *streamCompletion(request) {
      const { chat, baseURL: url } = await connect();
      const body = { ...requestBody(request, model, url), stream: true, stream_options: { include_usage: true } };
      const chunks = (await chat.completions.create(body, signalOf(request))) as AsyncIterable<Completion>;
      const draft: Draft = { content: null, refusal: '', calls: [] };
      let usage: Completion['usage'];
      let finished = false;
      for await (const chunk of chunks) {
        usage = chunk.usage ?? usage;
        const choice = chunk.choices?.[0];
        if (choice?.delta) {
          merge(draft, choice.delta);
          if (choice.delta.content) yield { textDelta: choice.delta.content };
        }
        if (choice?.finish_reason) finished = true;
      }
      // the client takes a connection closed between two events for the end of the stream
      if (!finished) throw new RunError('model_reply', 'createOpenAIModel: the stream ended before the reply was complete. Run again.');
      yield { reply: replyOf(draft, usage) };
    },
  };
}

async function createClient(apiKey: string | undefined, baseURL: string | undefined): Promise<Client> {
  if (apiKey === undefined && baseURL === undefined) {
    throw new MemoryConfigError(
      'createOpenAIModel: no API key. Set OPENAI_API_KEY or pass { apiKey }; for a server of your own set OPENAI_BASE_URL or pass { baseURL }.',
      {
        provider: 'none',
        setting: 'OPENAI_API_KEY',
      },
    );
  }
  const { OpenAI } = await loadPackage();
  // a server without keys ignores this one; the client insists on having one
  return new OpenAI({ apiKey: apiKey ?? 'none', ...(baseURL === undefined ? {} : { baseURL }) });
}

async function loadPackage(): Promise<{ readonly OpenAI: new (options: object) => Client }> {
  try {
    return await import('openai');
  } catch (cause) {
    const { code, message } = cause as { code?: unknown; message?: unknown };
    // a package that is there but lacks one of its own is another fault
    if (code !== 'ERR_MODULE_NOT_FOUND' || !String(message).includes("'openai'")) throw cause;
    const error = new MemoryConfigError('createOpenAIModel needs the "openai" package: npm install openai', {
      provider: 'none',
      setting: 'openai',
      code: 'missing_peer',
    });
    error.cause = cause;
    throw error;
  }
}

function signalOf({ signal }: ModelRequest): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}

function requestBody(request: ModelRequest, model: string, baseURL: unknown): object {
  const { messages, tools, temperature, maxTokens, outputSchema } = request;
  // OpenAI's newer models refuse max_tokens, other servers know nothing else
  const limit = typeof baseURL !== 'string' || /^https:\/\/[^/]*\.openai\.com(\/|$)/.test(baseURL) ? 'max_completion_tokens' : 'max_tokens';
  return {
    model: request.model ?? model,
    messages: toChatMessages(messages),
    ...(tools.length === 0
      ? {}
      : {
          tools: tools.map(({ name, description, jsonSchema }) => ({
            type: 'function',
            function: { name, description, parameters: jsonSchema },
          })),
        }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { [limit]: maxTokens }),
    ...(outputSchema ? { response_format: { type: 'json_schema', json_schema: { name: 'output', schema: outputSchema } } } : {}),
  };
}

/** Adds a message or a piece of one to the draft. */
function merge(draft: Draft, { content, refusal, tool_calls: calls }: Delta): void {
  if (typeof content === 'string') draft.content = (draft.content ?? '') + content;
  if (typeof refusal === 'string') draft.refusal += refusal;
  (calls ?? []).forEach((call, position) => {
    // some servers leave the index out and send each call in one piece, with its id
    const index = call.index ?? (call.id ? draft.calls.length : Math.max(0, draft.calls.length - 1, position));
    const known = (draft.calls[index] ??= { id: '', name: '', args: '' });
    known.id ||= call.id ?? '';
    known.name += call.function?.name ?? '';
    const args = call.function?.arguments;
    known.args += typeof args === 'string' ? args : args === undefined || args === null ? '' : JSON.stringify(args);
  });
}

function replyOf(draft: Draft, usage: Completion['usage']): ModelReply {
  const calls = Object.values(draft.calls).map(
    ({ id, name, args }, index): ToolCall => ({
      id: id || `call_${Date.now().toString(36)}_${index}`,
      type: 'function',
      function: { name, arguments: args },
    }),
  );
  const refused = draft.refusal !== '' && !draft.content;
  const content = refused ? draft.refusal : calls.length > 0 && draft.content === '' ? null : draft.content;
  const message: Message = {
    role: 'assistant',
    content: content === null && calls.length === 0 ? '' : content,
    ...(draft.refusal === '' ? {} : { refusal: draft.refusal }),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
  const { prompt_tokens: inputTokens, completion_tokens: outputTokens } = usage ?? {};
  return {
    message,
    ...(usage
      ? { usage: { ...(inputTokens === undefined ? {} : { inputTokens }), ...(outputTokens === undefined ? {} : { outputTokens }) } }
      : {}),
  };
}
