// A process of its own for the PostgreSQL tests: node postgres-worker.mjs MODE URL SCHEMA [CONVERSATION] [NAME] [COUNT]
//   open    opens the store and prints its health message
//   append  appends COUNT messages NAME-1, NAME-2, … to CONVERSATION
import { fileURLToPath } from 'node:url';

const dist = process.env.JAF_DIST ?? fileURLToPath(new URL('../../dist', import.meta.url));
const [mode, connectionString, schema, conversation, name, count] = process.argv.slice(2);

const { createPostgresProvider, unwrap, user } = await import(`${dist}/memory/index.js`);
const provider = await createPostgresProvider({ connectionString, schema, deadline: 60_000, sweep: false });

switch (mode) {
  case 'open':
    console.log((await provider.healthCheck()).message);
    break;
  case 'append':
    for (let n = 1; n <= Number(count); n++)
      unwrap(await provider.appendMessages(conversation, [user(`${name}-${n}`)], undefined, { createIfMissing: true }));
    break;
  default:
    throw new Error(`unknown mode ${mode}`);
}
await provider.close();
