/**
 * The data of the memory: messages, conversations, queries, and the provider protocol.
 *
 * @module
 */
import type { Result } from './result.js';

/** Any value JSON can hold. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** What a caller keeps beside a conversation: a JSON object, returned exactly as given. */
export type Metadata = { readonly [key: string]: JsonValue };

/**
 * Accepts interfaces as metadata (no index signature needed) and rejects `Date`, `Map`, `Set`, functions, symbols and
 * `bigint` at compile time.
 */
export type JsonCompatible<T> = T extends JsonValue | undefined
  ? T
  : T extends ((...a: never[]) => unknown) | bigint | symbol | Date | Map<unknown, unknown> | Set<unknown>
    ? never
    : T extends object
      ? { readonly [K in keyof T]: JsonCompatible<T[K]> }
      : never;

/** Makes write options typed into the metadata slot (the third argument) a compile error. */
export type NotOptions = {
  readonly createIfMissing?: never;
  readonly expectedVersion?: never;
  readonly operationId?: never;
  readonly compressionThreshold?: never;
  readonly signal?: never;
};

/** Who speaks, in the chat-completions wire format. */
export type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool';

/** A function call the assistant asks for; `arguments` is the model's JSON text, verbatim. */
export interface ToolCall {
  /** What the result names in `tool_call_id`; unique within one assistant message. */
  readonly id: string;
  /** Other kinds of calls (`custom`) are stored as they come. */
  readonly type: 'function';
  /** Name of the tool, and its arguments as JSON text, which a model may get wrong. */
  readonly function: { readonly name: string; readonly arguments: string };
}

/** One part of a multi-part content. */
export type ContentPart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string; readonly detail?: 'auto' | 'low' | 'high' } }
  | { readonly type: 'file'; readonly file: { readonly file_id: string; readonly format?: string } };

/** A picture, document or file that belongs to a message; `data` is base64. */
export interface Attachment {
  /** `image` becomes an image part for the model, anything else a file part. */
  readonly kind: 'image' | 'document' | 'file';
  /** E.g. `image/png`; absent: `image/png` for an image given as `data`, else `application/octet-stream`. */
  readonly mimeType?: string;
  /** File name, shown to the model. */
  readonly name?: string;
  /** Where it is; wins over `data` for an image. A document or file that has only this is named to the model, not sent. */
  readonly url?: string;
  readonly data?: string;
  /** A note of your own: stored, not sent to a model. */
  readonly format?: string;
}

/** A message in the chat-completions wire format. Unknown keys survive storage; a camelCase slip does not compile. */
export interface Message {
  /** Who speaks. `tool` is the result of a call. */
  readonly role: Role;
  /** Text, parts, or `null` for none: a bare tool call, or a message that is all `attachments`. */
  readonly content: string | readonly ContentPart[] | null;
  /** Of the speaker; in a tool result, of the tool. */
  readonly name?: string;
  /** What the assistant asks for; absent or empty = nothing. */
  readonly tool_calls?: readonly ToolCall[];
  /** In a tool result: `id` of the call it answers. */
  readonly tool_call_id?: string;
  /** Sent as further content parts of a user message; in other messages only stored. */
  readonly attachments?: readonly Attachment[];
  /** An id of your own: stored, not sent to a model, not looked at. */
  readonly message_id?: string;
  readonly toolCalls?: never;
  readonly toolCallId?: never;
  readonly [extra: string]: unknown;
}

/** What writes accept beside {@link Message}: any chat-completions message of the `openai` package. */
export interface WireMessage {
  /** `function` (legacy) is stored too, but `toChatMessages` refuses it. */
  readonly role: Role | 'function';
  /** As in {@link Message}; parts of any type. May be absent in an assistant message only. */
  readonly content?: string | readonly { readonly type: string }[] | null | undefined;
  /** As in {@link Message}. */
  readonly name?: string | undefined;
  /** As in {@link Message}; calls of any type. */
  readonly tool_calls?: readonly { readonly id: string; readonly type: string }[] | undefined;
  /** As in {@link Message}. */
  readonly tool_call_id?: string | undefined;
  readonly toolCalls?: never;
  readonly toolCallId?: never;
}

