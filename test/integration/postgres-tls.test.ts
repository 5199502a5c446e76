// TLS against a real server: what is accepted, what is refused, and what the errors say to set.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createPostgresProvider, MemoryConfigError, type PostgresConfig } from 'jaf/memory';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PostgresServer, serverUser, startPostgres } from '../support/postgres.js';
import { type Authority, type Certificate, handOver, makeAuthority } from '../support/tls.js';

let server: PostgresServer;
let authority: Authority;
let stranger: Authority;
let certificates: { readonly good: Certificate; readonly expired: Certificate };
let client: Certificate;
let admin: pg.Pool;

beforeAll(async () => {
  authority = makeAuthority();
  stranger = makeAuthority();
  const names = 'DNS:localhost';
  certificates = {
    good: authority.issue('server', names),
    expired: authority.issue('server', names, ['20200101000000Z', '20200201000000Z']),
  };
  client = authority.issue('tls_user');
  for (const { keyFile } of Object.values(certificates)) handOver(keyFile, serverUser());
  const { certFile, keyFile } = certificates.good;
  server = await startPostgres(
    { ssl: 'on', ssl_cert_file: `'${certFile}'`, ssl_key_file: `'${keyFile}'`, ssl_ca_file: `'${authority.caFile}'` },
    { hba: ['hostssl all tls_user all cert', 'host all all 127.0.0.1/32 trust', 'host all all ::1/128 trust'] },
  );
  admin = new pg.Pool({ connectionString: server.url });
  admin.on('error', () => undefined);
  await admin.query('CREATE ROLE tls_user LOGIN SUPERUSER');
});
afterAll(async () => {
  await admin?.end();
  await server?.destroy();
  authority?.destroy();
  stranger?.destroy();
});

const url = (parameters = '', host = 'localhost', name = 'jaf'): string =>
  `postgresql://${name}@${host}:${server.port}/postgres?application_name=tls_test${parameters && `&${parameters}`}`;

/** Opens, and answers how the server sees the connection. */
async function see(config: PostgresConfig): Promise<{ ssl: boolean; client_dn: string | null }> {
  await using _ = await createPostgresProvider({ schema: 'tls', sweep: false, ...config });
  const look = async (): Promise<{ ssl: boolean; client_dn: string | null }[]> =>
    (
      await admin.query<{ ssl: boolean; client_dn: string | null }>(
        "SELECT ssl, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tls_test'",
      )
    ).rows;
  // the server may not have noticed yet that the connection before has ended
  await expect.poll(look).toHaveLength(1);
  return (await look())[0] as { ssl: boolean; client_dn: string | null };
}
const tls = (client_dn: string | null = null): unknown => ({ ssl: true, client_dn });

async function refusal(config: PostgresConfig): Promise<string> {
  const error: unknown = await createPostgresProvider({ schema: 'tls', sweep: false, ...config }).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(MemoryConfigError);
  return (error as Error).message;
}

