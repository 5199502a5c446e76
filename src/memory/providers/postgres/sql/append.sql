-- The writes that are by far the most frequent, without the machinery of write.sql (of its time, two thirds go into starting
-- and ending a plan of some 60 nodes): an append without retry, operation id, expected version, metadata, hold or ttl, to a
-- conversation that is visible and loses nothing to maxMessages, or (append, variant creates) has no row. Everything is
-- decided from the locked row, which a condition of an UPDATE always sees. No row answered = nothing was done, and write.sql
-- finds out why. "removed_at IS NULL" must not stand beside an id: in a small or new table the planner would walk a whole
-- partial index (removed_at IS NULL) rather than look the id up, and a prepared statement keeps that plan while the table grows.
--
-- The answer is one text: version, messages, created, epoch, first, next, packed. {=bodies} is a list of (at from 0, body):
-- parameters one by one, or one text that is cut at line breaks; an array costs 20 µs more than VALUES for two messages.

-- name: ring
-- The writers and their marks after a write of {=writer} at {=now}, which leaves {=count} messages more.
writers_floor = CASE WHEN cardinality(c.writers) >= 16 AND array_position(c.writers, {=writer}) IS NULL THEN greatest(c.writers_floor, c.marks[2]) ELSE c.writers_floor END,
    writers = CASE
      WHEN c.writers[cardinality(c.writers)] = {=writer} THEN c.writers
      WHEN array_position(c.writers, {=writer}) IS NOT NULL THEN array_remove(c.writers, {=writer}) || {=writer}::text
      WHEN cardinality(c.writers) >= 16 THEN c.writers[2:] || {=writer}::text
      ELSE c.writers || {=writer}::text
    END,
    marks = CASE
      WHEN c.writers[cardinality(c.writers)] = {=writer} THEN c.marks[:4 * cardinality(c.writers) - 4]
      WHEN array_position(c.writers, {=writer}) IS NOT NULL THEN c.marks[:4 * array_position(c.writers, {=writer}) - 4] || c.marks[4 * array_position(c.writers, {=writer}) + 1:]
      WHEN cardinality(c.writers) >= 16 THEN c.marks[5:]
      ELSE c.marks
    END || ARRAY[{=counter}::bigint, {=now}, greatest(c.version + 1, {=now}), 2 * (c.next_seq + {=count} - c.first_seq)]

-- name: answer
concat_ws(' ', s.version, s.next_seq - s.first_seq, s.created, s.epoch, s.first_seq, s.next_seq, s.packed_to) AS answer

-- name: append
-- $1 conversation, $2 now, $3 writer, $4 counter, $5 number of messages, $6 their bytes, $7 owner, $8 trace, $9 default ttl,
-- $10 messages to keep, $11 scoped, $12 owner hash (variant barred), then bodies
WITH stored AS (
-- if creates
  INSERT INTO {conversations} AS c (conversation_id, owner, trace, epoch, version, created_at, updated_at, ttl, expires_at, first_seq, next_seq,
    packed_to, bytes, metadata_bytes, operations, hold, writers_floor, writers, marks, metadata)
  SELECT $1, $7, $8, greatest(1, $2::bigint), greatest(1, $2::bigint), $2, $2, $9, CASE WHEN $9::bigint > 0 THEN $2 + $9 END, 1, 1 + $5::bigint,
    1, 2 + $6::bigint, 2, 0, false, 0, ARRAY[$3::text], ARRAY[$4::bigint, $2, greatest(1, $2), 2 * $5::bigint + 1], '{}'
-- if barred
  WHERE NOT EXISTS (SELECT FROM {bars} z WHERE z.hash = $12 AND z.until > $2)
-- end
  ON CONFLICT (conversation_id) DO UPDATE SET
-- else
  UPDATE {conversations} AS c SET
-- end
    owner = coalesce(c.owner, $7), trace = coalesce($8, c.trace), version = greatest(c.version + 1, $2::bigint), updated_at = greatest(c.updated_at, $2),
    ttl = coalesce(c.ttl, $9), expires_at = CASE WHEN NOT c.hold AND coalesce(c.ttl, $9::bigint) > 0 THEN $2 + coalesce(c.ttl, $9) END,
    next_seq = c.next_seq + $5::bigint, bytes = c.bytes + $6::bigint, {=ring}
  WHERE coalesce(c.removed_at, -1) < 0 AND (c.expires_at IS NULL OR c.expires_at > $2)
    AND CASE WHEN $11::boolean THEN c.owner IS NOT DISTINCT FROM $7 ELSE (c.owner = $7) IS NOT FALSE END
    AND ($10::bigint IS NULL OR c.hold OR c.next_seq + $5 - c.first_seq <= $10)
    AND (array_position(c.writers, $3) IS NULL OR c.marks[4 * array_position(c.writers, $3) - 3] < $4)
-- if !creates
    AND c.conversation_id = $1
-- if barred
    AND NOT EXISTS (SELECT FROM {bars} z WHERE z.hash = $12 AND z.until > $2)
-- end
-- end
  RETURNING c.conversation_id, c.epoch, c.version, c.first_seq, c.next_seq, c.packed_to, (c.marks[cardinality(c.marks)] % 2)::int AS created
),
written AS (
  INSERT INTO {messages} (conversation_id, epoch, seq, body)
  SELECT s.conversation_id, s.epoch, s.next_seq - $5 + b.at, b.body FROM stored s CROSS JOIN {=bodies} AS b(at, body)
)
SELECT {=answer} FROM stored s

