// The layout rows in 16 hash partitions, made by what `jaf-memory schema` prints.
import { schemaText } from '../../src/memory/providers/postgres/schema.js';
import { storeNames } from '../../src/memory/providers/postgres/names.js';
import { postgresBackend, rowsBodies } from '../support/postgres-backend.js';
import { conformance } from './conformance.js';

conformance(
  postgresBackend({
    name: 'postgres-partitions',
    capabilities: ['persistent', 'shared', 'bodies', 'roundTrips'],
    bodies: rowsBodies,
    prepare: async (admin, schema) => {
      await admin.query(schemaText(storeNames('conversations', schema), { layout: 'rows', partitions: 16 }));
    },
  }),
);