describe('PostgreSQL over TLS', () => {
  it('is encrypted when and only when it is asked for', async () => {
    expect(await see({ connectionString: url('sslmode=disable') })).toEqual({ ssl: false, client_dn: null });
    expect(await see({ connectionString: url() })).toEqual({ ssl: false, client_dn: null });
    expect(await see({ connectionString: url(), ssl: { ca: authority.ca } })).toEqual(tls());
    expect(await see({ connectionString: url(), ssl: { rejectUnauthorized: false } })).toEqual(tls());
    expect(await see({ connectionString: url('sslmode=require') })).toEqual(tls());
    expect(await see({ connectionString: url('sslmode=no-verify') })).toEqual(tls());
    const parts = { host: 'localhost', port: server.port, username: 'jaf', database: 'postgres' };
    await (await createPostgresProvider({ ...parts, ssl: { ca: authority.ca }, schema: 'tls', sweep: false })).close();
  });

  it('sslrootcert in a URL is the authority', async () => {
    const file = `sslrootcert=${encodeURIComponent(authority.caFile)}`;
    for (const mode of ['', '&sslmode=verify-full', '&sslmode=verify-ca', '&sslmode=require'])
      expect([mode, await see({ connectionString: url(file + mode) })]).toEqual([mode, tls()]);
    // libpq: require with an authority checks the certificate and takes any name
    for (const mode of ['verify-ca', 'require'])
      expect(await see({ connectionString: url(`${file}&sslmode=${mode}`, '127.0.0.1') })).toEqual(tls());
    const other = `sslrootcert=${encodeURIComponent(stranger.caFile)}`;
    for (const mode of ['verify-full', 'verify-ca', 'require'])
      expect(await refusal({ connectionString: url(`${other}&sslmode=${mode}`) })).toContain('authority');
    expect(await refusal({ connectionString: url('sslrootcert=/no/such/file') })).toMatch(/file that sslrootcert names .*ENOENT.*ca/);
  });

  it('an unknown authority is refused, and the error says how to name one', async () => {
    for (const config of [
      { connectionString: url(), ssl: true },
      { connectionString: url('sslmode=verify-full') },
      { connectionString: url('sslmode=verify-ca') },
      { connectionString: url(), ssl: { ca: stranger.ca } },
    ]) {
      expect(await refusal(config)).toMatch(/authority of the server’s certificate is unknown; pass it as ssl: \{ ca \}/);
    }
  });

  it('a certificate for another host name is refused, unless any name will do', async () => {
    const message = await refusal({ connectionString: url('', '127.0.0.1'), ssl: { ca: authority.ca } });
    expect(message).toContain('another host name');
    expect(message).toContain('verify-ca');
    expect(await see({ connectionString: url('sslmode=require', '127.0.0.1') })).toEqual(tls());
  });

  it('client certificates: as options and as files; without one the error says what is missing', async () => {
    const dn = '/CN=tls_user';
    const as = (parameters = ''): string => url(parameters, 'localhost', 'tls_user');
    const ssl = { ca: authority.ca, cert: client.cert, key: client.key };
    expect(await see({ connectionString: as(), ssl })).toEqual(tls(dn));
    // pg hides the key of an object it has seen
    expect(await see({ connectionString: as(), ssl })).toEqual(tls(dn));
    expect(Object.keys(ssl)).toEqual(['ca', 'cert', 'key']);
    const files = Object.entries({ sslrootcert: authority.caFile, sslcert: client.certFile, sslkey: client.keyFile });
    expect(await see({ connectionString: as(files.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&')) })).toEqual(tls(dn));
    expect(await refusal({ connectionString: as(), ssl: { ca: authority.ca } })).toContain('certificate (ssl: { cert, key })');
    const unknown = stranger.issue('tls_user');
    expect(await refusal({ connectionString: as(), ssl: { ca: authority.ca, cert: unknown.cert, key: unknown.key } })).toMatch(
      /ssl: \{ cert, key \}/,
    );
    const damaged = await refusal({ connectionString: as(), ssl: { ...ssl, key: 'hunter2' } });
    expect(damaged).toMatch(/the TLS connection failed.*"ssl" \(ca, cert, key\)/);
    expect(damaged).not.toContain('hunter2');
  });

  it('of several hosts each is checked by its own name', async () => {
    const list = url('', `localhost:${server.port},127.0.0.1`);
    expect(await see({ connectionString: list, ssl: { ca: authority.ca } })).toEqual(tls());
    const wrong = await refusal({ connectionString: url('', `127.0.0.1:${server.port},127.0.0.1`), ssl: { ca: authority.ca } });
    expect(wrong).toContain('another host name');
  });

  it('a URL with sslmode=require prints no warning', async () => {
    const program = `
      import { createPostgresProvider } from 'jaf/memory';
      const provider = await createPostgresProvider({ connectionString: process.env.URL, schema: 'tls', sweep: false });
      const { healthy } = await provider.healthCheck();
      await provider.close();
      console.log(healthy);`;
    const run = (connectionString: string, code = program): Promise<{ out: string; err: string }> => {
      const child = spawn(process.execPath, ['--trace-warnings', '--input-type=module', '-e', code], {
        cwd: fileURLToPath(new URL('../..', import.meta.url)),
        env: { ...process.env, NODE_OPTIONS: '', NODE_NO_WARNINGS: '', URL: connectionString },
      });
      const seen = { out: '', err: '' };
      child.stdout.on('data', (data: Buffer) => (seen.out += data.toString()));
      child.stderr.on('data', (data: Buffer) => (seen.err += data.toString()));
      return new Promise((resolve) => child.on('close', () => resolve(seen)));
    };
    for (const mode of ['sslmode=require', `sslmode=verify-ca&sslrootcert=${encodeURIComponent(authority.caFile)}`])
      expect(await run(url(mode))).toEqual({ out: 'true\n', err: '' });
    // the child would tell: the client alone does warn
    const plain = "import pg from 'pg'; new pg.Client({ connectionString: process.env.URL }); console.log('made')";
    expect((await run(url('sslmode=require'), plain)).err).toContain('SECURITY WARNING');
  });

  it('an expired certificate is refused, and said to be', async () => {
    await admin.query(`ALTER SYSTEM SET ssl_cert_file = '${certificates.expired.certFile}'`);
    await admin.query(`ALTER SYSTEM SET ssl_key_file = '${certificates.expired.keyFile}'`);
    await admin.query('SELECT pg_reload_conf()');
    const config = { connectionString: url(), ssl: { ca: authority.ca }, schema: 'tls', sweep: false as const };
    const open = async (): Promise<string> => {
      try {
        await (await createPostgresProvider(config)).close();
        return 'opened';
      } catch (error) {
        expect(error).toBeInstanceOf(MemoryConfigError);
        return (error as Error).message;
      }
    };
    await expect.poll(open, { timeout: 10_000 }).toContain('certificate has expired');
    expect(await see({ connectionString: url('sslmode=require') })).toEqual(tls());
  });

  it('a server that has no TLS is an error, never clear text', async () => {
    await admin.query("ALTER SYSTEM SET ssl = 'off'");
    await admin.query('SELECT pg_reload_conf()');
    await expect.poll(async () => (await admin.query('SHOW ssl')).rows[0].ssl).toBe('off');
    for (const config of [
      { connectionString: url(), ssl: true },
      { connectionString: url(), ssl: { ca: authority.ca } },
      { connectionString: url('sslmode=require') },
      { connectionString: url('sslmode=verify-full') },
      { connectionString: url('', `localhost:${server.port},127.0.0.1`), ssl: true },
    ]) {
      expect(await refusal(config)).toContain('the server has no TLS');
    }
    // these would go on in clear text where libpq is
    for (const mode of ['prefer', 'allow']) expect(await refusal({ connectionString: url(`sslmode=${mode}`) })).toContain('clear text');
  });
});
