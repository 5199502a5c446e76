// One tenant against another: every operation of a handle with hostile ids, SQL as a tenant's role, and what is printed.
import { execFileSync } from 'node:child_process';
import { inspect } from 'node:util';
import { fileURLToPath } from 'node:url';
import { eraseUser, type MemoryProvider, MemoryError, textOf, unwrap, user } from 'jaf/memory';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createPostgresProvider } from 'jaf/memory';
import { startPostgres } from '../../support/postgres.js';
import { KINDS, useStores } from '../../support/stores.js';
import { found } from '../support/results.js';

const stores = useStores();
/** In content, metadata, ids and passwords of this file; nothing that is printed may hold it. */
const SECRET = 'pl4nted-s3cret';
const HOSTILE = [
  'bob',
  'bob%',
  'b_b',
  '*',
  'b*',
  '[ab]ob',
  'b?b',
  "' OR '1'='1",
  "bob'; DELETE FROM conversations; --",
  '$1',
  '${x}',
  'bob:1',
  '{bob}',
  '}bob{',
  'bob\\',
  '\\x62ob',
  '../bob',
  'BOB',
  ' bob',
  'bob ',
  'b\u00f6b',
  'bo\u0062\u0301',
  '\u202ebob',
  '__proto__',
  'constructor',
  '-inf',
  '+inf',
  '(0',
  'KEYS[1]',
  'null',
  '0',
  'x'.repeat(255),
  '😀',
];

describe.each(KINDS)('%s', (kind) => {
  it('a handle reaches nothing of another user, whatever it is asked', { timeout: 300_000 }, async () => {
    const provider = await stores.open(kind);
    const mine = new Map<string, string>();
    for (const owner of HOSTILE) {
      const id = `conversation of ${owner}`.slice(0, 255);
      mine.set(owner, id);
      unwrap(await provider.storeMessages(id, [user(`${SECRET} of ${owner}`)], { note: SECRET }, { userId: owner }));
    }
    let tried = 0;
    for (const attacker of HOSTILE) {
      const handle = provider.forUser(attacker);
      for (const [owner, id] of mine) {
        if (owner === attacker) continue;
        for (const attack of attacks(handle, id, owner)) {
          const shown = await attack().then(
            (value) => inspect(value, { depth: 20 }),
            (error: unknown) => {
              if (!(error instanceof MemoryError)) throw error;
              return `${error.message} ${inspect(error)} ${JSON.stringify(error)}`;
            },
          );
          expect(shown).not.toContain(`${SECRET} of ${owner}'`);
          expect(shown).not.toContain(SECRET);
          tried++;
        }
      }
      const own = await handle.findConversations();
      expect(own.map((c) => c.conversationId)).toEqual([mine.get(attacker)]);
      expect((await handle.getStats()).totalConversations).toBe(1);
    }
    for (const [owner, id] of mine) {
      expect((await provider.getConversation(id))?.messages.map(textOf)).toEqual([`${SECRET} of ${owner}`]);
      expect((await provider.findConversations({ userId: owner })).length).toBe(1);
    }
    // one user goes, and nobody else
    for (const gone of ["' OR '1'='1", '*', '-inf', 'b_b']) {
      expect(await provider.clearUserConversations(gone)).toBe(1);
      mine.delete(gone);
    }
    await eraseUser(provider, '{bob}', { audit: { append: async () => ({ hash: '' }) } });
    mine.delete('{bob}');
    expect((await provider.getStats()).totalConversations).toBe(mine.size);
    found({
      part: 'isolation',
      backend: kind,
      what: 'hostile users against each other',
      numbers: { attempts: tried, 'seen of others': 0, 'changed of others': 0 },
    });
  });
});