/** A message as writes accept it. */
export type MessageInput = Message | WireMessage;

/** One part of a user's content as chat completions know it. */
export type ChatPart =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: { url: string; detail?: 'auto' | 'low' | 'high' } }
  | { type: 'file'; file: { file_id?: string; file_data?: string; filename?: string } };

/** A message with only the fields chat completions know; assignable to the parameters of the `openai` package. */
export type ChatMessage =
  | { role: 'system' | 'developer'; content: string }
  | { role: 'user'; content: string | ChatPart[] }
  | {
      role: 'assistant';
      content?: string | null;
      tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[];
    }
  | { role: 'tool'; content: string; tool_call_id: string };

/** A conversation as read: deeply frozen. */
export interface ConversationMemory {
  /** 1 to 255 characters. */
  readonly conversationId: string;
  /** The owner; absent when no write has named one. */
  readonly userId?: string;
  /** All messages, or a window of the newest ones where `messageLimit` was given. */
  readonly messages: readonly Message[];
  /** Messages in the whole conversation, also when {@link messages} is a window. */
  readonly messageCount: number;
  /** `{}` when none was stored. */
  readonly metadata: Metadata;
  /** Time of the write that began it; an import keeps the original one. */
  readonly createdAt: Date;
  /** Time of the last write. */
  readonly updatedAt: Date;
  /** When it becomes invisible; absent without a TTL and under legal hold. */
  readonly expiresAt?: Date;
  /** Grows on every write; pass it as `expectedVersion` to write only if nobody else did. */
  readonly version: number;
}

/** A conversation together with the sequence number of its first message: what an exact restore needs. */
export interface ConversationSnapshot extends ConversationMemory {
  /** From 1; greater when older messages were trimmed or replaced. Without messages: what the next one will get. */
  readonly firstSeq: number;
  /** As the last write that named one says, which may not be the one in the metadata. Absent: that of the metadata, if any. */
  readonly traceId?: string;
}

/** Options of `restoreConversation`. */
export interface RestoreOptions {
  /** Of a conversation that exists: leave it, replace it, or answer a `MemoryConflictError`. */
  onConflict: 'skip' | 'replace' | 'fail';
  /** Replace only this version; 0 = must not exist. */
  expectedVersion?: number | undefined;
}

/** Which conversations to find. Every field narrows; an absent field does not. */
export interface MemoryQuery {
  /** Only this one: at most one result. */
  conversationId?: string | undefined;
  /** Conversations this user owns; absent = of everybody, and those without an owner. */
  userId?: string | undefined;
  /** Conversations whose last named trace is this one. */
  traceId?: string | undefined;
  /** Last written at or after this time. */
  since?: Date | undefined;
  /** Last written at or before this time. */
  until?: Date | undefined;
  /** Every key given must be stored with an equal value; objects match when they contain what is given. */
  metadata?: Metadata | undefined;
  /** At most this many conversations; absent = all, 0 = none. */
  limit?: number | undefined;
  /** Skip this many matches first. */
  offset?: number | undefined;
  /** By time of the last write (`iterateConversations`: by creation). Default `newest` (`iterateConversations`: `oldest`). */
  order?: 'newest' | 'oldest' | undefined;
  /** At most this many of the newest messages of each conversation; 0 = none. */
  messageLimit?: number | undefined;
  /** Aborting it ends the call with a `MemoryAbortError`. */
  signal?: AbortSignal | undefined;
}

/** A range of a conversation's messages with their sequence numbers. */
export interface MessagePage {
  /** In order. `seq` counts from 1, stays with its message, and is not given again while the conversation lives. */
  readonly items: readonly { readonly seq: number; readonly message: Message }[];
  /** Sequence of the first message still kept. */
  readonly firstSeq: number;
  /** Sequence the next message will get. */
  readonly nextSeq: number;
  /** Whether the range holds more messages than `limit` let through. */
  readonly hasMore: boolean;
}

