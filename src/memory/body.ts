/**
 * Bodies as drivers read them.
 *
 * @module
 */
import type { Body } from './driver.js';

/** A body of which the text is known. Its bytes are counted when somebody asks, which readers do not. */
export class StoredBody implements Body {
  readonly text: string;

  /** @param text - as it was stored */
  constructor(text: string) {
    this.text = text;
  }

  get bytes(): number {
    return Buffer.byteLength(this.text);
  }
}
