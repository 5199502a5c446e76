-- name: beginRead
BEGIN;

-- {header}: see statements.ts.
-- name: header
SELECT {header} FROM conversations WHERE id = ?1 AND removed_at IS NULL;

-- name: conversation
SELECT {header}, operations, removed_at, writers_floor, writers FROM conversations WHERE id = ?1;

-- name: conversationByKey
SELECT {header}, operations, removed_at, writers_floor, writers FROM conversations WHERE key = ?1;

-- Bodies of a conversation (?1) from one position (?2) to before another (?3, never 0).
-- As with segments: the last row that begins at or before the window may reach into it.
-- name: messages
SELECT id & 4294967295, next, bodies FROM messages
WHERE id BETWEEN coalesce((SELECT max(id) FROM messages WHERE id BETWEEN (?1 << 32) AND (?1 << 32) | ?2), (?1 << 32) | ?2)
  AND (?1 << 32) | (?3 - 1) AND next > ?2
ORDER BY id;

-- Segments follow each other without gaps: the last that begins at or before the window is the first that may overlap it.
-- name: segments
SELECT id & 4294967295 AS first, next, data FROM segments
WHERE id BETWEEN coalesce((SELECT max(id) FROM segments WHERE id BETWEEN (?1 << 32) AND (?1 << 32) | ?2), (?1 << 32) | ?2)
  AND (?1 << 32) | (?3 - 1) AND next > ?2
ORDER BY id;

-- name: ping
SELECT 1 AS one;

-- name: pageCount
PRAGMA page_count;

-- name: pageSize
PRAGMA page_size;

-- name: synchronous
PRAGMA synchronous;