/** What a successful write answers. */
export interface WriteReceipt {
  /** The conversation that was written. */
  conversationId: string;
  /** Messages in the conversation after the write. */
  messageCount: number;
  /** After the write; pass it as `expectedVersion` of the next one. */
  version: number;
  /** The write began a new conversation. */
  created: boolean;
  /** The write had been made before (same `operationId`), or was skipped by `onConflict: 'skip'`; nothing changed. */
  duplicate: boolean;
}

/** Options of every write. */
export interface WriteOptions {
  /** Owner of the conversation; final once set. */
  userId?: string | undefined;
  /** Kept to find the conversation by; absent leaves the one of an earlier write. */
  traceId?: string | undefined;
  /** Seconds the conversation lives after this write; `null` clears the TTL; absent renews with the stored duration. */
  ttl?: number | null | undefined;
  /** Keep only this many of the newest messages (a smaller limit of the provider wins). */
  maxMessages?: number | undefined;
  /** Keep what is older than this many newest messages compressed. */
  compressionThreshold?: number | undefined;
  /** Write only if the conversation has this version; 0 = must not exist. */
  expectedVersion?: number | undefined;
  /** A name for this write, 1 to 255 characters: sent again, it changes nothing and answers the first receipt. */
  operationId?: string | undefined;
  /** Aborting it answers a `Failure` (`aborted`), `outcome: 'unknown'` when the write was under way already. */
  signal?: AbortSignal | undefined;
}

/** Options of an append. */
export interface AppendOptions extends WriteOptions {
  /** Begin the conversation if there is none; default false: answers {@link MemoryNotFoundError}. */
  createIfMissing?: boolean | undefined;
}

/** Options of a read. */
export interface ReadOptions {
  /** At most this many of the newest messages; absent = all, 0 = none. */
  messageLimit?: number | undefined;
  /** Aborting it ends the call with a `MemoryAbortError`. */
  signal?: AbortSignal | undefined;
}

/** Totals over the conversations that are visible now. */
export interface MemoryStats {
  /** Those that have expired do not count, even before they are removed. */
  totalConversations: number;
  /** Messages that are kept: without those that were trimmed or replaced. */
  totalMessages: number;
  /** 0 when there is no conversation. */
  avgMessagesPerConversation: number;
  /** Bytes (UTF-8) of stored message bodies, segments and metadata. */
  totalStorageSize: number;
  /** Creation time of the oldest conversation. */
  oldestConversation?: Date;
  /** Creation time of the newest conversation. */
  newestConversation?: Date;
}

/** Totals of one user: `userConversations` and `userMessages` repeat `totalConversations` and `totalMessages`. */
export interface UserMemoryStats extends MemoryStats {
  userConversations: number;
  userMessages: number;
}

/** What a health check answers. */
export type HealthStatus = ({ healthy: true; message: string } | { healthy: false; error: string }) & {
  provider: string;
  latencyMs: number;
  /** Plain numbers; the document's three first, then counts and latencies (ms) per operation. */
  metrics: { activeConnections?: number; memoryUsage?: number; avgResponseTime?: number; [k: string]: number | undefined };
};

/** The document's six methods: enough for `run()` with a provider of your own. */
export interface MemoryProviderCore {
  /**
   * Begins the conversation, or replaces its messages. Errors are answered as a `Failure`. A run calls it only where
   * `appendMessages` answered `not_found`.
   */
  storeMessages(
    conversationId: string,
    messages: readonly Message[],
    metadata?: Metadata,
    options?: WriteOptions,
  ): Promise<Result<unknown>>;
  /** `undefined` when there is none. With `messageLimit` at most so many of the newest messages. */
  getConversation(conversationId: string, options?: ReadOptions): Promise<ConversationMemory | undefined>;
  /**
   * Adds at the end. A run repeats a write under the same `operationId`, passes the `version` of the last receipt as
   * `expectedVersion`, and reads `version`, `messageCount` and `duplicate` of a receipt where they are given.
   */
  appendMessages(
    conversationId: string,
    messages: readonly Message[],
    metadata?: Metadata,
    options?: AppendOptions,
  ): Promise<Result<unknown>>;
  /** The newest messages, oldest first; `[]` when there is no conversation. */
  getRecentMessages(conversationId: string, limit?: number): Promise<readonly Message[]>;
  /** Whether there was one to delete. */
  deleteConversation(conversationId: string): Promise<boolean>;
  /** Whether the store can be used now; answers `healthy: false` instead of throwing. */
  healthCheck(): Promise<{ readonly healthy: boolean }>;
}

