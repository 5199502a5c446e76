/**
 * The PostgreSQL driver: opens a store, finds its layout, and hands the operations to it.
 *
 * @module
 */
import { DEADLINE } from '../../core.js';
import type {
  Classified,
  DriverCapabilities,
  DriverHealth,
  Inspect,
  Inspection,
  List,
  Pack,
  PackOutcome,
  Page,
  Purge,
  PurgeOutcome,
  Read,
  Remove,
  RemoveOutcome,
  StatsPage,
  StatsQuery,
  StorageDriver,
  Stored,
  StoreInfo,
  StoreTarget,
  Trip,
  Write,
  WriteOutcome,
} from '../../driver.js';
import { MemoryConfigError, MemoryError } from '../../errors.js';
import type { PgLike, PostgresConfig } from '../../types.js';
import { BorrowedConnection, type Connections, isPool, PooledConnections } from './client.js';
import { DocumentLayout } from './document.js';
import { openDocuments } from './document-open.js';
import { classify } from './failures.js';
import { targetOf } from './hosts.js';
import type { Layout } from './layout.js';
import { checkSchema, isInTransaction, migrate, SCHEMA_VERSION } from './migrate.js';
import { type StoreNames, storeNames, tableOf, tablesOf } from './names.js';
import { textOf } from './records.js';
import { ownPool } from './pool.js';
import { RowsLayout } from './rows.js';
import { Statements } from './statements.js';

/** Milliseconds opening may take when the schema has to be made, or another process makes it. */
const MIGRATE_MS = 60_000;

/**
 * Makes a PostgreSQL driver. Nothing is connected yet.
 *
 * @param config - checked
 * @param client - a `Pool` (shared with the caller), or a `Client` or `PoolClient` (lent by the caller)
 * @throws MemoryConfigError naming the setting
 */
export function createPostgresDriver(config: PostgresConfig, client?: PgLike): StorageDriver {
  return new PostgresDriver(config, client);
}

/** Milliseconds a call may take. */
function deadlineOf(config: PostgresConfig): number {
  return config.deadline ?? DEADLINE;
}

/**
 * Connections as the configuration, or the caller's client, says. Nothing is connected yet.
 *
 * @param config - checked
 * @param client - of the caller
 * @throws MemoryConfigError (`missing_peer`)
 */
export async function connect(config: PostgresConfig, client?: PgLike): Promise<Connections> {
  const prepared = config.preparedStatements ?? true;
  if (client) return isPool(client) ? new PooledConnections(client, prepared) : new BorrowedConnection(client, prepared);
  return await ownPool(config, deadlineOf(config), prepared);
}

/** Where a configuration leads; of several servers none is named. The conventions write a schema behind the database. */
function placeOf(config: PostgresConfig): StoreTarget {
  const { hosts, database } = targetOf(config);
  const [only, ...others] = hosts;
  return {
    ...(database === undefined ? {} : { namespace: config.schema === undefined ? database : `${database}|${config.schema}` }),
    ...(only && others.length === 0 ? { address: only.host, port: only.port } : {}),
  };
}

class PostgresDriver implements StorageDriver {
  readonly name = 'postgres';
  readonly contract = 1;
  readonly capabilities: DriverCapabilities;
  readonly target: StoreTarget;
  readonly #config: PostgresConfig;
  readonly #client: PgLike | undefined;
  readonly #names: StoreNames;
  readonly #deadline: number;
  #open: { readonly connections: Connections; readonly layout: Layout; readonly info: StoreInfo } | undefined;
  #opening: Promise<StoreInfo> | undefined;

