// The agent both processes use, and the model: a real one with OPENAI_API_KEY, else the offline model of jaf.
import { randomInt } from 'node:crypto';
import { tool } from 'jaf';
import { createOfflineModel, createOpenAIModel } from 'jaf/models';

export const conversationId = 'quickstart';

export const modelName = process.env.OPENAI_API_KEY
  ? `the model ${process.env.JAF_MODEL || '(default)'} at ${process.env.OPENAI_BASE_URL || 'OpenAI'}`
  : 'the offline model (set OPENAI_API_KEY for a real one)';

export const createModel = () => (process.env.OPENAI_API_KEY ? createOpenAIModel() : createOfflineModel());

/** A random code (the digit makes it look like one): nobody can answer for it without having read it. */
const randomCode = () => `${Array.from({ length: 6 }, () => 'ABCDEFGHJKLMNPQRSTUVWXYZ'[randomInt(24)]).join('')}${randomInt(2, 10)}`;

/** Books a flight; `onBooked` hears the code. */
export const createAgent = (onBooked = () => {}) => ({
  name: 'TravelAgent',
  instructions: () => 'You are a travel agent. Book flights with the tool when you are asked to. Answer in one sentence.',
  tools: [
    tool({
      name: 'book_flight',
      description: 'Books a flight and returns the confirmation code.',
      parameters: { type: 'object', properties: { to: { type: 'string', description: 'City to fly to' } }, required: ['to'] },
      execute: ({ to }) => {
        const confirmation_code = randomCode();
        onBooked(confirmation_code);
        return { to, confirmation_code, seat: `${randomInt(1, 30)}A` };
      },
    }),
  ],
});

const CONTROLS = /[\u0000-\u001f\u007f-\u009f]+/g;

/** A message on one line. */
export function outline({ role, content, tool_calls: calls = [] }) {
  const said = [content ?? '', ...calls.map((call) => `calls ${call.function.name}(${call.function.arguments})`)].filter(
    (part) => part !== '',
  );
  return `${role.padEnd(9)}  ${said.join(' ').replace(CONTROLS, ' ')}`;
}
