-- The write that is by far the most frequent, without the machinery of write.sql (of its time, two thirds go into starting
-- and ending a plan of some 60 nodes): an append without retry, operation id, expected version, metadata, hold or ttl, to a
-- conversation that is visible and loses nothing to maxMessages, or (variant creates) has no row. Everything is decided
-- from the locked row, which a condition of an UPDATE always sees. No row answered = nothing was done, and write.sql
-- finds out why. "removed_at IS NULL" must not stand beside an id: in a small or new table the planner would walk a whole
-- partial index (removed_at IS NULL) rather than look the id up, and a prepared statement keeps that plan while the table grows.
--
-- $1 conversation, $2 now, $3 writer, $4 counter, $5 scoped, $6 owner, $7 trace, $8 default ttl, $9 messages to keep,
-- $10 bodies, $11 their number, $12 their bytes, $13 owner hash (variant barred).

-- name: append
WITH stored AS (
-- if creates
  INSERT INTO {conversations} AS c (conversation_id, owner, trace, epoch, version, created_at, updated_at, ttl, expires_at, first_seq, next_seq,
    packed_to, bytes, metadata_bytes, operations, hold, writers_floor, writers, marks, metadata)
  SELECT $1, $6, $7, greatest(1, $2::bigint), greatest(1, $2::bigint), $2, $2, $8, CASE WHEN $8::bigint > 0 THEN $2 + $8 END, 1, 1 + $11::bigint,
    1, 2 + $12::bigint, 2, 0, false, 0, ARRAY[$3::text], ARRAY[$4::bigint, $2, greatest(1, $2), 2 * $11::bigint + 1], '{}'
-- if barred
  WHERE NOT EXISTS (SELECT FROM {bars} z WHERE z.hash = $13 AND z.until > $2)
-- end
  ON CONFLICT (conversation_id) DO UPDATE SET
-- else
  UPDATE {conversations} AS c SET
-- end
    owner = coalesce(c.owner, $6), trace = coalesce($7, c.trace), version = greatest(c.version + 1, $2::bigint), updated_at = greatest(c.updated_at, $2),
    ttl = coalesce(c.ttl, $8), expires_at = CASE WHEN NOT c.hold AND coalesce(c.ttl, $8::bigint) > 0 THEN $2 + coalesce(c.ttl, $8) END,
    next_seq = c.next_seq + $11::bigint, bytes = c.bytes + $12::bigint,
    writers_floor = CASE WHEN cardinality(c.writers) >= 16 AND array_position(c.writers, $3) IS NULL THEN greatest(c.writers_floor, c.marks[2]) ELSE c.writers_floor END,
    writers = CASE
      WHEN c.writers[cardinality(c.writers)] = $3 THEN c.writers
      WHEN array_position(c.writers, $3) IS NOT NULL THEN array_remove(c.writers, $3) || $3::text
      WHEN cardinality(c.writers) >= 16 THEN c.writers[2:] || $3::text
      ELSE c.writers || $3::text
    END,
    marks = CASE
      WHEN c.writers[cardinality(c.writers)] = $3 THEN c.marks[:4 * cardinality(c.writers) - 4]
      WHEN array_position(c.writers, $3) IS NOT NULL THEN c.marks[:4 * array_position(c.writers, $3) - 4] || c.marks[4 * array_position(c.writers, $3) + 1:]
      WHEN cardinality(c.writers) >= 16 THEN c.marks[5:]
      ELSE c.marks
    END || ARRAY[$4::bigint, $2, greatest(c.version + 1, $2), 2 * (c.next_seq + $11 - c.first_seq)]
  WHERE coalesce(c.removed_at, -1) < 0 AND (c.expires_at IS NULL OR c.expires_at > $2)
    AND CASE WHEN $5::boolean THEN c.owner IS NOT DISTINCT FROM $6 ELSE (c.owner = $6) IS NOT FALSE END
    AND ($9::bigint IS NULL OR c.hold OR c.next_seq + $11 - c.first_seq <= $9)
    AND (array_position(c.writers, $3) IS NULL OR c.marks[4 * array_position(c.writers, $3) - 3] < $4)
-- if !creates
    AND c.conversation_id = $1
-- if barred
    AND NOT EXISTS (SELECT FROM {bars} z WHERE z.hash = $13 AND z.until > $2)
-- end
-- end
  RETURNING c.conversation_id, c.epoch, c.version, c.first_seq, c.next_seq, c.packed_to, c.marks[cardinality(c.marks)] % 2 = 1 AS created
),
written AS (
  INSERT INTO {messages} (conversation_id, epoch, seq, body)
  SELECT s.conversation_id, s.epoch, s.next_seq - $11 + b.at - 1, b.body FROM stored s, unnest($10::text[]) WITH ORDINALITY AS b(body, at)
)
SELECT s.version, s.next_seq - s.first_seq AS messages, s.created, s.epoch, s.first_seq AS first, s.next_seq AS next,
  s.packed_to AS packed
FROM stored s
