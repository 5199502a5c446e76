import { describe, expect, it } from 'vitest';
import { checkPostgresConfig } from '../../src/memory/config.js';
import { MemoryConfigError } from '../../src/memory/errors.js';
import { describeProvider } from '../../src/memory/inspect.js';
import { classify, HostsError, NotConnectedError, NotWritableError, statesOf } from '../../src/memory/providers/postgres/failures.js';
import { type Target, targetOf } from '../../src/memory/providers/postgres/hosts.js';
import type { PostgresConfig } from '../../src/memory/types.js';

function target(config: PostgresConfig | string): Target {
  const checked = checkPostgresConfig(typeof config === 'string' ? { connectionString: config } : config);
  // what is checked twice means the same
  expect(targetOf(checkPostgresConfig(checked))).toStrictEqual(targetOf(checked));
  return targetOf(checked);
}
const hosts = (config: PostgresConfig | string): string =>
  target(config)
    .hosts.map(({ host, port }) => `${host} ${port}`)
    .join(', ');

describe('hosts of a PostgreSQL configuration', () => {
  it.each([
    ['postgresql://u@h1:1,h2:2/db', 'h1 1, h2 2'],
    ['postgresql://u@h1,h2:2,h3/db', 'h1 5432, h2 2, h3 5432'],
    ['postgresql://h1,h2', 'h1 5432, h2 5432'],
    ['postgresql://u:p%2Cq%40r@[::1]:1,[fe80::1]:2,10.0.0.1:3/db', '::1 1, fe80::1 2, 10.0.0.1 3'],
    ['postgresql://u@%2Frun%2Fa,%2Frun%2Fb:6/db', '/run/a 5432, /run/b 6'],
    ['postgresql://u@/db?host=h1,h2&port=1,2', 'h1 1, h2 2'],
    ['postgresql:///db?host=/run/pg&port=6', '/run/pg 6'],
    ['postgresql://u@h/db?host=h1,h2&port=7', 'h1 7, h2 7'],
    ['postgresql://u@[::1]:7/db', '::1 7'],
    ['postgresql://u@/db', 'localhost 5432'],
    ['postgresql:///db', 'localhost 5432'],
  ])('%s', (url, expected) => {
    expect(hosts(url)).toBe(expected);
  });

  it('by parts, and beside a URL that leaves them out', () => {
    expect(hosts({})).toBe('localhost 5432');
    expect(hosts({ host: 'h1,h2', port: 7 })).toBe('h1 7, h2 7');
    expect(hosts({ host: '/run/pg' })).toBe('/run/pg 5432');
    expect(hosts({ host: '::1,::2' })).toBe('::1 5432, ::2 5432');
    expect(hosts({ connectionString: 'postgresql://u@/db', host: 'h1,h2', port: 7 })).toBe('h1 7, h2 7');
    expect(hosts({ connectionString: 'postgresql:///db', host: 'h1,h2' })).toBe('h1 5432, h2 5432');
    expect(hosts({ connectionString: 'postgresql://a,b/db', host: 'h1', port: 7 })).toBe('a 7, b 7');
    expect(hosts({ connectionString: 'postgresql://a:1,b/db', port: 7 })).toBe('a 1, b 5432');
  });

  it('keeps user, password, database and what goes to the server', () => {
    const url =
      'postgresql://us%40er:p%2F%2C%3A%23%25@h1:1,h2/d%20b?application_name=x&options=-c%20a%3D1&connect_timeout=3&pgbouncer=true';
    expect(target(url)).toStrictEqual({
      hosts: [
        { host: 'h1', port: 1 },
        { host: 'h2', port: 5432 },
      ],
      needs: 'read-write',
      user: 'us@er',
      password: 'p/,:#%',
      database: 'd b',
      patience: 3000,
      parameters: { application_name: 'x', options: '-c a=1' },
      files: {},
    });
    expect(target('postgresql://u:p,q@h/d').password).toBe('p,q');
    expect(target({ connectionString: 'postgresql://a,b', username: 'u', password: 'p', database: 'd' })).toMatchObject({
      user: 'u',
      password: 'p',
      database: 'd',
    });
  });

  it('asks several hosts for one that takes writes, unless something else is said', () => {
    expect(target('postgresql://a/d').needs).toBe('any');
    expect(target('postgresql://a,b/d').needs).toBe('read-write');
    expect(target({ host: 'a,b' }).needs).toBe('read-write');
    expect(target('postgresql://a/d?target_session_attrs=read-write').needs).toBe('read-write');
    for (const needs of ['any', 'primary', 'read-write']) {
      expect(target(`postgresql://a,b/d?target_session_attrs=${needs}`).needs).toBe(needs);
    }
  });

  it.each([
    'postgresql://hunter2:x@a,,b/d',
    'postgresql://hunter2@a,b:x/d',
    'postgresql://hunter2@a,b:0/d',
    'postgresql://hunter2@a,b:65536/d',
    'postgresql://hunter2@a,[::1/d',
    'postgresql://hunter2@a,%zz/d',
    'postgresql://hunter2@/d?host=a,b&port=1,2,3',
    'postgresql://hunter2@a/d?target_session_attrs=standby',
    'postgresql://hunter2@a/d?target_session_attrs=prefer-standby',
    'postgresql://hunter2@a/d?connect_timeout=soon',
  ])('refuses %s', (connectionString) => {
    const check = (): unknown => target({ connectionString });
    expect(check).toThrow(MemoryConfigError);
    expect(check).toThrow(/"connectionString": must be/);
    expect(check).not.toThrow(/hunter2/);
  });

  it('refuses hosts with ports among the parts', () => {
    for (const host of ['a:1,b:2', 'a,b:2', 'a,,b', 'a, b', 'u@a,b'])
      expect(() => checkPostgresConfig({ host })).toThrow(/"host": must be a host name/);
  });

  it('shows where it points to, without credentials', () => {
    const location = (connectionString: string): string => describeProvider({ type: 'postgres', connectionString }).location;
    expect(location('postgresql://u:hunter2@[::1]:1,h2:2/db')).toBe('[::1]:1,h2:2/db');
    expect(location('postgresql://u:hunter2@h')).toBe('h:5432');
    expect(describeProvider({ type: 'postgres', host: 'a,b', database: 'd' }).location).toBe('a:5432,b:5432/d');
  });

  it('says what each host said', () => {
    const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
    const password = Object.assign(new Error('x'), { code: '28P01', severity: 'FATAL' });
    const meaning = (...failures: unknown[]): unknown =>
      classify(new NotConnectedError(new HostsError(failures.map((failure, i) => ({ host: `h${i}:1`, failure })))));
    expect(meaning(refused, new NotWritableError(true))).toStrictEqual({
      kind: 'refused',
      reason:
        'none of the servers took the connection: h0:1: nothing listens at the server’s address; h1:1: it is a standby, which takes no writes',
    });
    expect(meaning(refused, password)).toMatchObject({ kind: 'refused' });
    expect(meaning(password, password)).toMatchObject({ kind: 'config' });
    expect(statesOf(new HostsError([{ host: 'h', failure: password }]))).toStrictEqual(['28P01']);
  });
});

