/**
 * Language models of the Vercel AI SDK (specification v2 and v3), accepted by their shape: `openai('gpt-4o-mini')` of
 * `@ai-sdk/openai`, `anthropic('…')` of `@ai-sdk/anthropic` and so on.
 *
 * @module
 */
import type { ModelProvider, ModelReply, ModelRequest } from '../engine/agent.js';
import { RunError } from '../engine/errors.js';
import { MemoryConfigError } from '../memory/errors.js';
import type { Message, ToolCall } from '../memory/types.js';
import { type Prompt, toPrompt } from './ai-sdk-prompt.js';

/** What is used of a language model object. */
interface LanguageModelLike {
  readonly specificationVersion?: unknown;
  doGenerate(options: CallOptions): PromiseLike<unknown>;
  doStream(options: CallOptions): PromiseLike<unknown>;
}

interface CallOptions {
  readonly prompt: Prompt;
  readonly tools?: readonly object[];
  readonly temperature?: number;
  readonly maxOutputTokens?: number;
  readonly responseFormat?: object;
  readonly abortSignal?: AbortSignal;
}

/** A piece of a reply, generated or streamed; v2 and v3 use the same names for what is read. */
interface Part {
  readonly type: string;
  readonly text?: string;
  readonly delta?: string;
  readonly toolCallId?: string;
  readonly toolName?: string;
  readonly input?: unknown;
  readonly providerExecuted?: boolean;
  readonly usage?: Usage;
  readonly error?: unknown;
}

/** v2 counts with a number, v3 with an object. */
interface Usage {
  readonly inputTokens?: number | { readonly total?: number };
  readonly outputTokens?: number | { readonly total?: number };
}

/**
 * Makes a language model of the Vercel AI SDK usable in `run()` and `stream()`.
 *
 * @param model - a language model object (specification v2 or v3)
 * @returns a model; errors of the SDK are passed on as they are. `modelConfig.name` is ignored: the object is the model
 * @throws MemoryConfigError when it is not a language model object
 * @example
 * import { openai } from '@ai-sdk/openai';
 * const modelProvider = createAiSdkModel(openai('gpt-4o-mini'));
 */
export function createAiSdkModel(model: object): ModelProvider {
  const { doGenerate, doStream, specificationVersion } = (model ?? {}) as Partial<LanguageModelLike>;
  if (typeof doGenerate !== 'function' || typeof doStream !== 'function' || specificationVersion === 'v1') {
    throw new MemoryConfigError(
      'createAiSdkModel: model: expected a language model object of the AI SDK (specification v2 or v3), e.g. openai("gpt-4o-mini") of "@ai-sdk/openai".',
      {
        provider: 'none',
        setting: 'model',
      },
    );
  }
  const languageModel = model as LanguageModelLike;
  return {
    async getCompletion(request) {
      const { content, usage } = (await languageModel.doGenerate(callOptions(request))) as {
        readonly content?: readonly Part[];
        readonly usage?: Usage;
      };
      if (!Array.isArray(content))
        throw new RunError(
          'model_reply',
          'createAiSdkModel: doGenerate answered without content. Is this a model of specification v2 or v3?',
        );
      return replyOf(content as readonly Part[], usage);
    },
    async *streamCompletion(request) {
      const { stream } = (await languageModel.doStream(callOptions(request))) as { readonly stream: AsyncIterable<Part> };
      const parts: Part[] = [];
      let end: Part | undefined;
      for await (const part of stream) {
        if (part.type === 'error') throw part.error;
        if (part.type === 'text-delta' && part.delta) {
          parts.push({ type: 'text', text: part.delta });
          yield { textDelta: part.delta };
        } else if (part.type === 'tool-call') parts.push(part);
        else if (part.type === 'finish') end = part;
      }
      if (!end) throw new RunError('model_reply', 'createAiSdkModel: the stream ended before the reply was complete. Run again.');
      yield { reply: replyOf(parts, end.usage) };
    },
  };
}

function callOptions({ messages, tools, temperature, maxTokens, outputSchema, signal }: ModelRequest): CallOptions {
  return {
    prompt: toPrompt(messages),
    ...(tools.length === 0
      ? {}
      : { tools: tools.map(({ name, description, jsonSchema }) => ({ type: 'function', name, description, inputSchema: jsonSchema })) }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { maxOutputTokens: maxTokens }),
    ...(outputSchema ? { responseFormat: { type: 'json', schema: outputSchema } } : {}),
    ...(signal ? { abortSignal: signal } : {}),
  };
}

function replyOf(parts: readonly Part[], usage: Usage | undefined): ModelReply {
  const text = parts
    .filter((part) => part.type === 'text')
    .map((part) => part.text ?? '')
    .join('');
  // what the service ran itself is part of its answer, not a call for us
  const calls = parts
    .filter((part) => part.type === 'tool-call' && part.providerExecuted !== true)
    .map(
      ({ toolCallId, toolName, input }): ToolCall => ({
        id: toolCallId ?? '',
        type: 'function',
        function: { name: toolName ?? '', arguments: typeof input === 'string' ? input : JSON.stringify(input ?? {}) },
      }),
    );
  const message: Message = {
    role: 'assistant',
    content: text === '' && calls.length > 0 ? null : text,
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
  const inputTokens = tokens(usage?.inputTokens);
  const outputTokens = tokens(usage?.outputTokens);
  return {
    message,
    ...(usage
      ? { usage: { ...(inputTokens === undefined ? {} : { inputTokens }), ...(outputTokens === undefined ? {} : { outputTokens }) } }
      : {}),
  };
}

function tokens(count: Usage['inputTokens']): number | undefined {
  return typeof count === 'object' ? count?.total : count;
}
