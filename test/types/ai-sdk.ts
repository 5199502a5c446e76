// A language model of the AI SDK goes into createAiSdkModel without a cast.
import type { LanguageModelV3 } from '@ai-sdk/provider';
import { MockLanguageModelV3 } from 'ai/test';
import { createAiSdkModel } from 'jaf/models';
import type { ModelProvider } from 'jaf';

declare const model: LanguageModelV3;
export const models: ModelProvider[] = [createAiSdkModel(model), createAiSdkModel(new MockLanguageModelV3())];
// @ts-expect-error a model's name is not a model
createAiSdkModel('gpt-4o-mini');
