/**
 * The DDL of a store as text, for a DBA to run: what opening a provider would leave, and the rights a role needs that may
 * not create anything.
 *
 * @module
 */
import { documentStatements } from './document-open.js';
import { keyStatement, schemaStatement, schemaStatements } from './migrate.js';
import { quoteName, quoteText, type StoreNames, tableOf, tablesOf } from './names.js';

/** What {@link schemaText} is asked for. */
export interface SchemaOptions {
  /** Layout of the store. */
  readonly layout: 'rows' | 'document';
  /** Into how many hash partitions the tables of the layout `rows` are cut; absent = not at all. */
  readonly partitions?: number | undefined;
  /** A role that gets the rights to use the store, and no others. */
  readonly role?: string | undefined;
}

/** A role needs the schema, the tables, and in the layout `document` the sequence of `id`. */
function grants(names: StoreNames, { layout, role }: SchemaOptions): string[] {
  if (role === undefined) return [];
  const to = quoteName(role);
  // without a schema the tables are made in the first one of search_path, which only the session knows
  const usage =
    names.schema === undefined
      ? `DO ${quoteText(`BEGIN EXECUTE format(${quoteText(`GRANT USAGE ON SCHEMA %I TO ${to.replaceAll('%', '%%')}`)}, current_schema()); END`)};`
      : `GRANT USAGE ON SCHEMA ${quoteName(names.schema)} TO ${to};`;
  const tables = layout === 'rows' ? tablesOf(names) : [tableOf(names), tableOf(names, 'settings'), tableOf(names, 'bars')];
  const sequence = tableOf({ ...names, table: `${names.table}_id_seq` });
  return [
    [
      usage,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${tables.join(', ')} TO ${to};`,
      layout === 'rows' ? `GRANT SELECT ON ${tableOf(names, 'documents')} TO ${to};` : `GRANT USAGE ON SEQUENCE ${sequence} TO ${to};`,
    ].join('\n'),
  ];
}

/**
 * The statements that make a new store, in one transaction: all of them or none.
 *
 * @param names - of the store
 * @param options - see {@link SchemaOptions}
 * @returns SQL for psql, or for one query without parameters
 * @throws MemoryConfigError when a partition's name would be too long
 */
export function schemaText(names: StoreNames, options: SchemaOptions): string {
  const { table, beside } = documentStatements(names);
  const tables =
    options.layout === 'rows'
      ? [schemaStatements(names, options.partitions)]
      : [...schemaStatement(names), table, beside, keyStatement(names)];
  return ['BEGIN;', ...tables, ...grants(names, options), 'COMMIT;'].map((part) => part.trimEnd()).join('\n\n');
}
