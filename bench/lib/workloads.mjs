// The work that several benchmarks do with a store: turns appended one after the other, or by many at once.
import { turnsOf } from './turns.mjs';

/** Number with commas, as cases are named. */
export const count = (n) => n.toLocaleString('en-US');

/** Makes a conversation of `size` messages; answers the newest of them. */
export async function fill(store, id, size, header) {
  let messages = [];
  for (let held = 0; held < size; ) {
    messages = turnsOf(Math.ceil(Math.min(1000, size - held) / 2))
      .flat()
      .slice(0, size - held);
    await store.fill(id, messages, header);
    held += messages.length;
  }
  return messages;
}

/** Throws when a conversation does not hold what it should. */
export async function expectHeld(store, id, expected) {
  const held = await store.count(id);
  if (held !== expected) throw new Error(`${id} holds ${held} messages, and ${expected} were written`);
}

/** Throws when the newest messages of a conversation are not these. */
export async function expectNewest(store, id, messages) {
  const found = await store.recent(id, messages.length);
  const differs = messages.findIndex(({ role, content }, n) => found[n]?.role !== role || found[n]?.content !== content);
  if (differs >= 0 || found.length !== messages.length)
    throw new Error(`${id}: the newest ${messages.length} messages read are not those written last`);
}

/**
 * Conversations of `size` messages to append to, one turn after the other. None grows by more than half (or 10 messages), then
 * comes the next one: so a case is about the size it names.
 */
export class Conversations {
  #store;
  #name;
  #size;
  #turnsEach;
  #appended = 0;
  #turns = [];
  #newest;

  constructor(store, name, size) {
    this.#store = store;
    this.#name = name;
    this.#size = size;
    this.#turnsEach = Math.max(5, Math.floor(size / 4));
  }

  #idAt = (turn) => `${this.#name}:${Math.floor(turn / this.#turnsEach)}`;

  /** Fills as many conversations as so many turns need. */
  async fill(turns) {
    for (let turn = 0; turn < turns; turn += this.#turnsEach) await fill(this.#store, this.#idAt(turn), this.#size);
  }

  /** Makes the text of the next turns. */
  prepare(turns) {
    this.#turns = turnsOf(turns);
  }

  /** Appends the turns that were prepared. */
  async append() {
    for (const turn of this.#turns) await this.#store.append(this.#idAt(this.#appended++), turn);
    this.#newest = this.#turns.at(-1);
  }

  /** Counts what is stored. */
  async check(turns) {
    if (turns !== this.#appended) throw new Error(`${this.#name}: ${this.#appended} turns were appended, not ${turns}`);
    for (let turn = 0; turn < turns; turn += this.#turnsEach)
      await expectHeld(this.#store, this.#idAt(turn), this.#size + 2 * Math.min(this.#turnsEach, turns - turn));
    await expectNewest(this.#store, this.#idAt(turns - 1), this.#newest);
  }
}

/** So many callers, each with a conversation of its own, each with one turn under way. */
export class Callers {
  #store;
  #ids;
  #held;
  #turns = [];

  constructor(store, callers, held = 10) {
    this.#store = store;
    this.#ids = Array.from({ length: callers }, (_, n) => `caller-${n}`);
    this.#held = held;
  }

  /** Makes their conversations. */
  async fill() {
    for (const id of this.#ids) await fill(this.#store, id, this.#held);
  }

  /** Makes the text of the next turns: as many for each. */
  prepare(turns) {
    if (turns % this.#ids.length > 0) throw new Error(`${turns} turns are not as many for each of ${this.#ids.length}`);
    this.#turns = this.#ids.map(() => turnsOf(turns / this.#ids.length));
  }

  /** All of them append their turns, each waiting for its own only. */
  async append() {
    await Promise.all(
      this.#ids.map(async (id, n) => {
        for (const turn of this.#turns[n]) await this.#store.append(id, turn);
      }),
    );
  }

  /** Counts what is stored. */
  async check(turns) {
    for (const [n, id] of this.#ids.entries()) {
      await expectHeld(this.#store, id, this.#held + (2 * turns) / this.#ids.length);
      await expectNewest(this.#store, id, this.#turns[n].at(-1));
    }
  }
}