/**
 * The provider protocol, the same on every backend. `storeMessages`, `appendMessages` and `restoreConversation` return
 * every error as a `Failure`; all other methods throw a {@link MemoryError}.
 */
export interface MemoryProvider extends MemoryProviderCore, AsyncDisposable {
  /**
   * Writes the whole conversation: creates it, or replaces its messages (and its metadata, when given). `createdAt` and
   * the owner of an existing conversation are kept.
   *
   * @returns a receipt, or a `Failure`: validation, owner, legal_hold, version, operation_reused, connection, storage,
   * aborted. Nothing is written on a failure with `outcome: 'not_applied'`.
   */
  storeMessages<M extends object = Metadata>(
    conversationId: string,
    messages: readonly MessageInput[],
    metadata?: JsonCompatible<M> & NotOptions,
    options?: WriteOptions,
  ): Promise<Result<WriteReceipt>>;
  /**
   * Adds messages at the end, atomically and contiguously, and merges metadata per top-level key. With no messages it
   * only merges metadata.
   *
   * @returns a receipt, or a `Failure`: as {@link storeMessages}, and `not_found` unless `createIfMissing`.
   */
  appendMessages<M extends object = Metadata>(
    conversationId: string,
    messages: readonly MessageInput[],
    metadata?: JsonCompatible<M> & NotOptions,
    options?: AppendOptions,
  ): Promise<Result<WriteReceipt>>;
  /** Writes a snapshot exactly: times, owner, expiry and sequence numbers. Used by every import. */
  restoreConversation(snapshot: ConversationSnapshot, options: RestoreOptions): Promise<Result<WriteReceipt>>;
  /** The conversation, whole and raw, or with `messageLimit` the newest messages without orphan tool results in front. */
  getConversation(conversationId: string, options?: ReadOptions): Promise<ConversationMemory | undefined>;
  /** The newest messages (default 50), never beginning with an orphan tool result; `[]` when there is no conversation. */
  getRecentMessages(conversationId: string, limit?: number, options?: { signal?: AbortSignal | undefined }): Promise<readonly Message[]>;
  /**
   * A raw range by sequence. Both bounds are exclusive; `limit` defaults to 50. With `after` (or neither bound) it walks
   * forward, with `before` alone it takes the newest before it; items are always in order.
   */
  getMessages(
    conversationId: string,
    range: { after?: number | undefined; before?: number | undefined; limit?: number | undefined; signal?: AbortSignal | undefined },
  ): Promise<MessagePage>;
  /** All matches at once; for many conversations use {@link iterateConversations}. */
  findConversations(query?: MemoryQuery): Promise<readonly ConversationMemory[]>;
  /** Walks by creation time in bounded memory; what exists throughout is seen exactly once, also in a live store. */
  iterateConversations(query?: MemoryQuery): AsyncIterable<ConversationMemory>;
  /** @returns whether there was one to delete. Throws `MemoryConflictError` on another `expectedVersion`. */
  deleteConversation(
    conversationId: string,
    options?: { expectedVersion?: number | undefined; signal?: AbortSignal | undefined },
  ): Promise<boolean>;
  /** Deletes the conversations a user has at the time of the call (not those under legal hold) and counts them. */
  clearUserConversations(userId: string): Promise<number>;
  /** Totals over all conversations, or one user's (a `forUser` handle: its own). Reads every header, so not for every request. */
  getStats(): Promise<MemoryStats>;
  getStats(userId: string): Promise<UserMemoryStats>;
  /** Removes what has expired and what deletes and trims left behind; returns how many expired conversations went. */
  purgeExpired(options?: { signal?: AbortSignal | undefined }): Promise<number>;
  /** Never throws, never writes. */
  healthCheck(): Promise<HealthStatus>;
  /** The same store limited to one user; see the isolation rules in docs/concepts.md. */
  forUser(userId: string): MemoryProvider;
  /** Waits for writes under way, then lets go of the store. Idempotent; a client that was passed in stays open. */
  close(): Promise<void>;
}

