// Runs the rows on the harness of all benchmarks: each contender is a process, one of them at work at a time.
import { createRequire } from 'node:module';
import pg from 'pg';
import { createClient } from 'redis';
import { compare } from '../lib/compare.mjs';
import { postgresUrl, redisUrl, withServers } from '../lib/servers.mjs';
import { CONTENDERS } from './contenders.mjs';
import { startPeer } from './peer.mjs';

/** A place of its own for each contender: a database. `settle` comes when all have filled theirs. */
const places = {
  memory: async () => ({ versions: {}, next: async () => undefined, settle: async () => undefined, close: async () => undefined }),
  redis: async () => {
    const url = redisUrl();
    const admin = await createClient({ url }).connect();
    const [, version] = /(?:redis|valkey)_version:(\S+)/.exec(await admin.info('server'));
    if (/^db\d+:/m.test(await admin.info('keyspace')))
      throw new Error('JAF_TEST_REDIS_URL names a server with data. Peers need one of their own: unset it, and a private one is started.');
    let databases = 0;
    return {
      versions: { Redis: version },
      next: async () => `${url}/${databases++}`,
      settle: async () => undefined,
      close: async () => {
        await admin.flushAll();
        await admin.quit();
      },
    };
  },
  postgres: async () => {
    const url = postgresUrl();
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    const [{ version }] = (await admin.query(`SELECT current_setting('server_version') AS version`)).rows;
    const made = [];
    const urlOf = (name) => Object.assign(new URL(url), { pathname: `/${name}` }).href;
    return {
      versions: { PostgreSQL: version.split(' ')[0] },
      next: async () => {
        const name = `jaf_bench_peers_${process.pid}_${made.length}`;
        await admin.query(`CREATE DATABASE ${name}`);
        made.push(name);
        return urlOf(name);
      },
      settle: async () => {
        for (const name of made) {
          const client = new pg.Client({ connectionString: urlOf(name) });
          await client.connect();
          await client.query('VACUUM ANALYZE');
          await client.end();
        }
        await admin.query('CHECKPOINT');
      },
      close: async () => {
        for (const name of made) await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
        await admin.end();
      },
    };
  },
};

const require = createRequire(import.meta.url);
const packageOf = (name) => /^(@?[^ ]+)/.exec(name)[1];
const versionsOf = (contenders) =>
  Object.fromEntries(
    contenders
      .map(({ package: own, name }) => own ?? packageOf(name))
      .filter((name) => name.startsWith('@'))
      .map((name) => [
        name,
        JSON.parse(require('node:fs').readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version,
      ]),
  );

/** Runs rows on providers. `node`: paths of other Nodes, by major version. */
export async function comparePeers({ rows, providers, node, repetitions }) {
  for (const provider of providers) {
    for (const row of rows) {
      const needed = provider === 'memory' ? [] : [provider];
      // a peer opens more connections than the default allows
      await withServers(needed, () => compareRow({ row, provider, node, repetitions }), { postgres: { max_connections: '300' } });
    }
  }
}

async function compareRow({ row, provider, node, repetitions }) {
  const place = await places[provider]();
  const notes = [];
  const contenders = CONTENDERS[provider];
  try {
    const taking = [];
    for (const contender of contenders) {
      const reason = contender.cannot?.[row.needs];
      if (reason !== undefined) notes.push(`${contender.name}: ${reason}`);
      else taking.push(contender);
      for (const [one, why] of Object.entries(contender.without ?? {}))
        if (Object.hasOwn(row.cases, one)) notes.push(`${contender.name}: not at ${one}: ${why}`);
    }
    const open = async ({ name, adapter, node: major, options }) => {
      const url = await place.next();
      const peer = await startPeer({ adapter, node: major && node[major], options: { store: provider, url, ...options } });
      await peer.ask('warm');
      const cases = Object.fromEntries(Object.entries(row.cases).map(([name, make]) => [name, make(peer)]));
      return {
        fill: async (one) => cases[one].fill?.(),
        prepare: async (one) => cases[one].prepare?.(),
        work: async (one, operations) => {
          const { ms, done, bytes, failed = 0, errors = [], returned, expected } = await cases[one].work(operations);
          if (returned !== expected) throw new Error(`${name}, ${one}: ${returned} instead of ${expected}`);
          for (const error of errors) notes.push(`${name}, ${one}: ${error}`);
          return { value: bytes ?? row.unit.of(ms, done), figures: failed > 0 ? { failed } : {} };
        },
        after: (one) => cases[one].after(),
        check: async (one) => {
          const found = Object.entries((await cases[one].end?.()) ?? {}).filter(([, value]) => value > 0);
          for (const [fault, value] of found) notes.push(`${name}, ${one}: ${fault} ${value}`);
        },
        close: () => peer.close(),
      };
    };
    const against = (name) => Object.fromEntries(taking.filter(({ base }) => base === name).map((peer) => [peer.name, { min: 1 }]));
    await compare({
      name: row.name,
      title: row.title,
      provider,
      what: row.what,
      unit: row.unit,
      ratio: 'speed',
      cases: Object.keys(row.cases),
      contenders: taking.map((contender) => ({
        name: contender.name,
        against: against(contender.name),
        // it says itself what a sample is worth: it was timed in its own process
        whole: true,
        operations: row.operations[provider] ?? row.operations.other,
        cases: (one) => contender.without?.[one] === undefined,
        open: () => open(contender),
      })),
      settle: place.settle,
      repetitions,
      servers: { ...place.versions, ...versionsOf(taking) },
      notes,
    });
  } finally {
    await place.close();
  }
}
