/**
 * Names of tables and indexes: checked, quoted, and within the 63 bytes PostgreSQL keeps of a name.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { MemoryConfigError } from '../../errors.js';

/** Default of `tableName`. */
const TABLE = 'conversations';
/** Bytes of a name from the configuration: leaves room for the longest suffix (`_owner_updated`). */
const NAME_BYTES = 48;
/** Bytes PostgreSQL keeps of a name; what is longer is cut. */
const LONGEST = 63;
/** Letters, digits, `_`, `$` and `-`; begins with a letter or `_`. Case, reserved words and other scripts are no problem, because names are quoted. */
const NAME = /^[\p{L}_][\p{L}\p{N}_$-]*$/u;

/** What {@link isStoreName} accepts, for error texts. */
export const NAME_FORM: string = `made of letters, digits, "_", "$" and "-", at most ${NAME_BYTES} bytes`;

/** Whether a name may be that of a store's table or schema. */
export function isStoreName(name: string): boolean {
  return NAME.test(name) && Buffer.byteLength(name) <= NAME_BYTES;
}

/** A role's name may also be an address, as cloud providers have it. */
const ROLE = /^[\p{L}_][\p{L}\p{N}_$@.-]*$/u;

/** What {@link isRoleName} accepts, for error texts. */
export const ROLE_FORM: string = 'made of letters, digits, "_", "$", "-", "@" and ".", at most 63 bytes';

/** Whether a name may be that of a role. */
export function isRoleName(name: string): boolean {
  return ROLE.test(name) && Buffer.byteLength(name) <= LONGEST;
}

/** The tables of the layout `rows`, beside the one that is named in the configuration. */
export const SUFFIXES = ['messages', 'segments', 'operations', 'leftovers', 'bars', 'settings', 'migrations'] as const;

/** The view of the layout `rows`. */
const VIEW = 'documents';

/** Where a store is in its database. */
export interface StoreNames {
  /** Absent: whatever `search_path` says. */
  readonly schema: string | undefined;
  /** Of the table of headers. */
  readonly table: string;
}

/** A name as SQL writes it. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as SQL writes it, whatever `standard_conforming_strings` says. */
export function quoteText(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/**
 * Takes apart and checks what the configuration says.
 *
 * @param tableName - a table, or `schema.table`
 * @param schema - the schema, when `tableName` names none
 * @throws MemoryConfigError naming the field
 */
export function storeNames(tableName: string = TABLE, schema?: string): StoreNames {
  const parts = tableName.split('.');
  const check = (name: string, setting: string): string => {
    if (isStoreName(name)) return name;
    throw new MemoryConfigError(
      `createPostgresProvider "${setting}": must be ${setting === 'schema' ? 'the name of a schema' : 'the name of a table, or schema.table'}, ${NAME_FORM} each, got ${JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name)}.`,
      { provider: 'postgres', setting },
    );
  };
  if (parts.length > 2) check(tableName, 'tableName');
  const table = check(parts.at(-1) ?? '', 'tableName');
  const own = parts.length === 2 ? check(parts[0] ?? '', 'tableName') : undefined;
  return { schema: own ?? (schema === undefined ? undefined : check(schema, 'schema')), table };
}

/** The quoted name of one of our tables. */
export function tableOf({ schema, table }: StoreNames, suffix?: (typeof SUFFIXES)[number] | typeof VIEW): string {
  const name = quoteName(suffix === undefined ? table : `${table}_${suffix}`);
  return schema === undefined ? name : `${quoteName(schema)}.${name}`;
}

/**
 * The quoted name of a hash partition of one of our tables.
 *
 * @param names - of the store
 * @param kind - the table's suffix, or `conversations`
 * @param n - from 0
 * @throws MemoryConfigError for a table whose name is too long for it
 */
export function partitionOf({ schema, table }: StoreNames, kind: string, n: number): string {
  const name = `${table}${kind === 'conversations' ? '' : `_${kind}`}_p${n}`;
  if (Buffer.byteLength(name) > LONGEST) {
    throw new MemoryConfigError(
      `partitions of ${quoteName(table)}: the name ${quoteName(name)} would be longer than ${LONGEST} bytes. Use fewer partitions or a shorter name.`,
      { provider: 'postgres', setting: 'tableName' },
    );
  }
  return schema === undefined ? quoteName(name) : `${quoteName(schema)}.${quoteName(name)}`;
}

/**
 * A name that stands for a table beside it: with a suffix, cut and told apart by a hash where that would be too long.
 *
 * @param table - a name
 * @param suffix - of the new name
 * @param bytes - it has at most
 */
export function derivedName(table: string, suffix: string, bytes: number): string {
  if (Buffer.byteLength(table + suffix) <= bytes) return table + suffix;
  const hash = `_${createHash('sha256').update(table).digest('hex').slice(0, 8)}`;
  let cut = table;
  while (Buffer.byteLength(cut + hash + suffix) > bytes) cut = [...cut].slice(0, -1).join('');
  return cut + hash + suffix;
}

/** Every table of a store. */
export function tablesOf(names: StoreNames): readonly string[] {
  return [tableOf(names), ...SUFFIXES.map((suffix) => tableOf(names, suffix))];
}

/** Fills in the names of tables, `{messages}`, and of indexes, `{:updated}`. */
export function withNames(text: string, names: StoreNames): string {
  return text
    .replaceAll(/\{:([a-z_]+)\}/g, (_, suffix: string) => quoteName(`${names.table}_${suffix}`))
    .replaceAll('{conversations}', tableOf(names))
    .replaceAll(new RegExp(`\\{(${[...SUFFIXES, VIEW].join('|')})\\}`, 'g'), (_, suffix: string) =>
      tableOf(names, suffix as (typeof SUFFIXES)[number] | typeof VIEW),
    );
}
