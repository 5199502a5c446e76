-- name: dropMessages
DELETE FROM messages WHERE conversation = ?1 AND epoch = ?2 AND seq >= ?3 AND seq < ?4;

-- name: dropSegments
DELETE FROM segments WHERE conversation = ?1 AND epoch = ?2 AND first < ?4 AND next > ?3 AND next <= ?4;

-- name: leave
INSERT INTO leftovers (conversation, epoch, below) VALUES (?1, ?2, ?3)
ON CONFLICT (conversation, epoch) DO UPDATE SET below = max(below, excluded.below);

-- name: leftovers
SELECT conversation, epoch, below FROM leftovers LIMIT ?1;

-- name: dropLeftover
DELETE FROM leftovers WHERE conversation = ?1 AND epoch = ?2;

-- The sequence behind the oldest ?4 messages of a leftover, and their bytes.
-- name: oldestMessages
SELECT count(*) AS count, max(seq) + 1 AS next, coalesce(sum(size), 0) AS bytes FROM (
  SELECT seq, octet_length(body) AS size FROM messages WHERE conversation = ?1 AND epoch = ?2 AND seq < ?3 ORDER BY seq LIMIT ?4
);

-- name: oldestSegments
SELECT count(*) AS count, max(next) AS next, coalesce(sum(size), 0) AS bytes FROM (
  SELECT next, octet_length(data) AS size FROM segments WHERE conversation = ?1 AND epoch = ?2 AND first < ?3 AND next <= ?3 ORDER BY first LIMIT ?4
);

-- name: leftoversOf
SELECT conversation, epoch, below FROM leftovers WHERE conversation = ?1;

-- name: dropTombstones
DELETE FROM conversations WHERE key IN (
  SELECT key FROM conversations INDEXED BY conversations_removed
  WHERE removed_at IS NOT NULL AND removed_at <= ?1 AND NOT EXISTS (SELECT 1 FROM leftovers WHERE conversation = key)
  LIMIT ?2
);

-- name: dropConversation
DELETE FROM conversations WHERE key = ?1;

-- name: dropBars
DELETE FROM bars WHERE until <= ?1;
