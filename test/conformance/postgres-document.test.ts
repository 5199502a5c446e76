import { postgresBackend } from '../support/postgres-backend.js';
import { conformance } from './conformance.js';

conformance(
  postgresBackend({
    name: 'postgres-document',
    // a write is a transaction of several trips
    capabilities: ['persistent', 'shared', 'bodies'],
    config: { layout: 'document' },
    bodies: (schema) => `SELECT coalesce(sum(jsonb_array_length(messages)), 0) AS n FROM "${schema}".conversations`,
  }),
);
