// npm run bench [-- name]: runs one benchmark, or lists them.
import { readdirSync } from 'node:fs';

const folder = new URL('.', import.meta.url);
const names = readdirSync(folder)
  .filter((f) => f.endsWith('.mjs') && !['run.mjs', 'bare-sqlite.mjs', 'turns.mjs'].includes(f))
  .map((f) => f.slice(0, -4));
const name = process.argv[2] ?? 'append';
if (!names.includes(name)) {
  console.error(`No benchmark "${name}". There are: ${names.join(', ')}`);
  process.exit(2);
}
await import(new URL(`${name}.mjs`, folder).href);
