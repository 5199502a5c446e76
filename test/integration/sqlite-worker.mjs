// A process of its own for the SQLite tests: node sqlite-worker.mjs MODE PATH [CONVERSATION] [NAME] [COUNT]
//   open     opens the store and prints its health message
//   append   appends COUNT messages NAME-1, NAME-2, … to CONVERSATION
//   endless  appends NAME-1, NAME-2, … and prints each number once it is acknowledged, until it is killed
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const dist = process.env.JAF_DIST ?? fileURLToPath(new URL('../../dist', import.meta.url));
const [mode, path, conversation, name, count] = process.argv.slice(2);
// tests of files that this user must not write to are run as root in containers, who may write anywhere
if (process.env.JAF_TEST_UID) process.setuid?.(Number(process.env.JAF_TEST_UID));

const { createSqliteProvider, unwrap, user } = await import(`${dist}/memory/index.js`);
const provider = await createSqliteProvider({ path, deadline: 60_000 });
const append = async (n) =>
  unwrap(await provider.appendMessages(conversation, [user(`${name}-${n}`)], undefined, { createIfMissing: true }));

switch (mode) {
  case 'open':
    console.log((await provider.healthCheck()).message);
    break;
  case 'append':
    for (let n = 1; n <= Number(count); n++) await append(n);
    break;
  case 'endless':
    for (let n = 1; ; n++) {
      await append(n);
      writeSync(1, `${n}\n`);
    }
  default:
    throw new Error(`unknown mode ${mode}`);
}
await provider.close();