-- name: follow
-- An append to a conversation whose last write was of the same writer: most of what "append" has to say is settled then.
-- $1 to $6 as there, in variant named $7 owner, $8 trace, $9 default ttl, $10 messages to keep, in variant barred $11 owner
-- hash, then bodies.
WITH stored AS (
  UPDATE {conversations} AS c SET
-- if named
    trace = coalesce($8, c.trace), ttl = coalesce(c.ttl, $9), expires_at = CASE WHEN NOT c.hold AND coalesce(c.ttl, $9::bigint) > 0 THEN $2 + coalesce(c.ttl, $9) END,
-- else
    expires_at = CASE WHEN NOT c.hold AND c.ttl > 0 THEN $2::bigint + c.ttl END,
-- end
    version = greatest(c.version + 1, $2::bigint), updated_at = greatest(c.updated_at, $2), next_seq = c.next_seq + $5::bigint, bytes = c.bytes + $6::bigint,
    marks = c.marks[:cardinality(c.marks) - 4] || ARRAY[$4::bigint, $2, greatest(c.version + 1, $2), 2 * (c.next_seq + $5 - c.first_seq)]
  WHERE c.conversation_id = $1 AND c.writers[cardinality(c.writers)] = $3 AND c.marks[cardinality(c.marks) - 3] < $4::bigint
    AND coalesce(c.removed_at, -1) < 0 AND (c.expires_at IS NULL OR c.expires_at > $2)
-- if named
    AND ($7::text IS NULL OR c.owner = $7) AND ($10::bigint IS NULL OR c.hold OR c.next_seq + $5 - c.first_seq <= $10)
-- end
-- if barred
    AND NOT EXISTS (SELECT FROM {bars} z WHERE z.hash = $11 AND z.until > $2)
-- end
  RETURNING c.conversation_id, c.epoch, c.version, c.first_seq, c.next_seq, c.packed_to, 0 AS created
),
written AS (
  INSERT INTO {messages} (conversation_id, epoch, seq, body)
  SELECT s.conversation_id, s.epoch, s.next_seq - $5 + b.at, b.body FROM stored s CROSS JOIN {=bodies} AS b(at, body)
)
SELECT {=answer} FROM stored s

-- name: appends
-- Appends of one writer to several conversations: what "append" takes, without creations. Never waits for a lock; a row for
-- each that was done. $1 writer, then arrays with an element for each: $2 conversation, $3 now, $4 counter, $5 number of
-- messages, $6 their bytes, $7 (one text, cut at U+001E and then at line breaks) bodies, in variant named $8 owner, $9 trace,
-- $10 default ttl, $11 messages to keep, $12 scoped, $13 owner hash.
WITH locked AS MATERIALIZED (
  SELECT i.* FROM
-- if named
    unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], string_to_array($7, E'\x1e'), $8::text[], $9::text[], $10::bigint[],
      $11::bigint[], $12::boolean[], $13::text[]) WITH ORDINALITY AS i(id, now, counter, count, size, bodies, owner, trace, ttl, keep, scoped, hash, n)
-- else
    unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], string_to_array($7, E'\x1e'))
      WITH ORDINALITY AS i(id, now, counter, count, size, bodies, n)
-- end
  CROSS JOIN LATERAL (
    SELECT FROM {conversations} c
    WHERE c.conversation_id = i.id AND coalesce(c.removed_at, -1) < 0 AND (c.expires_at IS NULL OR c.expires_at > i.now)
      AND (array_position(c.writers, $1) IS NULL OR c.marks[4 * array_position(c.writers, $1) - 3] < i.counter)
-- if named
      AND CASE WHEN i.scoped THEN c.owner IS NOT DISTINCT FROM i.owner ELSE (c.owner = i.owner) IS NOT FALSE END
      AND (i.keep IS NULL OR c.hold OR c.next_seq + i.count - c.first_seq <= i.keep)
      AND NOT EXISTS (SELECT FROM {bars} z WHERE z.hash = i.hash AND z.until > i.now)
-- end
    FOR NO KEY UPDATE OF c SKIP LOCKED
  ) l
),
stored AS (
  UPDATE {conversations} AS c SET
-- if named
    owner = coalesce(c.owner, l.owner), trace = coalesce(l.trace, c.trace), ttl = coalesce(c.ttl, l.ttl),
    expires_at = CASE WHEN NOT c.hold AND coalesce(c.ttl, l.ttl) > 0 THEN l.now + coalesce(c.ttl, l.ttl) END,
-- else
    expires_at = CASE WHEN NOT c.hold AND c.ttl > 0 THEN l.now + c.ttl END,
-- end
    version = greatest(c.version + 1, l.now), updated_at = greatest(c.updated_at, l.now), next_seq = c.next_seq + l.count,
    bytes = c.bytes + l.size, {=ring}
  FROM locked l WHERE c.conversation_id = l.id
  RETURNING l.n, l.bodies, l.count, c.conversation_id, c.epoch, c.version, c.first_seq, c.next_seq, c.packed_to, 0 AS created
),
written AS (
  INSERT INTO {messages} (conversation_id, epoch, seq, body)
  SELECT s.conversation_id, s.epoch, s.next_seq - s.count + b.at - 1, b.body
  FROM stored s CROSS JOIN LATERAL unnest(string_to_array(s.bodies, E'\n')) WITH ORDINALITY AS b(body, at)
)
SELECT s.n, {=answer} FROM stored s