/**
 * Something worth telling an operator. `type`: `evicted`, `trimmed`, `expired`, `retried`, `packed`, `swept`, `pack_failed` …;
 * `provider`: name of the backend, e.g. `sqlite`. The other fields depend on the type: ids and counts, never content.
 */
export interface MemoryEvent {
  readonly type: string;
  readonly provider: string;
  readonly [k: string]: unknown;
}

/** Options of every provider. */
export interface ProviderOptions {
  /** Called with what an operator may want to know; an exception in it is reported with `process.emitWarning`. */
  onEvent?: (event: MemoryEvent) => void;
  /** The current time in milliseconds since 1970; default `Date.now`. */
  clock?: () => number;
  /** Milliseconds a call may take, queueing and retries included; default 5000. */
  deadline?: number;
  /** Seconds a conversation lives after its last write, unless the write says otherwise; default: for ever. */
  ttl?: number;
  /** Keep only this many of the newest messages of each conversation; default: all. */
  maxMessages?: number;
  /** Keep what is older than this many newest messages compressed; default: nothing is compressed. */
  compressionThreshold?: number;
  /** Writes that may wait or be under way at once; one more answers `overloaded`. Default 10000. */
  maxInFlight?: number;
}

/** Configuration of the in-memory provider. */
export interface InMemoryConfig extends ProviderOptions {
  /** Conversations kept; beyond it the least recently written one leaves. Default 1000. */
  maxConversations?: number;
}

/** Configuration of the SQLite provider. */
export interface SqliteConfig extends ProviderOptions {
  /** The file, or `:memory:`. Default `./jaf-memory.db`. */
  path?: string;
  /** `normal` (default): an acknowledged write survives a crash of the process; `full`: also of the power. */
  durability?: 'normal' | 'full';
  /** Background removal of what has expired; `every` in seconds, default 60. */
  sweep?: false | { every: number };
}

/** Configuration of the Redis provider. */
export interface RedisConfig extends ProviderOptions {
  /** `redis://user:password@host:port/db`, or `rediss://` for TLS. What it names wins over the fields below. */
  url?: string;
  /** Default `localhost`. */
  host?: string;
  /** Default 6379. */
  port?: number;
  /** Absent: Redis's default user. */
  username?: string;
  /** Absent: none is sent. */
  password?: string;
  /** Number of the database, default 0; a cluster has no other. */
  db?: number;
  /** `true`, or options of Node's `tls.connect`; default: no TLS, unless the URL begins with `rediss:`. */
  tls?: boolean | object;
  /** Default `jaf:memory:`. */
  keyPrefix?: string;
  /** Sentinels that know the primary. The URL then gives only credentials, database and TLS. Not with `clusterNodes`. */
  sentinels?: { host: string; port: number }[];
  /** What the sentinels call the primary, e.g. `mymaster`; required with `sentinels`, an error without. */
  sentinelServiceName?: string;
  /** Nodes of a Redis Cluster. The URL then gives only credentials and TLS. Not with `sentinels`. */
  clusterNodes?: { host: string; port: number }[];
  /** Acknowledge only what this many replicas have; `timeout` in milliseconds. */
  waitReplicas?: { count: number; timeout: number };
}

/**
 * Configuration of the PostgreSQL provider. What neither the connection string nor a field names is taken from variables the `pg`
 * package knows (`PGDATABASE`, `PGUSER`, `PGPASSWORD`, `PGSSLMODE`; not `PGHOST` and `PGPORT`).
 * The settings of connection and pool have no effect on a client that is passed in.
 */
