// The whole kit through PgBouncer in transaction mode: every statement may be carried out by another connection of the server.
import { startPgBouncer } from '../support/pgbouncer.js';
import { postgresBackend, rowsBodies } from '../support/postgres-backend.js';
import { conformance } from './conformance.js';

conformance(
  postgresBackend({
    name: 'postgres-pgbouncer',
    capabilities: ['persistent', 'shared', 'bodies', 'roundTrips'],
    config: { preparedStatements: false },
    bodies: rowsBodies,
    through: startPgBouncer,
  }),
);
