/**
 * The loop: ask the model, store its reply, serve its tool calls, until it answers without one.
 *
 * @module
 */
import { MemoryError } from '../memory/errors.js';
import { isInterruptedResult, repairedForModel, repairMessages } from '../memory/repair.js';
import { textOf, toolResult } from '../memory/message.js';
import type { Message, ToolCall } from '../memory/types.js';
import { isResult } from '../memory/window.js';
import { abortable, abortableItems, throwIfAborted } from './abort.js';
import type { Agent, ModelReply, ModelRequest, RunConfig, RunOutcome, RunResult, RunState } from './agent.js';
import { asError, configError, RunAbortError, RunError } from './errors.js';
import { createEmit, type Emit, errorFields } from './events.js';
import { findTransfer, HANDOFF_SCHEMA, type Handoff, handoffsOf, requireAgent } from './handoff.js';
import { History, ownerOf } from './history.js';
import { createMark, firstStepOf, locate, newMessages, runIdOf, stepsOf } from './marks.js';
import { inTurn } from './queue.js';
import { checkReply, parseOutput } from './reply.js';
import { resolveSchema } from './schema.js';
import { assertToolName, serveCall } from './tool.js';
import { validateRun } from './validate.js';

const copy = (message: Message): Message => Object.freeze({ ...message });

/** One run. */
export class Run<Ctx> {
  readonly #initial: RunState<Ctx>;
  readonly #config: RunConfig<Ctx>;
  readonly #streaming: boolean;
  readonly #runId: string;
  readonly #emit: Emit;
  #agentName: string;
  #messages: Message[];
  #turns = 0;
  /** New messages at the end of the list that were not handed to the store yet. */
  #unsent = 0;
  #history: History | undefined;

  constructor(initial: RunState<Ctx>, config: RunConfig<Ctx>, streaming: boolean) {
    this.#initial = initial;
    this.#config = config;
    this.#streaming = streaming;
    this.#runId = runIdOf(initial);
    this.#agentName = initial?.currentAgentName;
    this.#messages = Array.isArray(initial?.messages) ? initial.messages.map(copy) : [];
    const conversationId = config?.conversationId;
    this.#emit = createEmit(config?.onEvent, { runId: this.#runId, ...(conversationId === undefined ? {} : { conversationId }) });
  }

