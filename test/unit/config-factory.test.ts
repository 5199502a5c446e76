import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createInMemoryProvider,
  createMemoryProvider,
  createMemoryProviderFromEnv,
  createRedisProvider,
  createSqliteProvider,
  type MemoryEvent,
  type MemoryProvider,
  MemoryConfigError,
  unwrap,
  user,
} from 'jaf/memory';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'jaf-factory-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes and reads one message, and says which backend did it. */
async function nameOf(provider: MemoryProvider): Promise<string> {
  unwrap(await provider.appendMessages('c', [user('hello')], {}, { createIfMissing: true }));
  const health = await provider.healthCheck();
  await provider.close();
  return health.provider;
}
const setting = async (promise: Promise<unknown>): Promise<string> => {
  const error: unknown = await promise.then(
    () => 'nothing was thrown',
    (reason: unknown) => reason,
  );
  if (!(error instanceof MemoryConfigError)) throw error;
  return `${error.setting}: ${error.message}`;
};

describe('createMemoryProvider', () => {
  it('takes a URL or a configuration', async () => {
    const path = join(folder, 'a.db');
    expect(await nameOf(await createMemoryProvider('memory:'))).toBe('memory');
    expect(await nameOf(await createMemoryProvider({ type: 'memory', maxConversations: 5 }))).toBe('memory');
    expect(await nameOf(await createMemoryProvider(`sqlite:${path}`))).toBe('sqlite');
    expect(await nameOf(await createMemoryProvider({ type: 'sqlite', path, durability: 'full' }))).toBe('sqlite');
    expect(await nameOf(await createMemoryProvider('sqlite::memory:'))).toBe('sqlite');
  });

  it.each(['memory', 'memory:x', 'sqlite:', 'sqlite:///x.db', './x.db', 'mysql://u:hunter2@h', 'redis', '', 'C:\\x'])(
    'refuses %j',
    async (url) => {
      const text = await setting(createMemoryProvider(url));
      expect(text).toMatch(/^config: .*must be/);
      expect(text).not.toContain('hunter2');
    },
  );

  it('refuses what is no configuration', async () => {
    for (const config of [null, 5, { type: 'mongodb' }, {}])
      expect(await setting(createMemoryProvider(config as never))).toMatch(/^(config|type): /);
    expect(await setting(createMemoryProvider({ type: 'sqlite', maxConversations: 5 } as never))).toMatch(/^maxConversations: /);
    expect(await setting(createMemoryProvider({ type: 'memory', path: 'x' } as never))).toMatch(/^path: /);
  });
});

describe('backends that come later', () => {
  it('check their configuration first, then say that they are not in this version', async () => {
    const nobody = createRedisProvider({ sentinels: [{ host: '127.0.0.1', port: 1 }], sentinelServiceName: 'm' });
    await expect(nobody).rejects.toMatchObject({ name: 'MemoryConnectionError', code: 'refused' });
    expect(await setting(createRedisProvider({ port: 0 }))).toMatch(/^port: /);
    expect(await setting(createMemoryProvider({ type: 'postgres', connectionString: 'postgres://u:hunter2@h/d?sslmode=x' }))).toMatch(
      /^connectionString: /,
    );
  });
});

describe('createMemoryProviderFromEnv', () => {
  it('makes what the variables say', async () => {
    const path = join(folder, 'env.db');
    expect(await nameOf(await createMemoryProviderFromEnv({}))).toBe('memory');
    expect(await nameOf(await createMemoryProviderFromEnv({ JAF_MEMORY_TYPE: 'sqlite', JAF_SQLITE_PATH: path }))).toBe('sqlite');
    expect(readdirSync(folder)).toContain('env.db');
    expect(await setting(createMemoryProviderFromEnv({ JAF_SQLITE_PATH: path }))).toMatch(/^JAF_MEMORY_TYPE: /);
  });

  it('keeps the limits of the environment, and options win over them', async () => {
    const env = { JAF_MEMORY_TYPE: 'memory', JAF_MEMORY_MAX_MESSAGES: '2', JAF_MEMORY_MAX_CONVERSATIONS: '1' };
    const kept = async (provider: MemoryProvider): Promise<number | undefined> => {
      unwrap(await provider.storeMessages('old', [user('x')]));
      unwrap(
        await provider.storeMessages(
          'c',
          [1, 2, 3, 4].map((n) => user(String(n))),
        ),
      );
      expect(await provider.getConversation('old')).toBeUndefined();
      return (await provider.getConversation('c'))?.messageCount;
    };
    const events: MemoryEvent[] = [];
    expect(await kept(await createMemoryProviderFromEnv(env, { onEvent: (event) => events.push(event) }))).toBe(2);
    expect(events.map((event) => event.type).sort()).toStrictEqual(['evicted', 'trimmed']);
    expect(await kept(await createMemoryProviderFromEnv(env, { maxMessages: 3 }))).toBe(3);
  });

  it('names a bad option by its own name', async () => {
    expect(await setting(createMemoryProviderFromEnv({}, { deadline: 0 }))).toMatch(/^deadline: .*createMemoryProviderFromEnv/);
    expect(await setting(createMemoryProviderFromEnv({}, { maxConversations: 5 } as never))).toMatch(/^maxConversations: /);
  });
});

it('every factory checks its configuration', async () => {
  expect(() => createInMemoryProvider({ maxConversations: 0 })).toThrow(MemoryConfigError);
  expect(() => createInMemoryProvider({ maxMesages: 5 } as never)).toThrow('Did you mean "maxMessages"?');
  expect(await setting(createSqliteProvider({ ttl: 0, path: join(folder, 'never.db') }))).toMatch(/^ttl: /);
  expect(readdirSync(folder)).not.toContain('never.db');
});
