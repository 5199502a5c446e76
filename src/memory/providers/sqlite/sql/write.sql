-- name: begin
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: dataVersion
PRAGMA data_version;

-- name: insertConversation
INSERT INTO conversations (
  trace, epoch, version, updated_at, ttl, expires_at, hold, first, next, packed_to, bytes, operations, writers_floor, writers, metadata,
  id, owner, created_at, removed_at
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19);

-- The ordinary write. It leaves the columns of the other indexes alone, so that SQLite does not touch those indexes.
-- name: advanceConversation
UPDATE conversations SET
  trace = ?1, epoch = ?2, version = ?3, updated_at = ?4, ttl = ?5, expires_at = ?6, hold = ?7, first = ?8, next = ?9, packed_to = ?10,
  bytes = ?11, operations = ?12, writers_floor = ?13, writers = ?14, metadata = ?15
WHERE key = ?16;

-- name: replaceConversation
UPDATE conversations SET
  trace = ?1, epoch = ?2, version = ?3, updated_at = ?4, ttl = ?5, expires_at = ?6, hold = ?7, first = ?8, next = ?9, packed_to = ?10,
  bytes = ?11, operations = ?12, writers_floor = ?13, writers = ?14, metadata = ?15, owner = ?17, created_at = ?18, removed_at = ?19
WHERE key = ?16;

-- name: insertMessage
INSERT INTO messages (conversation, epoch, seq, body) VALUES (?1, ?2, ?3, ?4);

-- name: operation
SELECT n, digest, version, count, created FROM operations WHERE conversation = ?1 AND hash = ?2;

-- name: noteOperation
INSERT OR REPLACE INTO operations (conversation, hash, n, digest, version, count, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: dropOperations
DELETE FROM operations WHERE conversation = ?1 AND n <= ?2;

-- name: messageBytes
SELECT coalesce(sum(octet_length(body)), 0) AS bytes FROM messages WHERE conversation = ?1 AND epoch = ?2 AND seq >= ?3 AND seq < ?4;

-- name: segmentBytes
SELECT coalesce(sum(octet_length(data)), 0) AS bytes FROM segments
WHERE conversation = ?1 AND epoch = ?2 AND first < ?4 AND next > ?3 AND next <= ?4;

-- name: insertSegment
INSERT INTO segments (conversation, epoch, first, next, data) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: packConversation
UPDATE conversations SET packed_to = ?2, bytes = ?3 WHERE key = ?1;

-- name: bar
INSERT INTO bars (hash, until) VALUES (?1, ?2) ON CONFLICT (hash) DO UPDATE SET until = max(until, excluded.until);

-- name: barred
SELECT until FROM bars WHERE hash = ?1;

-- name: setting
SELECT value FROM jaf_settings WHERE name = ?1;

-- name: setSetting
INSERT OR REPLACE INTO jaf_settings (name, value) VALUES (?1, ?2);