  async execute(): Promise<RunResult<Ctx, unknown>> {
    const { traceId } = this.#initial ?? {};
    this.#emit('run_start', { agent: this.#agentName, ...(traceId === undefined ? {} : { traceId }) });
    let outcome: RunOutcome<unknown>;
    try {
      outcome = { status: 'completed', output: await this.#work() };
    } catch (thrown) {
      outcome = { status: 'error', error: this.#reason(thrown) };
    }
    const failure = outcome.status === 'error' ? errorFields(outcome.error) : {};
    this.#emit('run_end', { status: outcome.status, turns: this.#turns, agent: this.#agentName, ...failure });
    return { finalState: this.#finalState(), outcome };
  }

  /** A client that was aborted throws an error of its own; a store that failed is what matters, aborted or not. */
  #reason(thrown: unknown): Error {
    const signal = this.#config?.signal;
    const own = thrown instanceof RunError || thrown instanceof MemoryError;
    return signal?.aborted && !own ? new RunAbortError(signal) : asError(thrown);
  }

  async #work(): Promise<unknown> {
    validateRun(this.#initial, this.#config);
    const { memory, conversationId, signal } = this.#config;
    throwIfAborted(signal);
    requireAgent(this.#config.agentRegistry, this.#agentName, 'run: initialState.currentAgentName');
    if (!memory || conversationId === undefined) return this.#loop();
    const remembered = async (): Promise<unknown> => {
      const last = await this.#open();
      return last ? this.#output(last) : this.#loop();
    };
    return memory.autoStore === false ? remembered() : inTurn(memory.provider, conversationId, signal, remembered);
  }

  /**
   * Loads the conversation and stores the new messages.
   *
   * @returns the final reply, when an earlier attempt of this run has stored it already
   */
  async #open(): Promise<Message | undefined> {
    const { memory, conversationId, signal } = this.#config;
    if (!memory || conversationId === undefined) return undefined;
    const { traceId } = this.#initial;
    const firstStep = firstStepOf(this.#initial, conversationId);
    const userId = ownerOf(this.#initial.context);
    const history = new History({ memory, conversationId, runId: this.#runId, traceId, userId, firstStep, emit: this.#emit });
    await history.load(signal);
    const fresh = newMessages(this.#initial, memory.provider, conversationId).map(copy);
    const { repeated, rest } = stepsOf(fresh, this.#initial, conversationId);
    this.#history = history;
    const hold = (...todo: readonly (readonly Message[])[]): void => {
      this.#messages = [...history.messages, ...todo.flat()];
      this.#unsent = todo.flat().length;
    };
    hold(...repeated, rest);
    for (const [index, step] of repeated.entries()) {
      if ((await this.#appendNew(history, step)) === undefined) history.join(step);
      hold(...repeated.slice(index + 1), rest);
    }
    try {
      await history.repairTail(rest);
    } finally {
      hold(rest);
    }
    const end = await this.#appendNew(history, rest);
    // what was loaded holds it already
    if (end !== undefined) hold();
    const last = end === undefined ? undefined : this.#resume(history, end);
    for (const { kind } of repairMessages(this.#messages).repairs) this.#emit('repaired', { kind, stored: false });
    return last;
  }

  /** @returns where in the loaded messages the step ends, if the store knew it and the window holds it */
  async #appendNew(history: History, step: readonly Message[]): Promise<number | undefined> {
    this.#unsent -= step.length;
    const storedAt = await history.append(step);
    return storedAt === undefined ? undefined : locate(history.messages, step, storedAt);
  }

  /** Follows what an earlier attempt of this run stored behind its new messages, instead of asking and calling again. */
  #resume(history: History, end: number): Message | undefined {
    const { agentRegistry } = this.#config;
    let steps = 0;
    let last: Message | undefined;
    let transfer: { callId: string; to: string } | undefined;
    for (const message of history.messages.slice(end)) {
      if (message.role === 'assistant') {
        steps += 1;
        this.#turns += 1;
        const calls = message.tool_calls ?? [];
        transfer = findTransfer(calls, handoffsOf(requireAgent(agentRegistry, this.#agentName, 'run'), agentRegistry));
        if (calls.length === 0) last = message;
      } else if (isResult(message)) {
        // repairs are stored under ids of their own
        if (isInterruptedResult(message)) continue;
        steps += 1;
        if (message.tool_call_id === transfer?.callId && transfer) this.#agentName = transfer.to;
      } else break;
      if (last) break;
    }
    history.skip(steps);
    this.#emit('resumed', { steps: steps + 1 });
    return last;
  }

  async #loop(): Promise<unknown> {
    const { agentRegistry, signal, maxTurns = 50 } = this.#config;
    for (;;) {
      throwIfAborted(signal);
      if (this.#turns >= maxTurns) {
        throw new RunError(
          'max_turns',
          `run: no answer after ${maxTurns} model calls (maxTurns). Raise maxTurns, or look at which tools the model keeps calling.`,
        );
      }
      const agent = requireAgent(agentRegistry, this.#agentName, 'run');
      const handoffs = handoffsOf(agent, agentRegistry);
      const message = await this.#ask(agent, handoffs);
      await this.#record(message);
      const calls = message.tool_calls ?? [];
      if (calls.length === 0) return this.#output(message);
      await this.#serve(agent, handoffs, calls);
    }
  }

  /** Asks the model once. */
  async #ask(agent: Agent<Ctx>, handoffs: readonly Handoff[]): Promise<Message> {
    const { modelProvider, signal } = this.#config;
    const request = await this.#request(agent, handoffs);
    this.#turns += 1;
    const at = { agent: agent.name, turn: this.#turns };
    this.#emit('model_start', { ...at, messages: request.messages.length, tools: request.tools.length });
    const reply =
      this.#streaming && typeof modelProvider.streamCompletion === 'function'
        ? await this.#streamed(modelProvider.streamCompletion(request))
        : await abortable(modelProvider.getCompletion(request), signal);
    const message = copy(checkReply(reply));
    if (this.#streaming && typeof modelProvider.streamCompletion !== 'function' && textOf(message) !== '')
      this.#emit('text_delta', { ...at, textDelta: textOf(message) });
    this.#emit('assistant_message', { ...at, toolCalls: message.tool_calls?.length ?? 0, ...reply?.usage });
    return message;
  }

  async #streamed(chunks: AsyncIterable<{ readonly textDelta?: string; readonly reply?: ModelReply }>): Promise<ModelReply | undefined> {
    let reply: ModelReply | undefined;
    for await (const chunk of abortableItems(chunks, this.#config.signal)) {
      if (chunk.textDelta) this.#emit('text_delta', { agent: this.#agentName, turn: this.#turns, textDelta: chunk.textDelta });
      if (chunk.reply) reply = chunk.reply;
    }
    return reply;
  }

  async #request(agent: Agent<Ctx>, handoffs: readonly Handoff[]): Promise<ModelRequest> {
    const { signal } = this.#config;
    const instructions = agent.instructions(this.#finalState());
    const { name, temperature, maxTokens } = agent.modelConfig ?? {};
    const names = new Set<string>();
    const tools = await Promise.all(
      (agent.tools ?? []).map(async (t) => {
        assertToolName(t.name, `agent "${agent.name}": tool name`);
        if (names.has(t.name)) throw configError('tools', `agent "${agent.name}": two tools are called "${t.name}". Rename one.`);
        names.add(t.name);
        const { jsonSchema } = await resolveSchema(t.parameters, `tool "${t.name}": parameters`);
        return { name: t.name, description: t.description, jsonSchema };
      }),
    );
    const output = agent.outputSchema ? await resolveSchema(agent.outputSchema, `agent "${agent.name}": outputSchema`) : undefined;
    const messages = repairedForModel(this.#messages);
    return {
      messages: instructions ? [{ role: 'system', content: instructions }, ...messages] : [...messages],
      tools: [
        ...tools,
        ...handoffs.map(({ toolName, to }) => ({
          name: toolName,
          description: `Hand the conversation over to the agent "${to}".`,
          jsonSchema: HANDOFF_SCHEMA,
        })),
      ],
      ...(name === undefined ? {} : { model: name }),
      ...(temperature === undefined ? {} : { temperature }),
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(output ? { outputSchema: output.jsonSchema } : {}),
      ...(signal ? { signal } : {}),
    };
  }

  /** Serves the calls of one reply side by side; each result is stored as soon as it is there. */
  async #serve(agent: Agent<Ctx>, handoffs: readonly Handoff[], calls: readonly ToolCall[]): Promise<void> {
    const transfer = findTransfer(calls, handoffs);
    const served = await Promise.allSettled(
      calls.map(async (call) => {
        const handoff = handoffs.find((h) => h.toolName === call.function.name);
        if (!handoff) return this.#serveOne(agent, call);
        const chosen = call === transfer?.call;
        const text = chosen
          ? `The agent "${handoff.to}" has taken over.`
          : `Nothing was done: the agent "${transfer?.to ?? ''}" has taken over.`;
        return this.#record(toolResult(call.id, call.function.name, text));
      }),
    );
    for (const one of served) {
      if (one.status === 'rejected') throw asError(one.reason);
    }
    if (!transfer) return;
    this.#emit('handoff', { from: this.#agentName, to: transfer.to });
    this.#agentName = transfer.to;
  }

  async #serveOne(agent: Agent<Ctx>, call: ToolCall): Promise<void> {
    const at = { turn: this.#turns, callId: call.id, tool: call.function.name };
    this.#emit('tool_start', at);
    const { message, problem } = await serveCall(call, agent.tools ?? [], this.#initial.context, {
      runId: this.#runId,
      signal: this.#config.signal,
    });
    this.#emit('tool_end', { ...at, ok: problem === undefined, ...(problem ? { error: problem } : {}) });
    await this.#record(message);
  }

  /** A finished step: part of the state at once, and stored before the run goes on. */
  async #record(message: Message): Promise<void> {
    const own = Object.isFrozen(message) ? message : copy(message);
    this.#messages.push(own);
    await this.#history?.append([own]);
  }

  /** The output of a run whose last message this is. */
  async #output(message: Message): Promise<unknown> {
    const text = textOf(message);
    const agent = requireAgent(this.#config.agentRegistry, this.#agentName, 'run');
    if (!agent.outputSchema) return text;
    const schema = await resolveSchema(agent.outputSchema, `agent "${agent.name}": outputSchema`);
    const checked = await schema.check(parseOutput(text, agent.name));
    if (checked.ok) return checked.value;
    throw new RunError('output_invalid', `agent "${agent.name}": the reply does not fit outputSchema: ${checked.problems.join('; ')}.`);
  }

  #finalState(): RunState<Ctx> {
    const { context, traceId, turnCount = 0, stored } = this.#initial ?? ({} as RunState<Ctx>);
    const messages = Object.freeze([...this.#messages]);
    const history = this.#history;
    const conversationId = this.#config?.conversationId;
    const mark =
      history && conversationId !== undefined
        ? createMark(messages, history.next, {
            conversationId,
            count: messages.length - history.unacknowledged - this.#unsent,
            version: history.version ?? 0,
          })
        : stored;
    return {
      messages,
      currentAgentName: this.#agentName,
      context,
      runId: this.#runId,
      ...(traceId === undefined ? {} : { traceId }),
      turnCount: turnCount + this.#turns,
      ...(mark ? { stored: mark } : {}),
    };
  }
}
