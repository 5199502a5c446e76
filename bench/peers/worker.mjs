// One contender in a process of its own: what it loads, logs and leaves to the garbage collector is its own, and it runs under
// the Node it needs. The parent says what to do, one at a time; what is timed is timed here.
// node --expose-gc worker.mjs ADAPTER OPTIONS
import { turnOf } from '../lib/turns.mjs';

/** No sample takes longer than this, beyond one operation for each that is in flight. */
const SAMPLE_MS = 250;
/** So long each contender works before the first sample. */
const WARM_MS = 1500;
/** Messages of one bulk write of a fill. */
const FILL = 1000;

const [adapter, json] = process.argv.slice(2);
const { url, store, ...options } = JSON.parse(json);
const { open } = await import(`./adapters/${adapter}.mjs`);
const peer = await open({ url, store, ...options });
const { sizeOf } = await import('./sizes.mjs');

/** By conversation: the number of the next message. Each message begins with its number, by which it is found again. */
const sent = new Map();
/** By conversation: acknowledged turns, as the number of their first message. */
const acknowledged = new Map();

const named = (id, userId) => peer.idOf?.(id, userId) ?? id;
const numbered = (id) => {
  const from = sent.get(id);
  sent.set(id, from + 2);
  return turnOf().map(({ role, content }, n) => ({ role, content: `${from + n} ${content}`.slice(0, 400) }));
};
const numberOf = (message) => Number.parseInt(peer.text(message), 10);

async function append(id, turn) {
  const first = Number.parseInt(turn[0].content, 10);
  await peer.append(id, turn);
  acknowledged.get(id).push(first);
}

const steps = {
  /** Makes conversations that hold so many messages. */
  async hold({ ids, userId, messages }) {
    for (const id of ids.map((one) => named(one, userId))) {
      sent.set(id, 0);
      acknowledged.set(id, []);
      await peer.create?.(id, userId);
      for (let held = 0; held < messages; held += FILL) {
        const turns = Array.from({ length: Math.min(FILL, messages - held) / 2 }, () => numbered(id));
        await peer.fill(id, turns.flat());
        for (const [question] of turns) acknowledged.get(id).push(Number.parseInt(question.content, 10));
      }
    }
  },

  /** What the compiler of JavaScript has not seen often it runs slowly: everything is done often enough before it is timed. */
  async warm() {
    const ids = Array.from({ length: 100 }, (_, n) => `warm-${n}`);
    const given = { ids, userId: 'user-warm' };
    await steps.hold({ ...given, messages: 10 });
    for (const started = performance.now(); performance.now() - started < WARM_MS; ) {
      await steps.append({ ...given, operations: 1000 });
      await steps.flight({ ...given, callers: 64, operations: 640 });
      await steps.recent({ ...given, limit: 20, operations: 200 });
    }
    steps.forget(given);
  },

  /** One turn after the other, over conversations in turn. */
  async append({ ids, userId, operations, longest = SAMPLE_MS }) {
    const turns = Array.from({ length: operations }, (_, n) => {
      const id = named(ids[n % ids.length], userId);
      return [id, numbered(id)];
    });
    const started = performance.now();
    let done = 0;
    for (; done < operations && (done === 0 || performance.now() - started < longest); done++) await append(...turns[done]);
    const ms = performance.now() - started;
    for (const [id, [question]] of turns.slice(done)) sent.set(id, Math.min(sent.get(id), Number.parseInt(question.content, 10)));
    return { ms, done };
  },

  /** So many callers at once, each with one turn under way, over these conversations. */
  async flight({ ids, userId, callers, operations }) {
    const turns = Array.from({ length: callers }, (_, caller) => {
      const id = named(ids[caller % ids.length], userId);
      return Array.from({ length: Math.ceil(operations / callers) }, () => [id, numbered(id)]);
    });
    let done = 0;
    let failed = 0;
    const errors = new Set();
    const started = performance.now();
    await Promise.all(
      turns.map(async (own) => {
        for (let n = 0; n < own.length && (n === 0 || performance.now() - started < SAMPLE_MS); n++) {
          try {
            await append(...own[n]);
            done++;
          } catch (error) {
            failed++;
            errors.add(String(error.message).slice(0, 200));
          }
        }
      }),
    );
    return { ms: performance.now() - started, done, failed, errors: [...errors] };
  },

  async recent({ ids, userId, limit, operations }) {
    return await read(operations, (n) => peer.recent(named(ids[n % ids.length], userId), limit), limit);
  },

  async whole({ ids, userId, messages, operations }) {
    return await read(operations, (n) => peer.whole(named(ids[n % ids.length], userId)), messages);
  },

  async list({ userIds, limit, operations }) {
    return await read(operations, (n) => peer.list(userIds[n % userIds.length], limit), limit);
  },

  /** What is there of what was acknowledged: lost messages, doubled ones, turns torn apart, messages out of their order. */
  async verify({ ids, userId }) {
    const found = { acknowledged: 0, lost: 0, doubled: 0, torn: 0, outOfOrder: 0 };
    for (const id of ids.map((one) => named(one, userId))) {
      const numbers = [...(await peer.whole(id))].map(numberOf);
      const at = new Map(numbers.map((number, place) => [number, place]));
      found.doubled += numbers.length - at.size;
      for (const first of acknowledged.get(id)) {
        const places = [at.get(first), at.get(first + 1)];
        found.acknowledged += 2;
        found.lost += places.filter((place) => place === undefined).length;
        if (places[0] !== undefined && places[1] !== places[0] + 1) found.torn++;
      }
      for (let n = 1; n < numbers.length; n++) if (numbers[n] < numbers[n - 1]) found.outOfOrder++;
    }
    return found;
  },

  /** Forgets what it knows of conversations that are not used again. */
  forget({ ids, userId }) {
    for (const id of ids.map((one) => named(one, userId))) {
      sent.delete(id);
      acknowledged.delete(id);
    }
  },

  /** Bytes of everything this contender stores. */
  size: () => sizeOf({ store, url }),

  close: () => peer.close(),
};

async function read(operations, once, expected) {
  const started = performance.now();
  let done = 0;
  let last;
  for (; done < operations && (done === 0 || performance.now() - started < SAMPLE_MS); done++) last = await once(done);
  return { ms: performance.now() - started, done, returned: last.length, expected };
}

async function act({ step, given }) {
  try {
    globalThis.gc?.({ type: 'minor' });
    process.send({ answer: (await steps[step](given ?? {})) ?? null });
  } catch (error) {
    process.send({ failed: `${step}: ${error.stack ?? error}` });
  }
}
process.on('message', (message) => void act(message));
// nobody is left to work for
process.on('disconnect', () => process.exit());
process.send({ answer: 'ready' });
