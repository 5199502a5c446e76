// What a run of the engine with memory costs beside the three trips to the store that it makes: load, the user's message, the
// reply. The trips alone are made with the same options. The model is scripted and answers at once.
import { run as runAgent } from 'jaf';
import { unwrap } from 'jaf/memory';
import { createScriptedModel } from 'jaf/testing';
import { PROVIDERS, withBackend } from './lib/backends.mjs';
import { compare, UNITS } from './lib/compare.mjs';
import { turnsOf } from './lib/turns.mjs';
import { count, expectHeld, fill } from './lib/workloads.mjs';

export const title = 'one run of the engine (a question, a scripted reply) with memory, in a conversation of N';
export const providers = PROVIDERS;

const SIZES = [10, 100];
/** What the engine loads by default. */
const WINDOW = 200;
/** Runs on one conversation before the next one is taken: all of it stays inside the window, so that a load is one trip. */
const RUNS_EACH = 40;
const RUNS = { memory: 200, sqlite: 40, redis: 40, postgres: 20 };
const SLICES = 5;
const nameOf = (size) => `N = ${count(size)}`;
const sizeOf = (name) => Number(name.slice(4).replaceAll(',', ''));

const agents = { ChatBot: { name: 'ChatBot', instructions: () => 'You are a helpful assistant.' } };

/** One turn through the engine. */
async function throughEngine(provider, id, [question, answer]) {
  const { outcome } = await runAgent(
    { messages: [question], currentAgentName: 'ChatBot', context: { userId: 'user-1' } },
    { agentRegistry: agents, modelProvider: createScriptedModel([answer]), memory: { provider }, conversationId: id },
  );
  if (outcome.status !== 'completed') throw outcome.error;
}

let operations = 0;

/** The same trips, with the options the engine gives. */
async function tripsAlone(provider, id, [question, answer]) {
  const { version } = await provider.getConversation(id, { messageLimit: WINDOW });
  const run = `run-${++operations}`;
  const options = { userId: 'user-1', traceId: run };
  const first = unwrap(
    await provider.appendMessages(id, [question], undefined, { ...options, operationId: `${run}:1`, expectedVersion: version }),
  );
  unwrap(await provider.appendMessages(id, [answer], undefined, { ...options, operationId: `${run}:2`, expectedVersion: first.version }));
}

/** Runs it with one provider. */
export async function run({ provider, repetitions }) {
  await withBackend(provider, async (backend) => {
    const contenders = Object.entries(backend.jaf)
      .filter(([name]) => !/document|full/.test(name))
      .flatMap(([name, open]) => {
        const alone = `${name}, the three trips`;
        return [
          { name: `${name}, run()`, against: { [alone]: { max: 1.5 } }, work: throughEngine, open },
          { name: alone, work: tripsAlone, open },
        ];
      });
    await compare({
      name: 'engine',
      title,
      provider,
      what: 'turn',
      unit: UNITS.micros,
      ratio: 'cost',
      cases: SIZES.map(nameOf),
      contenders: contenders.map(({ name, against, work, open }) => ({
        name,
        ...(against ? { against } : {}),
        operations: RUNS[provider] * SLICES,
        open: async () => {
          const store = await open();
          const done = new Map(SIZES.map((size) => [nameOf(size), 0]));
          const idOf = (one, n) => `${one}:${Math.floor(n / RUNS_EACH)}`;
          let turns;
          return {
            fill: async (one, total) => {
              for (let n = 0; n < total; n += RUNS_EACH) await fill(store, idOf(one, n), sizeOf(one), { userId: 'user-1' });
            },
            prepare: (_one, runs) => void (turns = turnsOf(runs)),
            work: async (one) => {
              let n = done.get(one);
              for (const turn of turns) await work(store.provider, idOf(one, n++), turn);
              done.set(one, n);
            },
            check: async (one, runs) => {
              if (done.get(one) !== runs) throw new Error(`${name}: ${done.get(one)} runs of ${runs}`);
              for (let n = 0; n < runs; n += RUNS_EACH)
                await expectHeld(store, idOf(one, n), sizeOf(one) + 2 * Math.min(RUNS_EACH, runs - n));
            },
            close: () => store.close(),
          };
        },
      })),
      settle: backend.settle,
      slices: SLICES,
      repetitions,
      servers: backend.versions,
    });
  });
}
