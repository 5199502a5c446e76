/**
 * `jaf-memory schema`: the DDL of a PostgreSQL store, for a DBA to run. Connects to nothing.
 *
 * @module
 */
import { type Command, Option } from 'commander';
import { isRoleName, ROLE_FORM } from '../../memory/providers/postgres/names.js';
import { schemaText } from '../../memory/providers/postgres/schema.js';
import { EXIT, type Run, UsageError } from '../session.js';
import { namesOf, type TableOptions } from '../store-names.js';

interface Options extends TableOptions {
  readonly layout?: 'rows' | 'document';
  readonly partitions?: string;
  readonly role?: string;
  readonly tenants?: string;
}

/** 16 double the time of a call (bench/postgres-partitions.mjs), and 64 were seen to take 240 ms for a write. */
const MOST_PARTITIONS = 16;

function partitionsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (count >= 2 && count <= MOST_PARTITIONS) return count;
  throw new UsageError(`--partitions must be an integer from 2 to ${MOST_PARTITIONS}, got ${JSON.stringify(text.slice(0, 60))}.`);
}

/** Adds the command. */
export function registerSchema(program: Command, run: Run): void {
  program
    .command('schema')
    .description('print the statements that make the tables of a PostgreSQL store')
    .option('--table <name>', 'table, or schema.table (default: that of the configured store, else conversations)')
    .option('--schema <name>', 'schema (default: that of the configured store, else what search_path says)')
    .addOption(new Option('--layout <layout>', 'default: that of the configured store, else rows').choices(['rows', 'document']))
    .option('--partitions <n>', 'cut the tables into n hash partitions by conversation, e.g. 16 (layout rows)')
    .option('--role <name>', 'also grant this role what it needs to use the store')
    .option('--tenants <role>', 'row security: members of this role read what the user of their own name owns, and nothing else')
    .addHelpText(
      'after',
      '\nFor databases in which the application may not create tables. Connects to nothing:\n  jaf-memory schema --table app.conversations --role app | psql -v ON_ERROR_STOP=1 "$ADMIN_URL"',
    )
    .action(
      run(async (session, options: Options) => {
        const { out } = session;
        const config = session.config();
        const names = namesOf(options, config);
        const configured = config.type === 'postgres' && config.layout === 'document' ? 'document' : 'rows';
        const layout = options.layout ?? configured;
        const partitions = partitionsOf(options.partitions);
        if (partitions !== undefined && layout === 'document') {
          throw new UsageError('--partitions is for the layout rows: a unique conversation_id beside the key "id" cannot be partitioned.');
        }
        const { role, tenants } = options;
        for (const [option, name] of Object.entries({ role, tenants })) {
          if (name === undefined || isRoleName(name)) continue;
          throw new UsageError(`--${option} must be the name of a role, ${ROLE_FORM}, got ${JSON.stringify(name.slice(0, 60))}.`);
        }
        const sql = schemaText(names, { layout, partitions, role, tenants });
        if (out.json) out.value({ sql });
        else out.line(sql);
        return EXIT.ok;
      }),
    );
}
