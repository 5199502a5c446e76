// npm run quickstart: an agent that remembers across two processes, though the first one is killed in the middle of its work.
import { fork } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const at = (name) => fileURLToPath(new URL(name, import.meta.url));
const cli = at('../dist/cli/main.js');
if (!existsSync(cli)) fail('there is no build yet. Run "npm ci" or "npm run build" first.');

// a broken step must not leave the terminal waiting
const LIMIT_MS = 120_000;

function fail(why) {
  console.error(`quickstart failed: ${why}`);
  process.exit(1);
}

/** Starts a process of its own; `onMessage` hears what it reports. Resolves when it has ended. */
function start(name, file, onMessage) {
  const child = fork(at(name), [file], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  child.on('message', (message) => onMessage(message, child));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      resolve({ pid: child.pid, code, signal });
    });
  });
}

const { modelName } = await import('../examples/quickstart/agent.mjs');
const file = join(mkdtempSync(join(tmpdir(), 'jaf-quickstart-')), 'memory.db');
console.log(`An agent that remembers, with ${modelName}.\n`);

console.log('Process 1 is asked to book a flight.');
let code;
let problem;
let killed = false;
const first = await start('../examples/quickstart/first.mjs', file, (message, child) => {
  if (message.type === 'booked') code = message.code;
  if (message.type === 'failed') problem = message.why;
  if (message.type === 'message_stored' && message.role === 'tool') killed = child.kill('SIGKILL');
});
if (!killed || first.signal !== 'SIGKILL' || code === undefined)
  fail(problem ?? `process 1 ended by itself (${first.signal ?? first.code})`);
console.log(`  process ${first.pid} was killed (SIGKILL) when the tool's result was stored, before the model had answered.\n`);

console.log('Process 2 opens the same file and is asked for the confirmation code.');
let report;
const second = await start('../examples/quickstart/second.mjs', file, (message) => {
  report = message;
});
if (second.code !== 0 || !report) fail(`process 2 ended with ${second.signal ?? second.code}`);

console.log(`\nThe file: ${file}`);
console.log(`Look at it: node dist/cli/main.js show quickstart --provider sqlite:${file}`);
const last = report.rolesBefore.at(-1);
if (last !== 'tool') fail(`process 2 should have found the tool's result at the end, and found ${last ?? 'nothing'}`);
if (!report.answer.includes(code)) fail(`the answer does not hold the code ${code} that process 1 booked`);
console.log(`Verified: the answer holds ${code}, which process 2 could only know from the file.`);
