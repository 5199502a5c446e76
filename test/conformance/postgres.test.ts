import { postgresBackend, rowsBodies } from '../support/postgres-backend.js';
import { conformance } from './conformance.js';

conformance(postgresBackend({ name: 'postgres', capabilities: ['persistent', 'shared', 'bodies', 'roundTrips'], bodies: rowsBodies }));
