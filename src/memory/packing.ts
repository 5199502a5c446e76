/**
 * Packing: what is older than `compressionThreshold` newest messages is swapped for compressed segments, beside the calls
 * and never as part of one. No reader can see it.
 *
 * @module
 */
import { DamagedError } from './codec.js';
import type { Core } from './core.js';
import type { Extent } from './driver.js';
import { MemoryError } from './errors.js';
import { packSegment, segmentLength, SEGMENT_MESSAGES } from './segment.js';

/** Packs the conversations of one provider, one run per conversation at a time. */
export class Packer {
  readonly #core: Core;
  readonly #running = new Set<string>();

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Looks at a conversation after a write and packs in the background when a whole segment is ripe.
   *
   * @param id - the conversation
   * @param extent - where it stands
   * @param threshold - messages that stay unpacked
   */
  consider(id: string, extent: Extent, threshold: number): void {
    if (this.#core.driver.capabilities.borrowed) return;
    if (extent.next - threshold - extent.packedTo < SEGMENT_MESSAGES || this.#running.has(id)) return;
    this.#running.add(id);
    this.#core.inBackground(this.#pack(id, extent, threshold).finally(() => this.#running.delete(id)));
  }

  async #pack(id: string, extent: Extent, threshold: number): Promise<void> {
    const { driver } = this.#core;
    const call = this.#core.call('pack', id);
    const end = extent.next - threshold;
    let from = extent.packedTo;
    try {
      while (end - from >= SEGMENT_MESSAGES && !this.#core.closed) {
        const at = from;
        const now = this.#core.now();
        const stored = await this.#core.trip(call, (trip) =>
          driver.read({ id, now, window: { kind: 'after', seq: at - 1, before: end, limit: SEGMENT_MESSAGES } }, trip),
        );
        if (!stored || stored.header.epoch !== extent.epoch || stored.header.packedTo !== from || stored.bodies[0]?.seq !== from) return;
        const bodies = stored.bodies.map((b) => b.body);
        const length = segmentLength(bodies);
        const data = await packSegment(bodies.slice(0, length), driver.capabilities.segments);
        const pack = { id, epoch: extent.epoch, from, to: from + length, data, now };
        // repeating it after a lost answer is harmless: it is stale then
        const outcome = await this.#core.trip(call, (trip) => driver.pack(pack, trip));
        if (outcome === 'stale') return;
        this.#core.emit({ type: 'packed', conversationId: id, messages: length });
        from += length;
      }
    } catch (error) {
      if (error instanceof MemoryError && error.code === 'closed') return;
      // the messages are as safe unpacked; the next write tries again
      const reason = error instanceof MemoryError ? error.code : error instanceof DamagedError ? 'corrupt' : 'internal';
      this.#core.emit({ type: 'pack_failed', conversationId: id, reason });
    }
  }
}
