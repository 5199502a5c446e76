/**
 * The types of a run: agents, tools, models, the state that goes in and the result that comes out.
 *
 * @module
 */
import type { MemoryConfig, Message } from '../memory/types.js';
import type { RunEvent } from './events.js';

/** What a run starts from and what it ends with. Plain data: it may be kept as JSON between runs. */
export interface RunState<Ctx = unknown> {
  /** With memory: the messages to add (what is stored already is left out, see {@link stored}). Without: all of them. */
  readonly messages: readonly Message[];
  /** The agent that speaks next; handoffs change it. */
  readonly currentAgentName: string;
  /** Handed to instructions and tools. `context.userId` (or `user_id`) becomes the owner of the conversation. */
  readonly context: Ctx;
  /** Names the run: the same run sent again stores nothing twice. Default: a random id, and a new one for every run of a state. */
  readonly runId?: string;
  /** Kept with the conversation, to find it by `findConversations({ traceId })`. */
  readonly traceId?: string;
  /** Model replies so far, over all runs of this state. */
  readonly turnCount?: number;
  /**
   * Set by a run with memory: the first `count` of {@link messages} are in the conversation, which had this `version` then.
   * Hand it on with the messages it describes (`{ ...finalState, messages: [...finalState.messages, next] }`).
   */
  readonly stored?: { readonly conversationId: string; readonly count: number; readonly version: number };
}

/** What a tool may want to know about the call it serves. */
export interface ToolCallInfo {
  /** The model's id for this call. */
  readonly callId: string;
  /** Of the run that makes the call: `RunState.runId`, or the id that was made for it. */
  readonly runId: string;
  /** Aborts with the run. */
  readonly signal?: AbortSignal;
}

/** Something a model can call. Made with `tool()`, which also types the arguments. */
export interface Tool<Ctx = unknown> {
  /** What the model calls it; 1 to 64 characters. */
  readonly name: string;
  /** Tells the model what it is for. */
  readonly description: string;
  /** A Standard Schema that can describe itself as JSON Schema (zod 4, arktype …), or a plain JSON Schema object. */
  readonly parameters: object;
  /**
   * Does the work. A string is the result as it is, any other value becomes JSON. What it throws is told to the model.
   *
   * @param args - the validated arguments
   * @param context - the context of the run
   * @param call - which call this is, and a signal that aborts with the run
   */
  execute(args: never, context: Ctx, call?: ToolCallInfo): unknown;
}

/**
 * Who speaks: instructions, tools, and whom the conversation may be handed to. `Out` says what a run of it answers: a string,
 * or what `outputSchema` makes of it.
 */
// oxlint-disable-next-line no-unused-vars -- `Out` names the output for run<Ctx, Out>(); no field can hold it
export interface Agent<Ctx = unknown, Out = string> {
  /** For events and errors. Handoffs and `currentAgentName` go by the key in the registry. */
  readonly name: string;
  /** Sent to the model as a system message in front of each call; never stored. `''` sends none. */
  instructions(state: RunState<Ctx>): string;
  /** What the model may call; names must differ. Default none. */
  readonly tools?: readonly Tool<Ctx>[];
  /** Names (in the registry) of agents this one may hand over to; each becomes a tool `transfer_to_<name>`. */
  readonly handoffs?: readonly string[];
  /** The final text must be JSON that fits; the run's output is the validated value. */
  readonly outputSchema?: object;
  /** `name`: which model; otherwise the model provider's own choice. */
  readonly modelConfig?: { readonly name?: string; readonly temperature?: number; readonly maxTokens?: number };
}

/** One call of a model. */
export interface ModelRequest {
  /** The agent's instructions as a system message (unless `''`), then the conversation, oldest first; every tool call has a result. */
  readonly messages: readonly Message[];
  /** What the model may call, one for each handoff included; may be empty. `jsonSchema` describes the arguments. */
  readonly tools: readonly { readonly name: string; readonly description: string; readonly jsonSchema: object }[];
  /** Name of a model, from the agent's `modelConfig`; absent: the provider's own choice. */
  readonly model?: string;
  /** From the agent's `modelConfig`; absent: the model's own default. */
  readonly temperature?: number;
  /** Tokens of the reply at most; absent: the model's own limit. */
  readonly maxTokens?: number;
  /** JSON Schema of the text the model must answer with. */
  readonly outputSchema?: object;
  /** Aborts with the run, which does not wait for the reply then. */
  readonly signal?: AbortSignal;
}

/** What a model answers. */
export interface ModelReply {
  /** Role `assistant`; stored exactly as it is. */
  readonly message: Message;
  /** Tokens read and written, for the event `assistant_message`; absent where the model does not say. */
  readonly usage?: { readonly inputTokens?: number; readonly outputTokens?: number };
}

/** A model, or a whole service of them. `jaf/models` has three; your own needs only `getCompletion`. */
export interface ModelProvider {
  /** Answers once, or throws. */
  getCompletion(request: ModelRequest): Promise<ModelReply>;
  /** Answers in pieces: any number of text deltas, then the whole reply. Used by `stream()`. */
  streamCompletion?(request: ModelRequest): AsyncIterable<{ readonly textDelta?: string; readonly reply?: ModelReply }>;
}

/** What a run needs beside its state. */
export interface RunConfig<Ctx = unknown> {
  /** All agents by name. */
  readonly agentRegistry: Readonly<Record<string, Agent<Ctx, never> | Agent<Ctx>>> | ReadonlyMap<string, Agent<Ctx>>;
  /** Answers for every agent of the run. */
  readonly modelProvider: ModelProvider;
  /** Remembers the conversation; needs {@link conversationId}. */
  readonly memory?: MemoryConfig;
  /** Which conversation to go on with, 1 to 255 characters; the first write begins it. Without {@link memory} events name it only. */
  readonly conversationId?: string;
  /** Model calls of one run at most; default 50. */
  readonly maxTurns?: number;
  /** Told what happens; see docs/engine.md. An exception in it is reported with `process.emitWarning`. */
  readonly onEvent?: (event: RunEvent) => void;
  /** Ends the run with an `AbortError` outcome; what is stored stays. */
  readonly signal?: AbortSignal;
}

/** How a run ended. */
export type RunOutcome<Out = string> =
  | { readonly status: 'completed'; readonly output: Out }
  | { readonly status: 'error'; readonly error: Error };

/** What a run answers; it never rejects. */
export interface RunResult<Ctx = unknown, Out = string> {
  /** Everything the run saw and did, also after an error. */
  readonly finalState: RunState<Ctx>;
  /** `output` is the last reply's text, or with `outputSchema` the validated value. */
  readonly outcome: RunOutcome<Out>;
}
