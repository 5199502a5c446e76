/**
 * Work side by side, bounded in number and in weight.
 *
 * @module
 */

/** Tasks that run at the same time. */
export class Lanes {
  readonly #count: number;
  readonly #weight: number;
  readonly #running = new Set<Promise<void>>();
  #load = 0;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param count - tasks at most
   * @param weight - their weights together; one that weighs more runs alone
   */
  constructor(count: number, weight: number) {
    this.#count = count;
    this.#weight = weight;
  }

  /**
   * Waits for room and starts a task.
   *
   * @throws what an earlier task threw
   */
  async start(weight: number, task: () => Promise<void>): Promise<void> {
    while (this.#running.size > 0 && (this.#running.size >= this.#count || this.#load + weight > this.#weight))
      await Promise.race(this.#running);
    if (this.#failure) throw this.#failure.error;
    this.#load += weight;
    const run: Promise<void> = task().then(
      () => this.#end(run, weight),
      (error: unknown) => {
        this.#failure ??= { error };
        this.#end(run, weight);
      },
    );
    this.#running.add(run);
  }

  #end(run: Promise<void>, weight: number): void {
    this.#running.delete(run);
    this.#load -= weight;
  }

  /** Waits for all that was started; never throws. */
  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  /**
   * Waits for all that was started.
   *
   * @throws what a task threw
   */
  async finish(): Promise<void> {
    await this.settle();
    if (this.#failure) throw this.#failure.error;
  }
}
