// The document, PostgreSQL (lines 166–239).
import pg from 'pg';
import { createPostgresProvider, type PostgresConfig } from 'jaf/memory';
// Method 1: config and connection
const connection = new pg.Client('postgresql://user:pass@localhost/jaf_memory');
await connection.connect();
const config: PostgresConfig = {
  host: 'localhost',
  port: 5432,
  database: 'jaf_memory',
  username: 'postgres',
  password: 'your-password',
  tableName: 'conversations',
};
const provider1 = await createPostgresProvider(config, connection);
// Method 2: from a connection string
const provider2 = await createPostgresProvider({ connectionString: 'postgresql://user:pass@localhost/jaf_memory' });
