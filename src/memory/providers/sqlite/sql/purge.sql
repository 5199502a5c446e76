-- Bodies are named by conversation (?1) and positions, from (?2) and to before (?3); to is never 0.

-- name: dropMessages
DELETE FROM messages WHERE id BETWEEN (?1 << 32) | ?2 AND (?1 << 32) | (?3 - 1);

-- name: dropSegments
DELETE FROM segments WHERE id BETWEEN (?1 << 32) AND (?1 << 32) | (?3 - 1) AND next > ?2 AND next <= ?3;

-- name: leave
INSERT INTO leftovers (conversation, below) VALUES (?1, ?2)
ON CONFLICT (conversation) DO UPDATE SET below = max(below, excluded.below);

-- name: leftovers
SELECT conversation AS key, below FROM leftovers LIMIT ?1;

-- name: dropLeftover
DELETE FROM leftovers WHERE conversation = ?1;

-- The position behind the oldest ?3 rows of a leftover below ?2, their messages and their bytes.
-- name: oldestMessages
SELECT count(*) AS count, max(next) AS next, coalesce(sum(size), 0) AS bytes, coalesce(sum(messages), 0) AS messages FROM (
  SELECT next, octet_length(bodies) AS size, next - (id & 4294967295) AS messages FROM messages
  WHERE id BETWEEN (?1 << 32) AND (?1 << 32) | (?2 - 1) ORDER BY id LIMIT ?3
);

-- name: oldestSegments
SELECT count(*) AS count, max(next) AS next, coalesce(sum(size), 0) AS bytes, 0 AS messages FROM (
  SELECT next, octet_length(data) AS size FROM segments
  WHERE id BETWEEN (?1 << 32) AND (?1 << 32) | (?2 - 1) AND next <= ?2 ORDER BY id LIMIT ?3
);

-- name: dropTombstones
DELETE FROM conversations WHERE key IN (
  SELECT key FROM conversations INDEXED BY conversations_removed
  WHERE removed_at IS NOT NULL AND removed_at <= ?1 AND NOT EXISTS (SELECT 1 FROM leftovers WHERE conversation = key)
  LIMIT ?2
);

-- name: newestTombstone
SELECT max(removed_at) FROM conversations INDEXED BY conversations_removed WHERE removed_at IS NOT NULL;

-- name: dropConversation
DELETE FROM conversations WHERE key = ?1;

-- name: dropBars
DELETE FROM bars WHERE until <= ?1;

-- What of a table belongs to a conversation with a key of ?1 or more: the first such key.
-- name: messagesFrom
SELECT min(id) >> 32 FROM messages WHERE id >= (?1 << 32);

-- name: segmentsFrom
SELECT min(id) >> 32 FROM segments WHERE id >= (?1 << 32);

-- name: operationsFrom
SELECT min(conversation) FROM operations WHERE conversation >= ?1;

-- name: isKnown
SELECT EXISTS (SELECT 1 FROM conversations WHERE key = ?1) OR EXISTS (SELECT 1 FROM leftovers WHERE conversation = ?1);

-- name: dropAllOperations
DELETE FROM operations WHERE conversation = ?1;
