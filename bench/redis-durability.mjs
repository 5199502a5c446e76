// What does a crash take of what was acknowledged?
// For each setting of the server: three seconds of appends by eight conversations, then SIGKILL of the server (of the primary,
// where there is a replica), then a start on its files (or the promotion of the replica). Printed is how many acknowledged
// messages are gone, worst of several rounds. A killed process leaves to the system what it has written, so this is the crash
// of a process. The loss of power is not simulated: what the system had not yet synced would be gone, too.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisProvider } from 'jaf/memory';
import { createClient } from 'redis';

export const title = 'what a crash of Redis takes of what was acknowledged, by the setting of the server';
export const byName = true;

const ROUNDS = Number(process.env.JAF_BENCH_ROUNDS ?? 3);
const LOAD_MS = 3000;
const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const BINARY = process.env.JAF_TEST_REDIS_SERVER ?? 'redis-server';

const SETTINGS = [
  { name: 'no persistence (save "", appendonly no)', args: ['--save', '', '--appendonly', 'no'] },
  { name: 'RDB only (save 1 1: a snapshot a second)', args: ['--save', '1 1', '--appendonly', 'no'] },
  { name: 'appendonly yes, appendfsync everysec', args: ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec'] },
  { name: 'appendonly yes, appendfsync always', args: ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always'] },
  { name: 'no persistence, replica promoted', args: ['--save', '', '--appendonly', 'no'], replica: true },
  {
    name: 'no persistence, replica promoted, waitReplicas: { count: 1 }',
    args: ['--save', '', '--appendonly', 'no'],
    replica: true,
    waitReplicas: { count: 1, timeout: 2000 },
  },
];

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

async function start(folder, port, args) {
  const child = spawn(
    BINARY,
    ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--repl-diskless-sync-delay', '0', ...args],
    {
      cwd: folder,
      stdio: 'ignore',
    },
  );
  for (;;) {
    const client = createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: false } });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.ping();
      return { child, client };
    } catch {
      client.destroy();
      if (child.exitCode !== null) throw new Error(`${BINARY} did not start`);
      await sleep(20);
    }
  }
}

async function stop({ child, client }) {
  client.destroy();
  child.kill('SIGKILL');
  await new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve()));
}

async function round({ args, replica, waitReplicas }) {
  const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'jaf-durability-')));
  const running = [];
  try {
    const port = await freePort();
    const primary = await start(folders[0], port, args);
    running.push(primary);
    let second;
    const secondPort = await freePort();
    if (replica) {
      second = await start(folders[1], secondPort, [...args, '--replicaof', `127.0.0.1 ${port}`]);
      running.push(second);
      while (!/master_link_status:up/.test(await second.client.info('replication'))) await sleep(20);
    }
    const provider = await createRedisProvider({ host: '127.0.0.1', port, deadline: 1000, ...(waitReplicas ? { waitReplicas } : {}) });
    const acknowledged = new Map(IDS.map((id) => [id, 0]));
    const halt = new AbortController();
    const load = Promise.all(
      IDS.map(async (id) => {
        for (let n = 1; !halt.signal.aborted; n++) {
          const outcome = await provider.appendMessages(id, [{ role: 'user', content: `${n}` }], undefined, { createIfMissing: true });
          if (!outcome.ok) return;
          acknowledged.set(id, n);
        }
      }),
    );
    await sleep(LOAD_MS);
    primary.child.kill('SIGKILL');
    await sleep(50);
    halt.abort();
    await load;
    await provider.close();
    running.shift();
    await stop(primary);
    let after = secondPort;
    if (second) await second.client.sendCommand(['REPLICAOF', 'NO', 'ONE']);
    else {
      running.push(await start(folders[0], port, args));
      after = port;
    }
    const reader = await createRedisProvider({ host: '127.0.0.1', port: after });
    let total = 0;
    let lost = 0;
    for (const [id, count] of acknowledged) {
      const stored = new Set(((await reader.getConversation(id))?.messages ?? []).map(({ content }) => Number(content)));
      total += count;
      for (let n = 1; n <= count; n++) if (!stored.has(n)) lost++;
    }
    await reader.close();
    return { total, lost };
  } finally {
    for (const one of running) await stop(one);
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs it. */
export async function run() {
  console.log(`| setting | acknowledged | lost (worst of ${ROUNDS}) |\n|---|---|---|`);
  for (const setting of SETTINGS) {
    let worst = { total: 0, lost: -1 };
    for (let n = 0; n < ROUNDS; n++) {
      const outcome = await round(setting);
      if (outcome.lost > worst.lost) worst = outcome;
    }
    console.log(`| ${setting.name} | ${worst.total} | ${worst.lost} |`);
  }
}