/** Everything a handle can do, about a conversation and a user that are not its own. */
function attacks(handle: MemoryProvider, id: string, owner: string): (() => Promise<unknown>)[] {
  const snapshot = {
    conversationId: id,
    userId: owner,
    messages: [],
    messageCount: 0,
    metadata: {},
    createdAt: new Date(),
    updatedAt: new Date(),
    version: 1,
    firstSeq: 1,
  };
  const collect = async (items: AsyncIterable<unknown>): Promise<unknown[]> => {
    const all: unknown[] = [];
    for await (const item of items) all.push(item);
    return all;
  };
  return [
    () => handle.getConversation(id),
    () => handle.getConversation(id, { messageLimit: 1 }),
    () => handle.getRecentMessages(id),
    () => handle.getMessages(id, {}),
    () => handle.findConversations({ userId: owner }),
    () => handle.findConversations({ conversationId: id }),
    () => collect(handle.iterateConversations({ userId: owner })),
    () => handle.appendMessages(id, [user('attack')]),
    () => handle.appendMessages(id, [user('attack')], undefined, { createIfMissing: true }),
    () => handle.appendMessages(id, [user('attack')], undefined, { userId: owner, createIfMissing: true }),
    () => handle.appendMessages(id, [user('attack')], { userId: owner } as never, { createIfMissing: true }),
    () => handle.storeMessages(id, [user('attack')]),
    () => handle.storeMessages(id, [], undefined, { userId: owner, operationId: 'x' }),
    () => handle.restoreConversation(snapshot, { onConflict: 'replace' }),
    () => handle.restoreConversation({ ...snapshot, userId: undefined as never }, { onConflict: 'skip' }),
    () => handle.deleteConversation(id),
    () => handle.deleteConversation(id, { expectedVersion: 1 }),
    () => handle.clearUserConversations(owner),
    () => handle.getStats(owner),
    async () => handle.forUser(owner).findConversations(),
    () => eraseUser(handle, owner, { audit: { append: async () => ({ hash: '' }) } }),
  ];
}

describe('PostgreSQL row security', () => {
  const CLI = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
  it.each(['rows', 'document'] as const)(
    'layout %s: a role for each tenant reads its own rows, the view included',
    { timeout: 120_000 },
    async (layout) => {
      const server = await startPostgres();
      const admin = new pg.Pool({ connectionString: server.url });
      try {
        await admin.query(
          `CREATE SCHEMA app; CREATE ROLE tenants; CREATE ROLE app LOGIN; CREATE ROLE ann LOGIN IN ROLE tenants;
         CREATE ROLE "bob's" LOGIN IN ROLE tenants; CREATE ROLE nobody_else LOGIN`,
        );
        const sql = execFileSync(
          process.execPath,
          [CLI, 'schema', '--schema', 'app', '--layout', layout, '--role', 'app', '--tenants', 'tenants'],
          { encoding: 'utf8' },
        );
        await admin.query(sql);
        const as = (role: string): string => server.url.replace('jaf@', `${encodeURIComponent(role)}@`);
        await using provider = await createPostgresProvider({ connectionString: as('app'), schema: 'app', layout, sweep: false });
        const owners = ['ann', "bob's", undefined];
        for (const owner of owners) {
          for (let n = 0; n < 3; n++) {
            const texts = Array.from({ length: 300 }, (_, m) => user(`${SECRET} ${String(owner)} ${n} ${m}`));
            unwrap(await provider.storeMessages(`${String(owner)}-${n}`, texts, { n }, { userId: owner, compressionThreshold: 20 }));
          }
        }
        // the application is not limited
        unwrap(await provider.appendMessages('ann-0', [user('more')]));
        expect((await provider.getStats()).totalConversations).toBe(9);
        // packed beside the writes
        if (layout === 'rows')
          await expect
            .poll(async () => (await admin.query('SELECT FROM app.conversations_segments')).rowCount, { timeout: 10_000 })
            .toBeGreaterThanOrEqual(9);
        let asked = 0;
        for (const tenant of ['ann', "bob's"]) {
          const client = new pg.Client({ connectionString: as(tenant) });
          await client.connect();
          try {
            const tables =
              layout === 'rows'
                ? ['conversations', 'conversations_messages', 'conversations_segments', 'conversations_documents']
                : ['conversations'];
            for (const table of tables) {
              const { rows } = await client.query<{ id: string; t: string }>(`SELECT conversation_id AS id, t::text FROM app.${table} t`);
              expect(rows.length).toBeGreaterThanOrEqual(3);
              for (const { id } of rows) expect(id.startsWith(`${tenant}-`)).toBe(true);
              const other = tenant === 'ann' ? "bob''s-0" : 'ann-0';
              for (const attack of [
                `SELECT * FROM app.${table} WHERE conversation_id = '${other}'`,
                `SELECT count(*) AS n FROM app.${table} WHERE conversation_id = '${other}' OR true`,
                `UPDATE app.${table} SET conversation_id = conversation_id`,
                `DELETE FROM app.${table}`,
                `TRUNCATE app.${table}`,
                `ALTER TABLE app.${table} DISABLE ROW LEVEL SECURITY`,
                `SET row_security = off; SELECT * FROM app.${table}`,
                `SET ROLE app; SELECT * FROM app.${table}`,
                `COPY app.${table} TO STDOUT`,
              ]) {
                asked++;
                const shown = await client.query(attack).then(
                  (result) => inspect(result, { depth: 10 }),
                  (error: unknown) => String(error),
                );
                const others = owners.filter((owner) => owner !== tenant);
                for (const owner of others) expect(shown, attack).not.toContain(`${SECRET} ${String(owner)} `);
                await client.query('RESET row_security; RESET ROLE');
              }
            }
            for (const closed of layout === 'rows' ? ['operations', 'leftovers', 'bars', 'settings'] : ['settings', 'bars'])
              await expect(client.query(`SELECT * FROM app.conversations_${closed}`)).rejects.toThrow(/permission denied/);
          } finally {
            await client.end();
          }
        }
        const stranger = new pg.Client({ connectionString: as('nobody_else') });
        await stranger.connect();
        await expect(stranger.query('SELECT * FROM app.conversations')).rejects.toThrow(/permission denied/);
        await stranger.end();
        expect((await provider.getStats()).totalConversations).toBe(9);
        found({
          part: 'isolation',
          backend: layout === 'rows' ? 'postgres' : 'postgres-document',
          what: 'SQL as a tenant’s role',
          numbers: { attempts: asked, 'seen of others': 0, 'changed of others': 0 },
        });
      } finally {
        await admin.end();
        await server.destroy();
      }
    },
  );
});

