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
  trace, epoch, version, updated_at, ttl, expires_at, hold, first, next, packed_to, bytes, base, operations, writers_floor, writers, metadata,
  id, owner, created_at, removed_at
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20);

-- The four updates set fewer and fewer columns, so that SQLite binds less and leaves alone the indexes of the others.
-- name: replaceConversation
UPDATE conversations SET
  trace = ?1, epoch = ?2, version = ?3, updated_at = ?4, ttl = ?5, expires_at = ?6, hold = ?7, first = ?8, next = ?9, packed_to = ?10,
  bytes = ?11, base = ?12, operations = ?13, writers_floor = ?14, writers = ?15, metadata = ?16, owner = ?18, created_at = ?19, removed_at = ?20
WHERE key = ?17;

-- name: advanceConversation
UPDATE conversations SET
  trace = ?1, epoch = ?2, version = ?3, updated_at = ?4, ttl = ?5, expires_at = ?6, hold = ?7, first = ?8, next = ?9, packed_to = ?10,
  bytes = ?11, base = ?12, operations = ?13, writers_floor = ?14, writers = ?15, metadata = ?16
WHERE key = ?17;

-- name: extendConversation
UPDATE conversations SET version = ?2, next = ?3, bytes = ?4, writers = ?5, updated_at = ?6 WHERE key = ?1;

-- Within one millisecond, as the steps of a run and the turns of a load come.
-- name: extendConversationAgain
UPDATE conversations SET version = ?2, next = ?3, bytes = ?4, writers = ?5 WHERE key = ?1;

-- name: insertMessages
INSERT INTO messages (id, next, bodies) VALUES ((?1 << 32) | ?2, ?3, ?4);

-- The row that reaches over a position (?2, not 0).
-- name: straddling
SELECT id & 4294967295, next, bodies FROM messages
WHERE id = (SELECT max(id) FROM messages WHERE id BETWEEN (?1 << 32) AND (?1 << 32) | (?2 - 1)) AND next > ?2;

-- name: shortenMessages
UPDATE messages SET next = ?3, bodies = ?4 WHERE id = (?1 << 32) | ?2;

-- name: operation
SELECT n, digest, version, count, created FROM operations WHERE conversation = ?1 AND hash = ?2;

-- name: noteOperation
INSERT OR REPLACE INTO operations (conversation, hash, n, digest, version, count, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: dropOperations
DELETE FROM operations WHERE conversation = ?1 AND n <= ?2;

-- name: messageBytes
-- Between two bodies of a row is one line break.
SELECT coalesce(sum(octet_length(bodies) + 1 - (next - (id & 4294967295))), 0) AS bytes
FROM messages WHERE id BETWEEN (?1 << 32) | ?2 AND (?1 << 32) | (?3 - 1);

-- name: segmentBytes
SELECT coalesce(sum(octet_length(data)), 0) AS bytes FROM segments
WHERE id BETWEEN (?1 << 32) AND (?1 << 32) | (?3 - 1) AND next > ?2 AND next <= ?3;

-- name: insertSegment
INSERT INTO segments (id, next, data) VALUES ((?1 << 32) | ?2, ?3, ?4);

-- name: packConversation
UPDATE conversations SET packed_to = ?2, bytes = ?3 WHERE key = ?1;

-- name: bar
INSERT INTO bars (hash, until) VALUES (?1, ?2) ON CONFLICT (hash) DO UPDATE
  SET until = CASE excluded.until WHEN 0 THEN 0 ELSE max(until, excluded.until) END;

-- name: barred
SELECT until FROM bars WHERE hash = ?1;

-- name: setting
SELECT value FROM jaf_settings WHERE name = ?1;

-- name: setSetting
INSERT OR REPLACE INTO jaf_settings (name, value) VALUES (?1, ?2);
