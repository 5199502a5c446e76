-- Swaps the messages [$3, $4) of epoch $2 of conversation $1 for one segment with the text $5. They were read before, so this
-- statement sees them all.

-- name: pack
WITH locked AS MATERIALIZED (
  SELECT c.conversation_id, c.epoch FROM {conversations} c
  WHERE c.conversation_id = $1 AND c.epoch = $2::bigint AND c.packed_to = $3::bigint AND c.first_seq <= $3::bigint AND c.next_seq >= $4::bigint
    AND coalesce(c.removed_at, -1) < 0 -- see append.sql
  FOR NO KEY UPDATE
),
dropped AS (
  DELETE FROM {messages} y USING locked l WHERE y.conversation_id = l.conversation_id AND y.epoch = l.epoch AND y.seq >= $3::bigint AND y.seq < $4::bigint
  RETURNING octet_length(y.body) AS size
),
packed AS (
  INSERT INTO {segments} (conversation_id, epoch, first_seq, next_seq, data)
  SELECT l.conversation_id, l.epoch, $3::bigint, $4::bigint, $5::text FROM locked l
),
updated AS (
  UPDATE {conversations} AS c SET packed_to = $4::bigint,
    bytes = c.bytes - coalesce((SELECT sum(size) FROM dropped), 0) + octet_length($5::text)
  FROM locked l WHERE c.conversation_id = l.conversation_id
  RETURNING c.conversation_id
)
SELECT count(*)::int AS packed FROM updated
