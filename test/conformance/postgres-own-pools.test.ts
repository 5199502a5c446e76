// The whole kit on pools of the driver's own: there the frequent statements are sent in one piece and without asking for their
// columns (lean.ts), on connections kept at hand (kept.ts).
import { postgresBackend, rowsBodies } from '../support/postgres-backend.js';
import { conformance } from './conformance.js';

conformance(
  postgresBackend({ name: 'postgres-own-pools', capabilities: ['persistent', 'shared', 'bodies'], ownPools: true, bodies: rowsBodies }),
);
