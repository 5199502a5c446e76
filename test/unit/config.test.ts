import { describe, expect, it } from 'vitest';
import {
  checkInMemoryConfig,
  checkPostgresConfig,
  checkProviderOptions,
  checkRedisConfig,
  checkSqliteConfig,
  nearestName,
} from '../../src/memory/config.js';
import { MemoryConfigError } from '../../src/memory/errors.js';

/** The error of a call that must fail. */
function failure(call: () => unknown): MemoryConfigError {
  try {
    call();
  } catch (error) {
    if (error instanceof MemoryConfigError) return error;
    throw error;
  }
  throw new Error('no error was thrown');
}

describe('options of every provider', () => {
  it('come back as a copy without absent fields', () => {
    const onEvent = (): void => undefined;
    const given = { onEvent, deadline: 1, ttl: 0.5, maxMessages: 1, compressionThreshold: undefined };
    const clean = checkProviderOptions(given as never);
    expect(clean).toStrictEqual({ onEvent, deadline: 1, ttl: 0.5, maxMessages: 1 });
    expect(clean).not.toBe(given);
    expect(checkProviderOptions(undefined)).toStrictEqual({});
  });

  it.each([
    ['deadline', [0, -1, 1.5, 300_001, '5', Number.NaN, null, true]],
    ['ttl', [0, -1, Number.NaN, Number.POSITIVE_INFINITY, '60', null]],
    ['maxMessages', [0, -1, 1.5, '10', null]],
    ['compressionThreshold', [0, 2.5, null]],
    ['maxInFlight', [0, '1']],
    ['onEvent', ['x', 1, null, {}]],
    ['clock', [1, null, 'now']],
  ])('refuse a bad %s and name it', (field, values) => {
    for (const value of values) {
      const error = failure(() => checkProviderOptions({ [field]: value }));
      expect(error.setting).toBe(field);
      expect(error.code).toBe('config');
      expect(error.message).toContain(`"${field}": must be `);
      expect(error.message).toContain('got ');
    }
  });

  it('accept the ends of each range', () => {
    for (const options of [
      { deadline: 1 },
      { deadline: 300_000 },
      { ttl: 31_557_600_000 },
      { maxMessages: Number.MAX_SAFE_INTEGER },
      { maxInFlight: 1 },
    ]) {
      expect(checkProviderOptions(options)).toStrictEqual(options);
    }
  });

  it('refuse unknown keys and say which one was meant', () => {
    expect(failure(() => checkInMemoryConfig({ max_messages: 5 } as never)).message).toContain('Did you mean "maxMessages"?');
    expect(failure(() => checkSqliteConfig({ durabilty: 'full' } as never)).message).toContain('Did you mean "durability"?');
    expect(failure(() => checkSqliteConfig({ maxConversations: 5 } as never)).setting).toBe('maxConversations');
    const far = failure(() => checkSqliteConfig({ zzzzzzzz: 'hunter2' } as never));
    expect(far.message).toContain('Known settings: ');
    expect(far.message).not.toContain('hunter2');
    for (const key of ['__proto__', 'constructor', 'toString']) {
      expect(failure(() => checkInMemoryConfig(JSON.parse(`{"${key}": 1}`) as never)).setting).toBe(key);
    }
  });

  it('refuse what is no object', () => {
    for (const config of [null, 'x', 5, []]) expect(failure(() => checkSqliteConfig(config as never)).setting).toBe('config');
  });

  it('accept the own type and no other', () => {
    expect(checkSqliteConfig({ type: 'sqlite', path: 'x.db' } as never)).toStrictEqual({ path: 'x.db' });
    expect(failure(() => checkSqliteConfig({ type: 'redis' } as never)).setting).toBe('type');
  });
});

describe('SQLite', () => {
  it('accepts its fields', () => {
    const config = { path: './a b.db', durability: 'full', sweep: { every: 0.5 } } as const;
    expect(checkSqliteConfig(config)).toStrictEqual(config);
    expect(checkSqliteConfig({ sweep: false })).toStrictEqual({ sweep: false });
  });

  it.each([
    ['path', ['', 'a\0b', 5, 'sqlite:./x.db', 'redis://h']],
    ['durability', ['fast', true]],
    ['sweep', [true, { every: 0 }, { every: 1, other: 2 }, {}, { every: 1e9 }, 60]],
  ])('refuses a bad %s', (field, values) => {
    for (const value of values) expect(failure(() => checkSqliteConfig({ [field]: value })).setting).toBe(field);
  });
});