describe('what is printed', () => {
  it('errors, events and inspection hold no content and no credentials', { timeout: 60_000 }, async () => {
    const shown: string[] = [];
    for (const kind of KINDS) {
      const provider = await stores.open(kind, { onEvent: (event) => shown.push(JSON.stringify(event)), maxMessages: 1, deadline: 5000 });
      unwrap(await provider.storeMessages('c', [user(SECRET), user(SECRET)], { note: SECRET }, { userId: 'ann', operationId: 'o' }));
      shown.push(inspect(provider, { depth: 5, showHidden: true }));
      for (const bad of [
        () => provider.appendMessages('c', [user(SECRET)], { note: SECRET }, { userId: 'bob' }),
        () => provider.appendMessages('c', [{ role: 'user', content: SECRET, tool_calls: SECRET } as never]),
        () => provider.appendMessages('c', [user(SECRET)], { [SECRET]: Number.NaN } as never),
        () => provider.storeMessages('c', [user(SECRET)], undefined, { operationId: 'o' }),
        () => provider.storeMessages('c', [user(SECRET)], undefined, { expectedVersion: 1 }),
      ]) {
        const result = await bad();
        shown.push(inspect(result, { depth: 10 }), JSON.stringify(result));
      }
      shown.push(JSON.stringify(await provider.healthCheck()));
      await provider.close();
    }
    for (const config of [
      { connectionString: `postgres://ann:${SECRET}@127.0.0.1:1/x` },
      { host: '127.0.0.1', port: 1, password: SECRET },
      { host: '127.0.0.1', port: -1, password: SECRET },
    ])
      shown.push(inspect(await createPostgresProvider({ ...config, deadline: 500 }).catch((error: unknown) => error), { depth: 10 }));
    const leaks = shown.filter((text) => text.includes(SECRET));
    // the key of a metadata entry is named in an error, and is the caller's own word
    expect(
      leaks
        .filter((text) => !text.includes(`metadata.${SECRET}`) && !text.includes(`metadata["${SECRET}"]`))
        .map((text) => text.slice(0, 300)),
    ).toEqual([]);
    found({
      part: 'isolation',
      backend: 'all',
      what: 'texts searched for planted content and credentials',
      numbers: { texts: shown.length, found: 0 },
    });
  });
});
