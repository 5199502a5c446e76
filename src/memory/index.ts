/**
 * `jaf/memory`: conversation memory for LLM agents. Start with {@link createInMemoryProvider},
 * {@link createSqliteProvider} or {@link createMemoryProviderFromEnv}.
 *
 * @module
 */
export { applyRetention, type PolicyReport, type RetentionOptions, type RetentionPolicy, type RetentionReport } from './policies.js';
export { type CleanupOptions, type CleanupReport, cleanupConversations } from './retention.js';
export {
  type AuditLogOptions,
  type AuditVerification,
  type AuditVerifyOptions,
  createAuditLog,
  verifyAuditLog,
} from './audit.js';
export { type ConversationExport, exportConversations, exportLines, type ExportOptions } from './backup.js';
export { copyConversations, type CopyOptions, type CopyReport } from './backup-copy.js';
export { importConversations, type ImportOptions, type ImportReport } from './backup-import.js';
export { type CacheOptions, withCache } from './cache.js';
export { type ConversationFields, createConversation, createConversationId } from './conversation.js';
export type {
  Body,
  Classified,
  Cursor,
  DriverCapabilities,
  DriverHealth,
  Extent,
  Header,
  Inspect,
  Inspection,
  List,
  Pack,
  PackOutcome,
  Page,
  Purge,
  PurgeOutcome,
  Read,
  Receipt,
  Remove,
  RemoveOutcome,
  Segment,
  StatsPage,
  StatsQuery,
  StorageDriver,
  Stored,
  StoreInfo,
  StoreTarget,
  Trip,
  Window,
  Write,
  WriteOutcome,
  WriterMark,
} from './driver.js';
export { OPERATIONS_KEPT, TOMBSTONE_MS, WRITERS_KEPT } from './driver.js';
export { type AuditLog, type EraseOptions, type ErasureHook, type ErasureReceipt, eraseUser } from './erase.js';
export {
  MemoryAbortError,
  MemoryAccessError,
  MemoryConfigError,
  MemoryConflictError,
  MemoryConnectionError,
  MemoryError,
  type MemoryErrorFields,
  MemoryNotFoundError,
  MemoryStorageError,
  MemoryValidationError,
} from './errors.js';
export {
  type ConnectionTest,
  createMemoryProvider,
  createMemoryProviderFromEnv,
  createPostgresProvider,
  createRedisProvider,
  type Env,
  getMemoryProviderInfo,
  type MemoryProviderInfo,
  testMemoryProviderConnection,
} from './factory.js';
export { type FallbackOptions, withFallback } from './fallback.js';
export { type ConversationHandle, openConversation } from './handle.js';
export { type Verification, verifyMessages } from './integrity.js';
export {
  type ConversationState,
  type Decision,
  type Lookup,
  type RemoveDecision,
  type WriterEntry,
  buryState,
  compareCursors,
  compareIds,
  decideRemove,
  decideWrite,
  isVisible,
  mergeMetadata,
  resolveWindow,
} from './local.js';
export { assistant, textOf, toChatMessages, toolResult, user } from './message.js';
export { createProvider } from './provider.js';
export { createInMemoryProvider } from './providers/in-memory/index.js';
export { createSqliteProvider } from './providers/sqlite/index.js';
export { repairMessages, undoRepairs } from './repair.js';
export { Failure, type Result, Success, unwrap } from './result.js';
export type { MemoryOperation } from './telemetry.js';
export type {
  AppendOptions,
  Attachment,
  ChatMessage,
  ChatPart,
  ContentPart,
  ConversationMemory,
  ConversationSnapshot,
  HealthStatus,
  InMemoryConfig,
  IoRedisLike,
  Issue,
  JsonCompatible,
  JsonValue,
  MemoryConfig,
  MemoryEvent,
  MemoryProvider,
  MemoryProviderConfig,
  MemoryProviderCore,
  MemoryQuery,
  MemoryStats,
  Message,
  MessageInput,
  MessagePage,
  Metadata,
  NodeRedisLike,
  NotOptions,
  PgLike,
  PostgresConfig,
  ProviderOptions,
  ReadOptions,
  RedisConfig,
  RestoreOptions,
  Role,
  SqliteConfig,
  ToolCall,
  UserMemoryStats,
  WireMessage,
  WriteOptions,
  WriteReceipt,
} from './types.js';
export { verifyConversation } from './verify.js';
