/** Certificates for tests, made by openssl: an authority, and what it signs. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needProgram } from './programs.js';

/** A certificate and its key, as files and as texts. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** An authority that signs certificates. */
export interface Authority {
  readonly folder: string;
  readonly caFile: string;
  readonly ca: string;
  /**
   * @param name - of the subject: the user, for a certificate of a client
   * @param alternatives - such as `DNS:localhost,IP:127.0.0.1`
   * @param when - first and last moment as openssl writes them (`20200101000000Z`); default: now and for two days
   */
  issue(name: string, alternatives?: string, when?: readonly [string, string]): Certificate;
  destroy(): void;
}

function openssl(folder: string, ...args: string[]): void {
  execFileSync(needProgram('openssl'), args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Makes an authority in a temp folder. */
export function makeAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'jaf-tls-'));
  chmodSync(folder, 0o755);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(folder, 'req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=jaf test authority');
  writeFileSync(join(folder, 'index.txt'), '');
  writeFileSync(
    join(folder, 'ca.conf'),
    '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nrand_serial=yes\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n',
  );
  let issued = 0;
  return {
    folder,
    caFile: join(folder, 'ca.crt'),
    ca: readFileSync(join(folder, 'ca.crt'), 'utf8'),
    issue(name, alternatives, when) {
      const file = `${++issued}`;
      const names = alternatives === undefined ? [] : ['-addext', `subjectAltName=${alternatives}`];
      openssl(folder, 'req', '-new', ...key, '-keyout', `${file}.key`, '-out', `${file}.csr`, '-subj', `/CN=${name}`, ...names);
      const dates = when ? ['-startdate', when[0], '-enddate', when[1]] : ['-days', '2'];
      const by = ['-config', 'ca.conf', '-cert', 'ca.crt', '-keyfile', 'ca.key', '-batch', '-notext'];
      openssl(folder, 'ca', ...by, ...dates, '-in', `${file}.csr`, '-out', `${file}.crt`);
      const [certFile, keyFile] = [join(folder, `${file}.crt`), join(folder, `${file}.key`)];
      return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
    },
    destroy: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Gives a key to the user a server runs as: servers refuse keys that others may read. */
export function handOver(file: string, as: { readonly uid: number; readonly gid: number } | undefined): void {
  if (as) chownSync(file, as.uid, as.gid);
  chmodSync(file, 0o600);
}
