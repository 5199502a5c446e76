/**
 * Connections of a pool of our own that were used a moment ago: kept at hand, because a trip through the pool costs three
 * timers and a turn of the event loop. What is not used for a second goes back to the pool, which then decides.
 *
 * @module
 */
import type { Checked } from './client.js';

/** Milliseconds after which a connection that is not used goes back to the pool. */
const REST_MS = 1000;

interface Entry {
  readonly client: Checked;
  /** Uses since it was made. */
  uses: number;
  /** Whether it was at hand when the last look found it. */
  rested: boolean;
  /** Hears of the end of a connection nobody uses. */
  readonly onError: () => void;
}

/** Connections at hand. */
export class Kept {
  readonly #maxUses: number;
  readonly #atHand: Entry[] = [];
  readonly #entries = new WeakMap<Checked, Entry>();
  #timer: NodeJS.Timeout | undefined;

  /** @param maxUses - a connection is replaced after so many */
  constructor(maxUses: number) {
    this.#maxUses = maxUses;
  }

  /** How many there are. */
  get count(): number {
    return this.#atHand.length;
  }

  /** The one used last; undefined: ask the pool. The caller listens for its errors. */
  take(): Checked | undefined {
    const entry = this.#atHand.pop();
    if (!entry) return undefined;
    entry.client.ref?.();
    return entry.client;
  }

  /**
   * Counts a use.
   *
   * @returns false when the connection has had all of its uses
   */
  used(client: Checked): boolean {
    let entry = this.#entries.get(client);
    if (!entry) {
      const onError = (): void => {
        const at = this.#atHand.findIndex((other) => other.client === client);
        if (at < 0) return; // whoever uses it hears of it by the answer
        this.#atHand.splice(at, 1);
        this.#release(client, true);
      };
      entry = { client, uses: 0, rested: false, onError };
      this.#entries.set(client, entry);
      client.on?.('error', onError);
    }
    return ++entry.uses < this.#maxUses;
  }

  /** Keeps a sound connection at hand. It does not keep the process alive, as an idle one of the pool does not. */
  keep(client: Checked): void {
    const entry = this.#entries.get(client);
    if (!entry) return this.#release(client, false);
    entry.rested = false;
    client.unref?.();
    this.#atHand.push(entry);
    this.#timer ??= setTimeout(() => this.#look(), REST_MS).unref();
  }

  #look(): void {
    this.#timer = undefined;
    for (const entry of this.#atHand.splice(0)) {
      if (entry.rested) this.#release(entry.client, false);
      else {
        entry.rested = true;
        this.#atHand.push(entry);
      }
    }
    if (this.#atHand.length > 0) this.#timer = setTimeout(() => this.#look(), REST_MS).unref();
  }

  #release(client: Checked, drop: boolean): void {
    client.release(drop);
  }

  /**
   * Gives all of them back.
   *
   * @param drop - whether the pool is to end them
   */
  clear(drop = false): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { client } of this.#atHand.splice(0)) this.#release(client, drop);
  }
}
