// The servers' own load generators, as contenders: pgbench with the same INSERT, redis-benchmark with the same RPUSH. They report
// their own rate; what they stored is counted.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { programOf } from './servers.mjs';
import { turnOf } from './turns.mjs';

const execute = promisify(execFile);
const RATE = /tps = ([\d.]+)/;

/**
 * pgbench: each client inserts turns into a conversation of its own.
 *
 * @param backend - of PostgreSQL
 * @param {number} clients
 * @param {(rate: number) => number} valueOf - turns a second → the benchmark's unit
 */
export async function openPgbench(backend, clients, valueOf) {
  const program = await programOf('pgbench');
  const folder = mkdtempSync(join(tmpdir(), 'jaf-pgbench-'));
  const script = join(folder, 'turn.sql');
  const table = `${backend.schema}.pgbench_${clients}_${Date.now()}`;
  await backend.admin.query(`CREATE TABLE ${table} (id text COLLATE "C", n bigint, body text NOT NULL, PRIMARY KEY (id, n))`);
  writeFileSync(
    script,
    `\\set n :n + 2\nINSERT INTO ${table} VALUES (:client_id::text, :n::bigint, :first), (:client_id::text, :n::bigint + 1, :second);\n`,
  );
  let n = 0;
  return {
    work: async (_name, operations) => {
      const [first, second] = turnOf().map((message) => JSON.stringify(message));
      const each = operations / clients;
      const defined = Object.entries({ n, first, second }).flatMap(([key, value]) => ['-D', `${key}=${value}`]);
      const { stdout } = await execute(
        program,
        ['-n', '-M', 'prepared', '-f', script, '-c', clients, '-t', each, ...defined, backend.url].map(String),
      );
      n += 2 * each;
      return { value: valueOf(Number(RATE.exec(stdout)[1])) };
    },
    check: async (_name, operations) => {
      const { rows } = await backend.admin.query(`SELECT count(*) AS n FROM ${table}`);
      if (Number(rows[0].n) !== 2 * operations) throw new Error(`pgbench stored ${rows[0].n} messages of ${2 * operations}`);
    },
    close: async () => {
      rmSync(folder, { recursive: true, force: true });
      await backend.admin.query(`DROP TABLE ${table}`);
    },
  };
}

/**
 * redis-benchmark: RPUSH of two strings into one of as many lists as there are clients, chosen at random.
 *
 * @param backend - of Redis
 * @param {number} clients
 * @param {(rate: number) => number} valueOf - turns a second → the benchmark's unit
 */
export async function openRedisBenchmark(backend, clients, valueOf) {
  const program = await programOf('redis-benchmark');
  const { hostname, port, username, password } = new URL(backend.url);
  const access = password ? [...(username ? ['--user', username] : []), '-a', password] : [];
  const prefix = `jaf-bench:${process.pid}:redis-benchmark:${clients}:`;
  const lists = async () => {
    const lengths = Array.from({ length: clients }, (_, n) => backend.admin.lLen(prefix + String(n).padStart(12, '0')));
    return (await Promise.all(lengths)).reduce((sum, length) => sum + length, 0);
  };
  return {
    work: async (_name, operations) => {
      const bodies = turnOf().map((message) => JSON.stringify(message));
      const how = ['-h', hostname, '-p', port || '6379', ...access, '--csv', '-c', clients, '-n', operations, '-r', clients].map(String);
      const { stdout } = await execute(program, [...how, 'RPUSH', `${prefix}__rand_int__`, ...bodies]);
      // the last line is: "the command","rate","a latency",…
      const rate = /(?:,"[\d.]+")+\s*$/.exec(stdout)?.[0].split('"')[1];
      if (rate === undefined) throw new Error(`redis-benchmark printed something else than expected:\n${stdout.slice(-500)}`);
      return { value: valueOf(Number(rate)) };
    },
    check: async (_name, operations) => {
      const stored = await lists();
      if (stored !== 2 * operations) throw new Error(`redis-benchmark stored ${stored} messages of ${2 * operations}`);
    },
    close: async () => undefined,
  };
}
