// Export and import of many conversations through the command line: peak memory of each process, and three times SIGKILL at a
// random point before it may finish. `node scripts/transfer.mjs [conversations, default 100000] [folder]`; prints what it finds, and
// fails when anything is lost, doubled or different.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const COUNT = Number(process.argv[2] ?? 100_000);
const KILLS = 3;
const folder = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'jaf-transfer-'));
const at = (name) => join(folder, name);
const url = (name) => `sqlite:${at(name)}.db`;
/** Prints the peak of the process when it ends. */
const PEAK = `data:text/javascript,${encodeURIComponent("process.on('exit',()=>process.stderr.write(`peak ${process.resourceUsage().maxRSS}\\n`))")}`;

let seed = Number(process.env.SEED ?? Date.now() % 1e6);
console.log(`${COUNT} conversations in ${folder}, seed ${seed}`);
const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;

/** Runs a command; killed after `ms`, where given. */
async function cli(args, ms) {
  const started = performance.now();
  const child = spawn(process.execPath, ['--import', PEAK, join(root, 'dist/cli/main.js'), ...args], {
    env: { PATH: process.env.PATH, SOURCE_DATE_EPOCH: '1800000000' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk) => (text.stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk) => (text.stderr += chunk));
  const timer = ms === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), ms);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  const peak = /^peak (\d+)$/m.exec(text.stderr)?.[1];
  return { ...text, code, signal, seconds: (performance.now() - started) / 1000, peak: peak && Math.round(peak / 1000) };
}

function tell(what, { code, signal, seconds, peak, stdout, stderr }) {
  const end = signal ?? `exit ${code}`;
  const last = (stdout.trim() || stderr.trim()).split('\n').at(-1).slice(0, 120);
  console.log(`${what.padEnd(34)} ${end.padEnd(8)} ${seconds.toFixed(1).padStart(7)} s  ${peak ? `${peak} MB peak` : ''}  ${last}`);
}

function must(condition, what) {
  if (!condition) throw new Error(what);
}

async function sha256(file) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest('hex');
}

/** A conversation of 4 to 12 messages; ids in no order. */
function record(i) {
  const id = `${((i * 2654435761) % 2 ** 32).toString(16).padStart(8, '0')}:chat:${i}`;
  const messages = Array.from({ length: 4 + (i % 9) }, (_, k) => ({
    role: k % 2 === 0 ? 'user' : 'assistant',
    content: `Message ${k} of ${i}: ${'the quick brown fox jumps over the lazy dog '.repeat(1 + ((i + k) % 12))}`,
  }));
  const created = new Date(1_760_000_000_000 + i * 1000).toISOString();
  return {
    conversation_id: id,
    user_id: `user-${i % 1000}`,
    messages,
    metadata: { n: i },
    created_at: created,
    updated_at: created,
    first_seq: 1 + (i % 3),
  };
}

/** Stops a command at random points of its way before it may finish. */
async function interrupted(what, args, whole, afterKill) {
  for (let kill = 1; kill <= KILLS; kill++) {
    const ran = await cli(args, 300 + random() * 1000 * whole * 0.5);
    tell(`${what}, kill ${kill}`, ran);
    afterKill?.(ran);
  }
  const ran = await cli(args);
  tell(`${what}, resumed`, ran);
  return ran;
}

try {
  const source = createWriteStream(at('source.ndjson'));
  for (let i = 0; i < COUNT; i++) if (!source.write(`${JSON.stringify(record(i))}\n`)) await once(source, 'drain');
  source.end();
  await once(source, 'close');
  console.log(`source: ${(statSync(at('source.ndjson')).size / 1e6).toFixed(1)} MB`);

  const first = await cli(['import', at('source.ndjson'), '-p', url('first')]);
  tell('import', first);
  must(first.code === 0, first.stderr);
  const second = await interrupted('import', ['import', at('source.ndjson'), '-p', url('second'), '--on-conflict', 'skip'], first.seconds);
  must(second.code === 0, second.stderr);

  const whole = await cli(['export', '-p', url('first'), '-o', at('first.ndjson')]);
  tell('export', whole);
  must(whole.code === 0, whole.stderr);
  const again = await interrupted('export', ['export', '-p', url('second'), '-o', at('second.ndjson')], whole.seconds, ({ signal }) =>
    must(signal === null || !existsSync(at('second.ndjson')), 'a killed export left a file under the final name'),
  );
  must(again.code === 0, again.stderr);
  const partial = readdirSync(folder).filter((name) => name.includes('.partial-'));
  console.log(`partial files of killed exports: ${partial.length}`);

  const sums = [await sha256(at('first.ndjson')), await sha256(at('second.ndjson'))];
  console.log(`sha256 ${sums[0]}\n       ${sums[1]}`);
  must(sums[0] === sums[1], 'the exports differ');

  const copied = await interrupted('copy', ['copy', '--from', url('second'), '--to', url('third')], first.seconds * 2);
  must(copied.code === 0, copied.stderr);
  const third = await cli(['export', '-p', url('third'), '-o', at('third.ndjson')]);
  tell('export of the copy', third);
  must((await sha256(at('third.ndjson'))) === sums[0], 'the export of the copy differs');
  const verified = await cli(['verify', '-p', url('third')]);
  tell('verify', verified);
  must(verified.code === 0, verified.stdout);

  const ids = new Set();
  let messages = 0;
  for await (const line of createInterface({ input: createReadStream(at('third.ndjson')) })) {
    const { conversation_id: id, metadata, messages: list } = JSON.parse(line);
    if (id === undefined) continue;
    must(!ids.has(id), `${id} is there twice`);
    ids.add(id);
    const wanted = record(metadata.n);
    must(
      wanted.conversation_id === id && JSON.stringify(wanted.messages.map((m) => m.content)) === JSON.stringify(list.map((m) => m.content)),
      `${id} differs`,
    );
    messages += list.length;
  }
  must(ids.size === COUNT, `${ids.size} of ${COUNT} conversations`);
  console.log(`${ids.size} conversations, ${messages} messages: none lost, none doubled, each as it was made`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
