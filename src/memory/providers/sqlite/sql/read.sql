-- name: beginRead
BEGIN;

-- name: conversation
SELECT * FROM conversations WHERE id = ?1;

-- name: conversationByKey
SELECT * FROM conversations WHERE key = ?1;

-- name: messages
SELECT seq, body AS text, octet_length(body) AS bytes FROM messages
WHERE conversation = ?1 AND epoch = ?2 AND seq >= ?3 AND seq < ?4 ORDER BY seq;

-- Segments follow each other without gaps: the last that begins at or before the window is the first that may overlap it.
-- name: segments
SELECT first, next, data FROM segments
WHERE conversation = ?1 AND epoch = ?2 AND first < ?4 AND next > ?3
  AND first >= coalesce((SELECT max(first) FROM segments WHERE conversation = ?1 AND epoch = ?2 AND first <= ?3), ?3)
ORDER BY first;

-- name: ping
SELECT 1 AS one;

-- name: pageCount
PRAGMA page_count;

-- name: pageSize
PRAGMA page_size;

-- name: synchronous
PRAGMA synchronous;
