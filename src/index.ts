/**
 * `jaf`: a small agent engine that remembers conversations. Memory providers are in `jaf/memory`, models in `jaf/models`.
 *
 * @module
 */
export type {
  Agent,
  ModelProvider,
  ModelReply,
  ModelRequest,
  RunConfig,
  RunOutcome,
  RunResult,
  RunState,
  Tool,
  ToolCallInfo,
} from './engine/agent.js';
export { RunAbortError, RunError, type RunErrorCode } from './engine/errors.js';
export type { RunEvent } from './engine/events.js';
export { run, stream } from './engine/run.js';
export type { SchemaOutput } from './engine/schema.js';
export { type ToolDefinition, tool } from './engine/tool.js';
export type { MemoryConfig, Message, ToolCall } from './memory/types.js';