describe('Redis', () => {
  const parts = (url: string, more: object = {}) => checkRedisConfig({ url, ...more });

  it('takes the URL apart', () => {
    expect(parts('redis://localhost:6379/0')).toStrictEqual({ host: 'localhost', port: 6379, db: 0 });
    expect(parts('redis://auth-token@redis-cluster.company.com:6380/0')).toStrictEqual({
      host: 'redis-cluster.company.com',
      port: 6380,
      db: 0,
      password: 'auth-token',
    });
    expect(parts('redis://:p%40ss@h')).toStrictEqual({ host: 'h', password: 'p@ss' });
    expect(parts('rediss://me:pw@[::1]:7000/3')).toStrictEqual({
      host: '::1',
      port: 7000,
      db: 3,
      username: 'me',
      password: 'pw',
      tls: true,
    });
  });

  it('lets the URL win and fills in what it leaves out', () => {
    expect(parts('redis://h:1/2', { host: 'other', port: 5, db: 7, password: 'p' })).toStrictEqual({
      host: 'h',
      port: 1,
      db: 2,
      password: 'p',
    });
    expect(parts('redis://:new@h', { username: 'old', password: 'old' })).toStrictEqual({ host: 'h', password: 'new' });
  });

  it('takes only credentials, database and TLS from the URL beside sentinels and cluster nodes', () => {
    const sentinels = [{ host: 's1', port: 26379 }];
    expect(parts('rediss://tok@ignored:1/4', { sentinels, sentinelServiceName: 'mymaster' })).toStrictEqual({
      sentinels,
      sentinelServiceName: 'mymaster',
      password: 'tok',
      db: 4,
      tls: true,
    });
    expect(parts('redis://tok@ignored:1', { clusterNodes: sentinels })).toStrictEqual({ clusterNodes: sentinels, password: 'tok' });
  });

  it('keeps TLS when either asks for it, and refuses a contradiction', () => {
    expect(parts('redis://h', { tls: true }).tls).toBe(true);
    expect(parts('rediss://h', { tls: { ca: 'x' } }).tls).toStrictEqual({ ca: 'x' });
    expect(failure(() => parts('rediss://h', { tls: false })).setting).toBe('tls');
  });

  it.each([
    [
      'url',
      [
        'http://h',
        'h:6379',
        '',
        'redis://h/x',
        'redis://h?db=1',
        'redis://:a#b@h',
        'redis://h:99999',
        'redis://:%zz@h',
        'redis://h:6379/0  # main',
      ],
    ],
    ['host', ['redis://h', 'user@h', '', 'h:6379', 'a b']],
    ['port', [0, 65_536, '6379', 1.5]],
    ['db', [-1, 1.5, '0']],
    ['tls', ['true', 1, null]],
    ['keyPrefix', ['', 'a{b}', '}', 5]],
    ['sentinels', [[], [{ host: 'h' }], [{ host: 'h', port: 1, x: 1 }], 'h:1', [{ host: 'u@h', port: 1 }]]],
    ['waitReplicas', [1, { count: 1 }, { count: 0, timeout: 1 }, { count: 1, timeout: 1, x: 1 }]],
  ])('refuses a bad %s', (field, values) => {
    for (const value of values) expect([value, failure(() => checkRedisConfig({ [field]: value })).setting]).toStrictEqual([value, field]);
  });

  it('refuses combinations that cannot be', () => {
    const nodes = [{ host: 'h', port: 1 }];
    expect(failure(() => checkRedisConfig({ sentinels: nodes })).setting).toBe('sentinelServiceName');
    expect(failure(() => checkRedisConfig({ sentinelServiceName: 'm' })).setting).toBe('sentinels');
    expect(failure(() => checkRedisConfig({ sentinels: nodes, sentinelServiceName: 'm', clusterNodes: nodes })).setting).toBe(
      'clusterNodes',
    );
    expect(failure(() => checkRedisConfig({ clusterNodes: nodes, db: 2 })).setting).toBe('db');
    expect(checkRedisConfig({ clusterNodes: nodes, db: 0 }).db).toBe(0);
  });
});