  constructor(config: PostgresConfig, client: PgLike | undefined) {
    this.#config = config;
    this.#client = client;
    this.#names = storeNames(config.tableName, config.schema);
    this.#deadline = deadlineOf(config);
    this.target = { ...(client ? {} : placeOf(config)), collection: this.#names.table };
    this.capabilities = {
      durability: 'power',
      shared: true,
      segments: 'text',
      batchCreations: false,
      ...(client && !isPool(client) ? { borrowed: true } : {}),
    };
  }

  // -------------------------------------------------------------------------------------------------- open and close

  open(): Promise<StoreInfo> {
    this.#opening ??= this.#openNow().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #openNow(): Promise<StoreInfo> {
    const connections = await connect(this.#config, this.#client);
    try {
      await connections.warmUp({ timeout: this.#deadline });
      const { layout } = this.#config;
      const { shape, ...info } = await connections.session(
        async (query) => {
          const mayCreate = !connections.borrowed || !(await isInTransaction(query));
          const found = await openDocuments(query, this.#names, layout, mayCreate);
          if (!found) await (mayCreate ? migrate : checkSchema)(query, this.#names);
          const [row] = await query(`SELECT value FROM ${tableOf(this.#names, 'settings')} WHERE name = 'key'`);
          if (typeof row?.['value'] === 'string') return { key: row['value'], shape: found };
          throw new MemoryConfigError(
            `createPostgresProvider "tableName": the store has lost its key (table ${tableOf(this.#names, 'settings')}). Restore a backup of that table.`,
            { provider: 'postgres', setting: 'tableName' },
          );
        },
        { timeout: Math.max(this.#deadline, MIGRATE_MS) },
      );
      if (shape) connections.expectWalks();
      this.#open = {
        connections,
        layout: shape ? new DocumentLayout(connections, this.#names, shape) : new RowsLayout(connections, this.#names),
        info,
      };
      return info;
    } catch (error) {
      await connections.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined); // whoever opened has that error
    const open = this.#open;
    this.#open = undefined;
    this.#opening = undefined;
    await open?.connections.close();
  }

  get #layout(): Layout {
    if (!this.#open) throw new Error('the driver is not open');
    return this.#open.layout;
  }

  classify(error: unknown): Classified {
    return error instanceof MemoryError ? { kind: 'config', reason: error.message } : classify(error);
  }

  async ping(trip: Trip): Promise<DriverHealth> {
    if (!this.#open) throw new Error('the driver is not open');
    const { connections, layout } = this.#open;
    const [row] = await connections.run(new Statements(this.#names).get('ping'), [tablesOf(this.#names)], trip);
    const warnings = [
      ...(row?.['fsync'] === 'off' ? ['fsync is off: a crash of the server’s machine may destroy the database; turn it on'] : []),
      ...(row?.['commit'] === 'off' ? ['synchronous_commit is off: a crash of the server loses acknowledged writes; turn it on'] : []),
      ...(row?.['standby'] === true ? ['the server is a read-only standby: writes will fail; connect to the primary'] : []),
    ];
    return {
      message: `PostgreSQL ${textOf(row?.['version'])}, table ${tableOf(this.#names)}`,
      metrics: { ...connections.metrics(), memoryUsage: Number(row?.['size']) },
      serverTime: Number(row?.['now']),
      schema: layout instanceof RowsLayout ? `layout rows, schema ${SCHEMA_VERSION}, the newest this version knows` : 'layout document',
      ...(warnings.length > 0 ? { warnings } : {}),
    };
  }

  // ------------------------------------------------------------------------------------------------------- operations

  async write(batch: readonly Write[], trip: Trip): Promise<readonly WriteOutcome[]> {
    return this.#layout.write(batch, trip);
  }

  async pack(pack: Pack, trip: Trip): Promise<PackOutcome> {
    return this.#layout.pack(pack, trip);
  }

  async read(read: Read, trip: Trip): Promise<Stored | undefined> {
    return this.#layout.read(read, trip);
  }

  async list(list: List, trip: Trip): Promise<Page> {
    return this.#layout.list(list, trip);
  }

  async stats(query: StatsQuery, trip: Trip): Promise<StatsPage> {
    return this.#layout.stats(query, trip);
  }

  async remove(remove: Remove, trip: Trip): Promise<RemoveOutcome> {
    return this.#layout.remove(remove, trip);
  }

  async purge(purge: Purge, trip: Trip): Promise<PurgeOutcome> {
    return this.#layout.purge(purge, trip);
  }

  /** A row of the layout `document` holds everything of its conversation. */
  async inspect(inspect: Inspect, trip: Trip): Promise<Inspection> {
    return (await this.#layout.inspect?.(inspect, trip)) ?? { looked: 0, orphans: 0 };
  }

  async bar(ownerHash: string, until: number, trip: Trip): Promise<void> {
    return this.#layout.bar(ownerHash, until, trip);
  }
}
