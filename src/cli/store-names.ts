/**
 * The names of a PostgreSQL store: `--table` and `--schema`, else those of the configured store.
 *
 * @module
 */
import { isStoreName, NAME_FORM, type StoreNames, storeNames } from '../memory/providers/postgres/names.js';
import type { MemoryProviderConfig } from '../memory/types.js';
import { UsageError } from './session.js';

/** The options that name a table. */
export interface TableOptions {
  readonly table?: string;
  readonly schema?: string;
}

function check(option: string, what: string, name: string): void {
  if (isStoreName(name)) return;
  throw new UsageError(`--${option} must be ${what}, ${NAME_FORM}, got ${JSON.stringify(name.slice(0, 60))}.`);
}

/**
 * The names the options mean.
 *
 * @param options - as typed
 * @param config - of the configured store; counts when it is PostgreSQL
 * @throws UsageError naming the option
 */
export function namesOf(options: TableOptions, config: MemoryProviderConfig): StoreNames {
  const { table, schema } = options;
  const parts = table?.split('.') ?? [];
  if (parts.length > 2) check('table', 'the name of a table, or schema.table, each', table ?? '');
  for (const part of parts) check('table', 'the name of a table, or schema.table, each', part);
  if (schema !== undefined) check('schema', 'the name of a schema', schema);
  if (parts.length === 2 && schema !== undefined && parts[0] !== schema) {
    throw new UsageError(`--table ${JSON.stringify(table)} names another schema than --schema ${JSON.stringify(schema)}.`);
  }
  const configured: { readonly tableName?: string; readonly schema?: string } = config.type === 'postgres' ? config : {};
  const name = table ?? configured.tableName;
  if (schema === undefined) return storeNames(name, configured.schema);
  // a schema that was typed wins over that of a configured schema.table
  return storeNames(name?.split('.').at(-1), schema);
}