export interface PostgresConfig extends ProviderOptions {
  /**
   * `postgresql://user:password@host:port/database?sslmode=verify-full`. What it names wins over the fields below. Several
   * servers: `postgresql://user@db1:5432,db2:5433/database`; the one that takes writes is found (`target_session_attrs`).
   */
  connectionString?: string;
  /** A host name or address, or the folder of a Unix socket; several as `db1,db2`. Default `localhost`. */
  host?: string;
  /** Default 5432. */
  port?: number;
  /** Must be encoded in UTF-8. Default: the name of the user. */
  database?: string;
  /** Default: the user of the operating system. */
  username?: string;
  /** Absent: none is sent. */
  password?: string;
  /**
   * `true` checks certificate and host name, `false` is clear text, an object holds TLS options such as `{ ca }`; default: no
   * TLS. With `sslmode` in the connection string the stricter one holds; a contradiction is an error. Files named there
   * (`sslrootcert`, `sslcert`, `sslkey`) are read when the store is opened.
   */
  ssl?: boolean | object;
  /** Default `conversations`. */
  tableName?: string;
  /** Created when it is not there; default: what `search_path` says. Must agree with a `tableName` such as `schema.table`. */
  schema?: string;
  /** Connections at most, unless `poolMaxSize` is given; default 10. */
  maxConnections?: number;
  /** Connections opened at once and kept while idle; default 0. At most the largest size. */
  poolMinSize?: number;
  /** Connections at most; wins over `maxConnections`, which is its default. */
  poolMaxSize?: number;
  /** A connection is replaced after so many uses; default 50000. */
  poolMaxQueries?: number;
  /** Seconds after which an idle connection is closed; default 300. */
  poolMaxInactiveConnectionLifetime?: number;
  /** `rows` is one row per message; `auto` (default) is the same in this version, which refuses `document`. */
  layout?: 'auto' | 'rows' | 'document';
  /** Default true; turn off behind PgBouncer in transaction mode. */
  preparedStatements?: boolean;
  /** Background removal of what has expired; `every` in seconds. */
  sweep?: false | { every: number };
}

/** Configuration of any provider, told apart by `type`. */
export type MemoryProviderConfig =
  | ({ type: 'memory' } & InMemoryConfig)
  | ({ type: 'sqlite' } & SqliteConfig)
  | ({ type: 'redis' } & RedisConfig)
  | ({ type: 'postgres' } & PostgresConfig);

/** What is used of a node-redis client, cluster or sentinel. `isOpen`: connected, or about to be. `sendCommand`: one command. */
export interface NodeRedisLike {
  readonly isOpen: boolean;
  sendCommand(...args: never[]): Promise<unknown>;
}

/** What is used of an ioredis client or cluster. `status`: `ready`, `connecting`, `end` …; `call` sends a command by name. */
export interface IoRedisLike {
  readonly status: string;
  call(...args: never[]): unknown;
}

/** What is used of a `Pool`, `Client` or `PoolClient` of the `pg` package: `query` with a config object. */
export interface PgLike {
  query(config: { name?: string; text: string; values?: unknown[] }): Promise<{ rows: unknown[]; rowCount: number | null }>;
}

/** How the engine uses a provider. */
export interface MemoryConfig {
  /** Where conversations are kept. It stays open when the run ends. */
  provider: MemoryProviderCore;
  /** Store what a run adds; default true. With false a run loads and never writes. */
  autoStore?: boolean;
  /** Retention: the store keeps only this many of the newest messages. */
  maxMessages?: number;
  /** How many of the newest messages a run loads; default `maxMessages`, else 200. Deletes nothing. */
  contextMessages?: number;
  /** Seconds the conversation lives after its last write. */
  ttl?: number;
  /** Keep what is older than this many newest messages compressed; default: the provider's own setting. */
  compressionThreshold?: number;
  /** What a storage failure does to the run; default `fail`. */
  onStoreError?: 'fail' | 'continue';
}

/** One thing found wrong, or put right, in a list of messages. */
export interface Issue {
  /** Position in the list; -1 when it concerns the conversation. */
  readonly index: number;
  /** Stable, machine-readable: see {@link verifyMessages} and {@link verifyConversation} for the kinds. */
  readonly kind: string;
  /** For people: what was found, after a repair also what was done. Never message content. */
  readonly detail: string;
}
