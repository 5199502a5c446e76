/** Where the servers' programs are that tests start, and what to install when they are not. */
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const POSTGRES = '/usr/lib/postgresql';

/** Folders of PostgreSQL's programs, the newest version first. */
function postgresFolders(): readonly string[] {
  const own = process.env['JAF_TEST_POSTGRES_BIN'];
  if (own) return [own];
  const versions = existsSync(POSTGRES) ? readdirSync(POSTGRES).sort((a, b) => Number(b) - Number(a)) : [];
  // other systems have them on the PATH
  return [...versions.map((version) => join(POSTGRES, version, 'bin')), ...pathFolders()];
}

function pathFolders(): readonly string[] {
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
}

/** The folder with `initdb`; undefined when there is none. */
function findPostgres(): string | undefined {
  return postgresFolders().find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

/** A program on the PATH, or where Debian has servers; undefined when there is none. */
function findProgram(name: string): string | undefined {
  return pathFolders()
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

/** Debian packages of the programs that tests start and that are not there. */
export function missingServers(): readonly string[] {
  return [
    ...(findPostgres() ? [] : ['postgresql']),
    ...(findProgram('pgbouncer') ? [] : ['pgbouncer']),
    ...(process.env['JAF_TEST_REDIS_SERVER'] || findProgram('redis-server') ? [] : ['redis-server']),
    ...(findProgram('openssl') ? [] : ['openssl']),
  ];
}

/**
 * Where a program is.
 *
 * @throws Error that says what to install
 */
export function needPostgres(): string {
  const folder = findPostgres();
  if (folder) return folder;
  throw new Error(
    'These tests start PostgreSQL servers of their own, and there is no initdb. Install a server (Debian: apt-get install postgresql), name the folder of its programs in JAF_TEST_POSTGRES_BIN, or set JAF_TEST_POSTGRES_URL to a server where this URL may create schemas (tests that stop a server need the programs).',
  );
}

/**
 * Where a program is.
 *
 * @param name - of the program
 * @param debian - the package it is in
 * @throws Error that says what to install
 */
export function needProgram(name: string, debian: string = name): string {
  const file = findProgram(name);
  if (file) return file;
  throw new Error(`These tests start ${name}, and it is not on the PATH. Install it (Debian: apt-get install ${debian}).`);
}