describe('TLS in a PostgreSQL connection string', () => {
  const ssl = (parameters: string): unknown => checkPostgresConfig({ connectionString: `postgresql://h/d?${parameters}` }).ssl;

  it('names of files ask for the certificate to be checked, as libpq does', () => {
    expect(ssl('sslrootcert=/x')).toBe(true);
    expect(ssl('sslrootcert=system&sslmode=require')).toBe(true);
    expect(ssl('sslcert=/x&sslkey=/y')).toBe(true);
    expect(ssl('sslnegotiation=direct')).toBe(true);
    expect(ssl('sslrootcert=/x&sslmode=require')).toMatchObject({ rejectUnauthorized: true, checkServerIdentity: expect.any(Function) });
    expect(ssl('sslrootcert=/x&sslmode=disable')).toBe(false);
    expect(ssl('sslcert=/x&sslmode=require')).toStrictEqual({ rejectUnauthorized: false });
    expect(target('postgresql://h/d?sslrootcert=/x&sslcert=/y&sslkey=/z').files).toStrictEqual({
      sslrootcert: '/x',
      sslcert: '/y',
      sslkey: '/z',
    });
  });

  it.each(['sslpassword=hunter2', 'sslcrl=/x', 'sslmode=allow', 'sslmode=prefer&sslrootcert=/x'])('refuses %s', (parameters) => {
    expect(() => ssl(parameters)).toThrow(MemoryConfigError);
    expect(() => ssl(parameters)).not.toThrow(/hunter2/);
  });
});
