/**
 * All cases.
 *
 * @module
 */
import type { Case } from '../case.js';
import { concurrencyCases } from './concurrency.js';
import { epochsCases } from './epochs.js';
import { expiryCases } from './expiry.js';
import { fidelityCases } from './fidelity.js';
import { holdCases } from './hold.js';
import { iterateCases } from './iterate.js';
import { limitsCases } from './limits.js';
import { listCases } from './list.js';
import { operationsCases } from './operations.js';
import { ownerCases } from './owner.js';
import { packingCases } from './packing.js';
import { purgeCases } from './purge.js';
import { readCases } from './read.js';
import { removeCases } from './remove.js';
import { restoreCases } from './restore.js';
import { retriesCases } from './retries.js';
import { statsCases } from './stats.js';
import { tripsCases } from './trips.js';
import { versionsCases } from './versions.js';
import { windowCases } from './window.js';
import { writeCases } from './write.js';

/** Every case, topic after topic. */
export const allCases: readonly Case[] = [
  ...writeCases,
  ...readCases,
  ...windowCases,
  ...listCases,
  ...iterateCases,
  ...statsCases,
  ...ownerCases,
  ...holdCases,
  ...expiryCases,
  ...limitsCases,
  ...versionsCases,
  ...retriesCases,
  ...operationsCases,
  ...epochsCases,
  ...packingCases,
  ...restoreCases,
  ...removeCases,
  ...purgeCases,
  ...fidelityCases,
  ...concurrencyCases,
  ...tripsCases,
];
