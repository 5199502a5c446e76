/**
 * `jaf/testing`: a model that says what a test tells it to, and fails when the run asks for more, or less.
 *
 * @module
 */
import type { ModelProvider, ModelReply, ModelRequest } from '../engine/agent.js';
import { textOf } from '../memory/message.js';
import type { Message } from '../memory/types.js';

/** The run asked a scripted model for a reply its script does not have. */
export class ScriptEndedError extends Error {
  /** Tells it from other errors where `instanceof` cannot. */
  readonly code = 'script_ended' as const;
  /** @param calls - how many replies the script had */
  constructor(calls: number) {
    super(
      `[jaf: script_ended] createScriptedModel: the run asked for reply ${calls + 1}, the script has ${calls}. Add a step, or find out why the run asks once more.`,
    );
    this.name = 'ScriptEndedError';
  }
}

/** A scripted model; see {@link createScriptedModel}. */
export interface ScriptedModel extends ModelProvider {
  /** What the run sent, call by call. */
  readonly requests: readonly ModelRequest[];
  /** Steps that were not asked for yet. */
  readonly remaining: number;
  /**
   * To be called at the end of a test.
   *
   * @throws Error when steps are left over
   */
  done(): void;
}

/**
 * A model that answers with the given messages, in order, whatever it is asked. In a stream each reply comes in pieces of
 * at most 8 characters.
 *
 * @param steps - assistant messages
 * @throws TypeError when a step is not an assistant message
 * @example
 * const model = createScriptedModel([assistant('Hello!')]);
 * await run(state, { ...config, modelProvider: model });
 * model.done();
 */
export function createScriptedModel(steps: readonly Message[]): ScriptedModel {
  const script = [...steps];
  script.forEach((step, index) => {
    if (step?.role !== 'assistant') throw new TypeError(`createScriptedModel: steps[${index}]: expected an assistant message.`);
  });
  const requests: ModelRequest[] = [];
  let used = 0;
  const next = (request: ModelRequest): ModelReply => {
    requests.push(request);
    const message = script[used];
    if (!message) throw new ScriptEndedError(script.length);
    used += 1;
    return { message };
  };
  return {
    requests,
    get remaining() {
      return script.length - used;
    },
    async getCompletion(request) {
      return next(request);
    },
    async *streamCompletion(request) {
      const reply = next(request);
      for (const textDelta of textOf(reply.message).match(/[\s\S]{1,8}/gu) ?? []) yield { textDelta };
      yield { reply };
    },
    done() {
      if (used < script.length)
        throw new Error(`createScriptedModel: ${script.length - used} of ${script.length} steps were not asked for.`);
    },
  };
}
