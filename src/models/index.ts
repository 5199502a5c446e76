/**
 * `jaf/models`: models for `run()`.
 *
 * @module
 */
export { createAiSdkModel } from './ai-sdk.js';
export { createOfflineModel } from './offline.js';
export { createOpenAIModel, type OpenAIModelOptions } from './openai.js';
