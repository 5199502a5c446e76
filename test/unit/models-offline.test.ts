import { type ModelRequest, run, tool } from 'jaf';
import { assistant, type Message, textOf, toolResult, user } from 'jaf/memory';
import { createOfflineModel } from 'jaf/models';
import { describe, expect, it } from 'vitest';
import { output, state } from './engine.kit.js';

const TOOLS: ModelRequest['tools'] = [
  { name: 'look_up_booking', description: "Looks up the user's booking.", jsonSchema: { type: 'object', properties: {} } },
  {
    name: 'get_weather',
    description: 'The weather of a city.',
    jsonSchema: { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city'] },
  },
  {
    name: 'cancelFlight',
    description: 'Cancels a flight.',
    jsonSchema: {
      type: 'object',
      properties: { reservation_id: { type: 'string' }, reason: { enum: ['weather', 'illness'] } },
      required: ['reservation_id'],
    },
  },
];
const said = (m: string | Message): Message => (typeof m === 'string' ? user(m) : m);
async function answer(...messages: (string | Message)[]): Promise<Message> {
  return (await createOfflineModel().getCompletion({ messages: messages.map(said), tools: TOOLS })).message;
}
const called = (message: Message): unknown => message.tool_calls?.map((c) => [c.function.name, JSON.parse(c.function.arguments)]);
const lookedUp = async (): Promise<Message> => answer('Please look up my booking.');
const booking = (value: unknown): Message => toolResult('1', 'look_up_booking', value);

describe('the offline model', () => {
  it('greets, and says what it is', async () => {
    expect(textOf(await answer('Hello!'))).toMatch(/offline model.*look_up_booking/);
    expect(textOf(await answer('What are you?'))).toMatch(/offline model/);
    expect(textOf(await answer('thanks!'))).toBe('You are welcome.');
  });

  it.each<[string, unknown]>([
    ['Please look up my booking.', [['look_up_booking', {}]]],
    ['What is the weather in Paris?', [['get_weather', { city: 'Paris' }]]],
    ['The weather in New York for 3 days, please', [['get_weather', { city: 'New York', days: 3 }]]],
    ['Cancel flight AB1234 because of illness', [['cancelFlight', { reservation_id: 'AB1234', reason: 'illness' }]]],
  ])('calls the tool that is meant: %s', async (text, expected) => {
    expect(called(await answer(text))).toEqual(expected);
  });

  it('takes arguments from what was said before, and asks for what it lacks', async () => {
    expect(called(await answer('My reservation id is ZZ9.', 'Cancel my flight please'))).toEqual([
      ['cancelFlight', { reservation_id: 'ZZ9' }],
    ]);
    const question = await answer('How is the weather?');
    expect(textOf(question)).toBe('To call get_weather I need: city.');
    expect(called(await answer('How is the weather?', question, 'Oslo'))).toEqual([['get_weather', { city: 'Oslo' }]]);
  });

  it('tells what a tool returned', async () => {
    expect(
      textOf(await answer('Please look up my booking.', await lookedUp(), booking({ confirmation_code: 'QX7F2K', seats: ['4A', '4B'] }))),
    ).toBe('look_up_booking found: confirmation code QX7F2K; seats 4A, 4B.');
    expect(
      textOf(await answer('Please look up my booking.', await lookedUp(), booking({ error: 'tool_failed', message: 'Error: down' }))),
    ).toBe('look_up_booking failed: Error: down');
  });

  it.each<[unknown, string]>([
    [{ passenger: 'Ana', confirmation_code: 'QX7F2K', seat: '4A' }, 'What was my confirmation code?'],
    [{ booking: { confirmationCode: 'QX7F2K' } }, 'what is my booking code'],
    [{ code: 'QX7F2K' }, 'Can you remind me of my confirmation code?'],
    ['Booking found. Confirmation code: QX7F2K.', 'What was my confirmation code?'],
    ['QX7F2K', 'Which code did I get?'],
  ])('answers from stored tool results: %j', async (value, question) => {
    expect(textOf(await answer('Please look up my booking.', await lookedUp(), booking(value), question))).toMatch(
      /^Your .*code is QX7F2K\b/,
    );
    expect(
      textOf(
        await answer(
          'Please look up my booking.',
          await lookedUp(),
          booking(value),
          assistant('Here it is.'),
          'I like tea.',
          assistant('Noted.'),
          question,
        ),
      ),
    ).toContain('QX7F2K');
  });

  it('answers from what the user said', async () => {
    expect(textOf(await answer('My name is Ada.'))).toBe('Noted: your name is Ada.');
    expect(textOf(await answer('My name is Ada.', 'What is my name?'))).toBe('Your name is Ada, as you told me.');
    expect(textOf(await answer("I'm Ada and I live in Paris.", 'Where do I live?'))).toContain('Paris');
    expect(textOf(await answer('My dog is Rex.', 'My dog is Fido.', "What is my dog's name?"))).not.toContain('Rex');
  });

  it('says that it does not know, rather than guess', async () => {
    for (const question of ['What was my confirmation code?', 'What is the capital of Peru?'])
      expect(textOf(await answer('My name is Ada.', question))).toMatch(/^I do not know/);
    const repaired = { ...booking('This call was interrupted; code QX7F2K'), jaf_repair: 'missing-tool-result' };
    expect(textOf(await answer('Please look up my booking.', await lookedUp(), repaired, 'What was my confirmation code?'))).toMatch(
      /^I do not know/,
    );
  });

  it('streams in small pieces that make the same reply', async () => {
    const model = createOfflineModel();
    const deltas: string[] = [];
    let reply: Message | undefined;
    for await (const chunk of model.streamCompletion?.({ messages: [user('Hello!')], tools: TOOLS }) ?? []) {
      if (chunk.textDelta) deltas.push(chunk.textDelta);
      reply = chunk.reply?.message ?? reply;
    }
    expect(deltas.length).toBeGreaterThan(5);
    expect(deltas.join('')).toBe(textOf(reply as Message));
    expect(reply).toEqual(await answer('Hello!'));
  });

  it('carries a run with a tool', async () => {
    const code = 'K7Q2ZP';
    const lookUp = tool({
      name: 'look_up_booking',
      description: 'Looks up the booking.',
      parameters: { type: 'object', properties: {} },
      execute: () => ({ confirmation_code: code }),
    });
    const result = await run(state([user('Look up my booking, please.')], {}), {
      agentRegistry: { A: { name: 'A', instructions: () => 'You help with bookings.', tools: [lookUp] } },
      modelProvider: createOfflineModel(),
    });
    expect(output(result)).toContain(code);
  });
});