describe('PostgreSQL', () => {
  const from = (connectionString: string, more: object = {}) => checkPostgresConfig({ connectionString, ...more });

  it('takes sslmode out of the connection string', () => {
    const url = 'postgresql://u:p@h:5432/db';
    expect(from(`${url}?sslmode=disable`)).toStrictEqual({ connectionString: url, ssl: false });
    expect(from(`${url}?sslmode=require&application_name=x`)).toStrictEqual({
      connectionString: `${url}?application_name=x`,
      ssl: { rejectUnauthorized: false },
    });
    expect(from(`${url}?sslmode=verify-ca`).ssl).toMatchObject({ rejectUnauthorized: true });
    expect(from(`${url}?sslmode=verify-full`).ssl).toBe(true);
    expect(from(`${url}?ssl=true`).ssl).toBe(true);
    expect(from(url).ssl).toBeUndefined();
  });

  it('takes the stricter of URL and setting', () => {
    expect(from('postgres://h/d?sslmode=require', { ssl: true }).ssl).toBe(true);
    expect(from('postgres://h/d?sslmode=prefer', { ssl: true }).ssl).toBe(true);
    expect(from('postgres://h/d?sslmode=prefer', { ssl: false }).ssl).toBe(false);
    expect(from('postgres://h/d?sslmode=require', { ssl: { ca: 'c' } }).ssl).toStrictEqual({ ca: 'c' });
    expect(from('postgres://h/d', { ssl: true }).ssl).toBe(true);
  });

  it('refuses contradictions and what would go on in clear text', () => {
    expect(failure(() => from('postgres://h/d?sslmode=disable', { ssl: true })).setting).toBe('ssl');
    expect(failure(() => from('postgres://h/d?sslmode=require', { ssl: false })).setting).toBe('ssl');
    expect(failure(() => from('postgres://h/d?sslmode=verify-full', { ssl: { rejectUnauthorized: false } })).setting).toBe('ssl');
    expect(failure(() => from('postgres://h/d?sslmode=disable&ssl=true')).setting).toBe('connectionString');
    expect(failure(() => from('postgres://h/d?sslmode=prefer')).message).toContain('clear text');
    expect(failure(() => from('postgres://h/d?sslmode=maybe')).setting).toBe('connectionString');
    expect(failure(() => from('postgres://h/d?sslpassword=x')).message).toContain('sslpassword');
  });

  it('lets the URL win and fills in what it leaves out', () => {
    const clean = from('postgres://me@h/d', { host: 'x', port: 1, username: 'y', database: 'z', password: 'secret' });
    expect(clean).toStrictEqual({ connectionString: 'postgres://me@h/d', port: 1, password: 'secret' });
  });

  it.each([
    ['connectionString', ['mysql://h', 'host=localhost', 'postgres://u:a#b@h/d', 'postgres://u:p@h:x/d']],
    ['tableName', ['', 'a.b.c', '.x', 'x'.repeat(49), 5, 'a b', 'x"; DROP TABLE y; --', '1st', 'a.b c']],
    ['poolMinSize', [-1, 11]],
    ['poolMaxSize', [0, '5']],
    ['layout', ['wide']],
    ['preparedStatements', ['yes']],
  ])('refuses a bad %s', (field, values) => {
    const more = field === 'poolMinSize' ? { poolMaxSize: 10 } : {};
    for (const value of values) {
      expect([value, failure(() => checkPostgresConfig({ [field]: value, ...more })).setting]).toStrictEqual([value, field]);
    }
  });

  it('refuses a schema that contradicts the table name', () => {
    expect(failure(() => checkPostgresConfig({ tableName: 'a.t', schema: 'b' })).setting).toBe('schema');
    expect(checkPostgresConfig({ tableName: 'a.t', schema: 'a' }).schema).toBe('a');
  });
});

it('never shows a secret', () => {
  const calls: (() => unknown)[] = [
    () => checkRedisConfig({ url: 'http://:hunter2@h' }),
    () => checkRedisConfig({ url: 'redis://:hunter2@h/x' }),
    () => checkRedisConfig({ url: 'redis://:hunter2@h:99999' }),
    () => checkRedisConfig({ url: 'redis://:hunter2#@h' }),
    () => checkRedisConfig({ password: ['hunter2'] } as never),
    () => checkRedisConfig({ host: 'redis://:hunter2@h' }),
    () => checkRedisConfig({ host: 'me:hunter2@h' }),
    () => checkRedisConfig({ tls: 'hunter2' } as never),
    () => checkRedisConfig({ passwrd: 'hunter2' } as never),
    () => checkPostgresConfig({ connectionString: 'postgres://u:hunter2@h/d?sslmode=maybe' }),
    () => checkPostgresConfig({ connectionString: 'postgres://u:hunter2@h/d?sslmode=disable', ssl: true }),
    () => checkPostgresConfig({ connectionString: 'postgres://u:hunter2 @h/d' }),
    () => checkPostgresConfig({ connectionString: 'postgres://u:%zzhunter2@h/d' }),
    () => checkSqliteConfig({ path: 'postgres://u:hunter2@h/d' }),
  ];
  for (const call of calls) {
    const error = failure(call);
    expect(`${error.message} ${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toContain('hunter2');
  }
});

it('finds the name that was meant', () => {
  const names = ['maxMessages', 'ttl', 'db', 'host'];
  expect(nearestName('max_messages', names)).toBe('maxMessages');
  expect(nearestName('maxMesages', names)).toBe('maxMessages');
  expect(nearestName('tll', names)).toBe('ttl');
  expect(nearestName('colour', names)).toBeUndefined();
  expect(nearestName('x', names)).toBeUndefined();
});
