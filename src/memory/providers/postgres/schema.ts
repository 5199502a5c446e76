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
  /** A role whose members are tenants: each reads what the user of its own name owns, and nothing else. */
  readonly tenants?: string | undefined;
}

/** Without a schema the tables are made in the first one of search_path, which only the session knows. */
function usageOn(names: StoreNames, role: string): string[] {
  const to = quoteName(role);
  return [
    names.schema === undefined
      ? `DO ${quoteText(`BEGIN EXECUTE format(${quoteText(`GRANT USAGE ON SCHEMA %I TO ${to.replaceAll('%', '%%')}`)}, current_schema()); END`)};`
      : `GRANT USAGE ON SCHEMA ${quoteName(names.schema)} TO ${to};`,
  ];
}

/** A role needs the schema, the tables, and in the layout `document` the sequence of `id`. */
function grants(names: StoreNames, { layout, role }: SchemaOptions): string[] {
  if (role === undefined) return [];
  const to = quoteName(role);
  const tables = layout === 'rows' ? tablesOf(names) : [tableOf(names), tableOf(names, 'settings'), tableOf(names, 'bars')];
  const sequence = tableOf({ ...names, table: `${names.table}_id_seq` });
  return [
    [
      ...usageOn(names, role),
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${tables.join(', ')} TO ${to};`,
      layout === 'rows' ? `GRANT SELECT ON ${tableOf(names, 'documents')} TO ${to};` : `GRANT USAGE ON SEQUENCE ${sequence} TO ${to};`,
    ].join('\n'),
  ];
}

/**
 * Row security for tenants who read the tables themselves. They only read: what they write goes through a provider, which
 * connects as the owner of the tables or as the role that is granted them.
 */
function policies(names: StoreNames, { layout, role, tenants }: SchemaOptions): string[] {
  if (tenants === undefined) return [];
  const to = quoteName(tenants);
  const conversations = tableOf(names);
  const own =
    layout === 'document'
      ? { [conversations]: 'user_id = current_user::text' }
      : {
          [conversations]: 'owner = current_user::text',
          // the policy of the conversations holds inside, too
          [tableOf(names, 'messages')]:
            `EXISTS (SELECT FROM ${conversations} c WHERE c.conversation_id = ${tableOf(names, 'messages')}.conversation_id AND c.epoch = ${tableOf(names, 'messages')}.epoch AND ${tableOf(names, 'messages')}.seq >= c.first_seq)`,
          [tableOf(names, 'segments')]:
            `EXISTS (SELECT FROM ${conversations} c WHERE c.conversation_id = ${tableOf(names, 'segments')}.conversation_id AND c.epoch = ${tableOf(names, 'segments')}.epoch AND ${tableOf(names, 'segments')}.next_seq > c.first_seq)`,
        };
  const statements = Object.entries(own).flatMap(([table, rows]) => [
    `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;`,
    `CREATE POLICY jaf_tenants ON ${table} FOR SELECT TO ${to} USING (${rows});`,
    ...(role === undefined ? [] : [`CREATE POLICY jaf_application ON ${table} TO ${quoteName(role)} USING (true) WITH CHECK (true);`]),
    `GRANT SELECT ON ${table} TO ${to};`,
  ]);
  // before PostgreSQL 15 a view reads past the policies
  if (layout === 'rows') {
    const grant = quoteText(`GRANT SELECT ON ${tableOf(names, 'documents')} TO ${to}`);
    statements.push(`DO ${quoteText(`BEGIN IF current_setting('server_version_num')::int >= 150000 THEN EXECUTE ${grant}; END IF; END`)};`);
  }
  return [[...usageOn(names, tenants), ...statements].join('\n')];
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
  return ['BEGIN;', ...tables, ...grants(names, options), ...policies(names, options), 'COMMIT;']
    .map((part) => part.trimEnd())
    .join('\n\n');
}
