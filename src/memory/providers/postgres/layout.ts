/**
 * What a layout of tables does for the driver: its storage primitives, without opening and connections.
 *
 * @module
 */
import type { StorageDriver } from '../../driver.js';

/** A way to keep conversations in tables: `rows` (rows.ts) or `document` (document.ts). */
export type Layout = Pick<StorageDriver, 'write' | 'pack' | 'read' | 'list' | 'stats' | 'remove' | 'purge' | 'bar' | 'inspect'>;
