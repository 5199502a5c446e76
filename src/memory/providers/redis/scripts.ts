/**
 * The scripts of lua/*.lua by name, each with the parts it includes.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { lua } from './lua.generated.js';

/** A script: its text, and the SHA-1 Redis knows it by. */
export interface Script {
  readonly name: string;
  readonly text: string;
  readonly sha: string;
}

function load(name: string): Script {
  const own = lua[name] ?? '';
  const parts = /^-- include: (.*)$/m.exec(own)?.[1]?.split(' ') ?? [];
  const text = [...parts.map((part) => lua[part] ?? ''), own.replace(/^-- include: .*\n/, '')].join('\n');
  return { name, text, sha: createHash('sha1').update(text).digest('hex') };
}

/** Every script of the driver. */
export const scripts: Readonly<
  Record<
    | 'open'
    | 'probe'
    | 'write'
    | 'read'
    | 'list'
    | 'stats'
    | 'remove'
    | 'pack'
    | 'purge'
    | 'reap'
    | 'inspect'
    | 'olderRead'
    | 'olderPeek'
    | 'olderRemove',
    Script
  >
> = {
  open: load('open'),
  probe: load('probe'),
  write: load('write'),
  read: load('read'),
  list: load('list'),
  stats: load('stats'),
  remove: load('remove'),
  pack: load('pack'),
  purge: load('purge'),
  reap: load('reap'),
  inspect: load('inspect'),
  olderRead: load('older-read'),
  olderPeek: load('older-peek'),
  olderRemove: load('older-remove'),
};
