-- Batches of removals: $1 now, $2 rows at most. The limits also stand in the text, {=limit}: a plan that does not know them
-- would expect a tenth of the table and walk it.

-- name: bury
-- Ends the conversations of `picked` (rows of the table, locked, with `counted`); what they leave is for a reap.
buried AS (
  UPDATE {conversations} AS c SET owner = NULL, trace = NULL, ttl = NULL, expires_at = NULL, removed_at = $1::bigint, first_seq = p.next_seq,
    packed_to = p.next_seq, bytes = 0, metadata_bytes = 2, operations = 0, hold = false, metadata = '{}',
    marks = ARRAY(SELECT CASE (u.k - 1) % 4 WHEN 2 THEN -1 WHEN 3 THEN 0 ELSE u.mark END FROM unnest(p.marks) WITH ORDINALITY AS u(mark, k) ORDER BY u.k)
  FROM picked p WHERE c.conversation_id = p.conversation_id
),
left_over AS (
  INSERT INTO {leftovers} AS y (conversation_id, epoch, below)
  SELECT p.conversation_id, p.epoch, 9223372036854775807 FROM picked p
  ON CONFLICT (conversation_id, epoch) DO UPDATE SET below = excluded.below
)

-- name: totals
count(*) FILTER (WHERE p.counted) AS removed, coalesce(sum(p.next_seq - p.first_seq) FILTER (WHERE p.counted), 0) AS messages,
  coalesce(sum(p.bytes) FILTER (WHERE p.counted), 0) AS bytes

-- name: expired
-- Nothing goes that is not over by the caller's clock and by the server's. $3 owner.
WITH picked AS MATERIALIZED (
  SELECT c.conversation_id, c.epoch, c.first_seq, c.next_seq, c.bytes, c.marks, true AS counted FROM {conversations} c
  WHERE c.expires_at IS NOT NULL AND c.removed_at IS NULL
    AND c.expires_at <= least($1::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint)
-- if owner
    AND c.owner = $3::text
-- end
  ORDER BY c.expires_at LIMIT {=limit} FOR NO KEY UPDATE SKIP LOCKED
),
{=bury}
SELECT {=totals}, count(*) >= $2::bigint AS more, NULL AS at, NULL AS id FROM picked p

-- name: idle
-- $3 and $4 behind this place, $5 up to this time, $6 owner. One that is being written is not idle.
WITH walked AS MATERIALIZED (
  SELECT c.conversation_id, c.updated_at AS time, row_number() OVER (ORDER BY c.updated_at, c.conversation_id) AS row FROM {conversations} c
  WHERE c.removed_at IS NULL AND (c.updated_at, c.conversation_id) > ($3::bigint, $4::text) AND c.updated_at <= $5::bigint
-- if owner
    AND c.owner = $6::text
-- end
  ORDER BY c.updated_at, c.conversation_id LIMIT {=limit}
),
picked AS MATERIALIZED (
  SELECT c.conversation_id, c.epoch, c.first_seq, c.next_seq, c.bytes, c.marks, c.expires_at IS NULL OR c.expires_at > $1::bigint AS counted
  FROM walked w CROSS JOIN LATERAL (
    SELECT * FROM {conversations} c
    WHERE c.conversation_id = w.conversation_id AND coalesce(c.removed_at, -1) < 0 AND NOT c.hold AND c.updated_at <= $5::bigint
    FOR NO KEY UPDATE SKIP LOCKED
  ) c
),
{=bury}
SELECT {=totals}, e.walked >= $2::bigint AS more, w.time AS at, w.conversation_id AS id
FROM (SELECT count(*) AS walked FROM walked) e LEFT JOIN walked w ON w.row = e.walked LEFT JOIN picked p ON true
GROUP BY e.walked, w.time, w.conversation_id

-- name: user
-- $3 owner, $4 and $5 behind this place, $6 and $7 up to this place, $8 whether holds too. Waits for writes under way:
-- nobody's conversation may be passed over. Rows are locked in creation order.
WITH walked AS MATERIALIZED (
  SELECT c.conversation_id, c.created_at AS time, row_number() OVER (ORDER BY c.created_at, c.conversation_id) AS row FROM {conversations} c
  WHERE c.owner = $3::text AND c.removed_at IS NULL AND (c.created_at, c.conversation_id) > ($4::bigint, $5::text)
    AND (c.created_at, c.conversation_id) <= ($6::bigint, $7::text)
  ORDER BY c.created_at, c.conversation_id LIMIT {=limit}
),
picked AS MATERIALIZED (
  SELECT c.conversation_id, c.epoch, c.first_seq, c.next_seq, c.bytes, c.marks, c.expires_at IS NULL OR c.expires_at > $1::bigint AS counted
  FROM (SELECT * FROM walked ORDER BY row OFFSET 0) w CROSS JOIN LATERAL (
    SELECT * FROM {conversations} c
    WHERE c.conversation_id = w.conversation_id AND c.owner = $3::text AND coalesce(c.removed_at, -1) < 0 AND ($8::boolean OR NOT c.hold)
    FOR NO KEY UPDATE
  ) c
),
{=bury}
SELECT {=totals}, e.walked >= $2::bigint AS more, w.time AS at, w.conversation_id AS id
FROM (SELECT count(*) AS walked FROM walked) e LEFT JOIN walked w ON w.row = e.walked LEFT JOIN picked p ON true
GROUP BY e.walked, w.time, w.conversation_id

-- name: forget
-- As user, without a trace: bodies and operations go in this statement, $9 messages and $10 segments at most. A conversation
-- with more is hidden (over since 1970, and still its owner's, so that the next batch finds it) and goes when its last body
-- went. One that was written since the statement began may have bodies this statement cannot see: it waits for the next.
WITH walked AS MATERIALIZED (
  SELECT c.conversation_id, c.ctid AS tid, c.created_at AS time, row_number() OVER (ORDER BY c.created_at, c.conversation_id) AS row FROM {conversations} c
  WHERE c.owner = $3::text AND c.removed_at IS NULL AND (c.created_at, c.conversation_id) > ($4::bigint, $5::text)
    AND (c.created_at, c.conversation_id) <= ($6::bigint, $7::text)
  ORDER BY c.created_at, c.conversation_id LIMIT {=limit}
),
locked AS MATERIALIZED (
  SELECT c.conversation_id, c.first_seq, c.next_seq, c.bytes, c.hold, c.ctid = w.tid AS seen, w.row,
    c.expires_at IS NULL OR c.expires_at > $1::bigint AS visible
  FROM (SELECT * FROM walked ORDER BY row OFFSET 0) w CROSS JOIN LATERAL (
    SELECT c.*, c.ctid FROM {conversations} c WHERE c.conversation_id = w.conversation_id AND c.owner = $3::text AND coalesce(c.removed_at, -1) < 0
    FOR UPDATE
  ) c
),
due AS MATERIALIZED (
  SELECT l.* FROM locked l WHERE ($8::boolean OR NOT l.hold)
    AND l.row < coalesce((SELECT min(x.row) FROM locked x WHERE NOT x.seen AND ($8::boolean OR NOT x.hold)), 9223372036854775807)
),
due_messages AS MATERIALIZED (
  SELECT d.row, y.conversation_id, y.epoch, y.seq FROM (SELECT * FROM due ORDER BY row) d CROSS JOIN LATERAL (
    SELECT y.conversation_id, y.epoch, y.seq FROM {messages} y WHERE y.conversation_id = d.conversation_id
    ORDER BY y.conversation_id, y.epoch, y.seq LIMIT {=messages} OFFSET 0
  ) y LIMIT {=messages}
),
due_segments AS MATERIALIZED (
  SELECT d.row, y.conversation_id, y.epoch, y.first_seq FROM (SELECT * FROM due ORDER BY row) d CROSS JOIN LATERAL (
    SELECT y.conversation_id, y.epoch, y.first_seq FROM {segments} y WHERE y.conversation_id = d.conversation_id
    ORDER BY y.conversation_id, y.epoch, y.first_seq LIMIT {=segments} OFFSET 0
  ) y LIMIT {=segments}
),
-- the first that this batch may not finish
stop AS MATERIALIZED (
  SELECT least(
    CASE WHEN (SELECT count(*) FROM due_messages) >= $9::bigint THEN (SELECT max(row) FROM due_messages) END,
    CASE WHEN (SELECT count(*) FROM due_segments) >= $10::bigint THEN (SELECT max(row) FROM due_segments) END,
    (SELECT min(x.row) FROM locked x WHERE NOT x.seen AND ($8::boolean OR NOT x.hold))
  ) AS row
),
picked AS MATERIALIZED (
  SELECT d.*, d.visible AS counted, d.row < coalesce(s.row, 9223372036854775807) AS whole
  FROM due d CROSS JOIN stop s WHERE d.row <= coalesce(s.row, 9223372036854775807)
),
dropped_messages AS (
  DELETE FROM {messages} y USING (
    SELECT d.conversation_id, d.epoch, max(d.seq) AS last FROM due_messages d, stop s WHERE d.row <= coalesce(s.row, 9223372036854775807)
    GROUP BY d.conversation_id, d.epoch
  ) d WHERE y.conversation_id = d.conversation_id AND y.epoch = d.epoch AND y.seq <= d.last
),
dropped_segments AS (
  DELETE FROM {segments} y USING (
    SELECT d.conversation_id, d.epoch, max(d.first_seq) AS last FROM due_segments d, stop s WHERE d.row <= coalesce(s.row, 9223372036854775807)
    GROUP BY d.conversation_id, d.epoch
  ) d WHERE y.conversation_id = d.conversation_id AND y.epoch = d.epoch AND y.first_seq <= d.last
),
dropped_operations AS (
  DELETE FROM {operations} y USING picked p WHERE y.conversation_id = p.conversation_id AND p.whole
),
dropped_leftovers AS (
  DELETE FROM {leftovers} y USING picked p WHERE y.conversation_id = p.conversation_id AND p.whole
),
forgotten AS (
  DELETE FROM {conversations} c USING picked p WHERE c.conversation_id = p.conversation_id AND p.whole
),
hidden AS (
  UPDATE {conversations} AS c SET hold = false, expires_at = 0, first_seq = p.next_seq, packed_to = p.next_seq, metadata = '{}', trace = NULL
  FROM picked p WHERE c.conversation_id = p.conversation_id AND NOT p.whole
),
-- a retried write must not take the place for one that never was
floor AS (
  INSERT INTO {settings} AS z (name, value) SELECT 'forgotten_up_to', $1::bigint::text WHERE EXISTS (SELECT FROM picked)
  ON CONFLICT (name) DO UPDATE SET value = greatest(z.value::bigint, excluded.value::bigint)::text
)
SELECT {=totals}, e.walked >= $2::bigint OR s.row IS NOT NULL AS more, w.time AS at, w.conversation_id AS id
FROM (SELECT count(*) AS walked FROM walked) e CROSS JOIN stop s
LEFT JOIN walked w ON w.row = CASE WHEN s.row IS NULL THEN e.walked ELSE s.row - 1 END
LEFT JOIN picked p ON true
GROUP BY e.walked, s.row, w.time, w.conversation_id

-- name: reap
-- Deletes what leftovers name, $3 messages and $4 segments at most, then tombstones removed at or before $5 (by the server's
-- clock too) that left nothing, and bars that are over. `forget`: tombstones of any age, and it waits for what is locked.
WITH picked AS MATERIALIZED (
  SELECT y.conversation_id, y.epoch, y.below, y.ctid AS tid FROM {leftovers} y LIMIT {=limit} FOR UPDATE
-- if !forget
  SKIP LOCKED
-- end
),
-- one that was raised since this statement began may name messages this statement cannot see
due AS MATERIALIZED (
  SELECT p.*, row_number() OVER (ORDER BY p.conversation_id, p.epoch) AS row FROM picked p
  JOIN {leftovers} y ON y.conversation_id = p.conversation_id AND y.epoch = p.epoch AND y.ctid = p.tid
),
due_messages AS MATERIALIZED (
  SELECT d.row, y.conversation_id, y.epoch, y.seq, y.size FROM (SELECT * FROM due ORDER BY row) d CROSS JOIN LATERAL (
    SELECT y.conversation_id, y.epoch, y.seq, octet_length(y.body) AS size FROM {messages} y
    WHERE y.conversation_id = d.conversation_id AND y.epoch = d.epoch AND y.seq < d.below
    ORDER BY y.seq LIMIT {=messages} OFFSET 0
  ) y LIMIT {=messages}
),
due_segments AS MATERIALIZED (
  SELECT d.row, y.conversation_id, y.epoch, y.first_seq, y.size FROM (SELECT * FROM due ORDER BY row) d CROSS JOIN LATERAL (
    SELECT y.conversation_id, y.epoch, y.first_seq, octet_length(y.data) AS size FROM {segments} y
    WHERE y.conversation_id = d.conversation_id AND y.epoch = d.epoch AND y.first_seq < d.below AND y.next_seq <= d.below
    ORDER BY y.first_seq LIMIT {=segments} OFFSET 0
  ) y LIMIT {=segments}
),
stop AS MATERIALIZED (
  SELECT coalesce(least(
    CASE WHEN (SELECT count(*) FROM due_messages) >= $3::bigint THEN (SELECT max(row) FROM due_messages) END,
    CASE WHEN (SELECT count(*) FROM due_segments) >= $4::bigint THEN (SELECT max(row) FROM due_segments) END
  ), 9223372036854775807) AS row
),
dropped_messages AS (
  DELETE FROM {messages} y USING (
    SELECT d.conversation_id, d.epoch, max(d.seq) AS last FROM due_messages d GROUP BY d.conversation_id, d.epoch LIMIT {=limit}
  ) d WHERE y.conversation_id = d.conversation_id AND y.epoch = d.epoch AND y.seq <= d.last
),
dropped_segments AS (
  DELETE FROM {segments} y USING (
    SELECT d.conversation_id, d.epoch, max(d.first_seq) AS last FROM due_segments d GROUP BY d.conversation_id, d.epoch LIMIT {=limit}
  ) d WHERE y.conversation_id = d.conversation_id AND y.epoch = d.epoch AND y.first_seq <= d.last
),
dropped_operations AS (
  DELETE FROM {operations} y USING due d, stop s
  WHERE y.conversation_id = d.conversation_id AND y.epoch = d.epoch AND d.below = 9223372036854775807 AND d.row < s.row
),
dropped_leftovers AS (
  DELETE FROM {leftovers} y USING due d, stop s WHERE y.conversation_id = d.conversation_id AND y.epoch = d.epoch AND d.row < s.row
),
tombstones AS MATERIALIZED (
  SELECT c.conversation_id, c.removed_at FROM {conversations} c
-- if forget
  WHERE c.removed_at IS NOT NULL AND c.removed_at <= $5::bigint
    AND NOT EXISTS (SELECT FROM {leftovers} y WHERE y.conversation_id = c.conversation_id)
  ORDER BY c.removed_at LIMIT {=limit} FOR UPDATE
-- else
  WHERE c.removed_at IS NOT NULL AND c.removed_at <= least($5::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint - 600000)
    AND NOT EXISTS (SELECT FROM {leftovers} y WHERE y.conversation_id = c.conversation_id)
  ORDER BY c.removed_at LIMIT {=limit} FOR UPDATE SKIP LOCKED
-- end
),
-- if forget
-- as in forget
floor AS (
  INSERT INTO {settings} AS z (name, value) SELECT 'forgotten_up_to', greatest($1::bigint, t.newest)::text
  FROM (SELECT max(removed_at) AS newest FROM tombstones) t WHERE t.newest IS NOT NULL
  ON CONFLICT (name) DO UPDATE SET value = greatest(z.value::bigint, excluded.value::bigint)::text
),
-- end
dropped_tombstones AS (
  DELETE FROM {conversations} c USING tombstones t WHERE c.conversation_id = t.conversation_id
),
dropped_bars AS (
  DELETE FROM {bars} b WHERE b.until <= $1::bigint
)
SELECT 0 AS removed, (SELECT count(*) FROM due_messages) AS messages,
  coalesce((SELECT sum(size) FROM due_messages), 0) + coalesce((SELECT sum(size) FROM due_segments), 0) AS bytes,
  (SELECT count(*) FROM picked) >= $2::bigint OR s.row < 9223372036854775807 OR (SELECT count(*) FROM tombstones) >= $2::bigint
-- if forget
    -- a tombstone goes after what it left
    OR EXISTS (SELECT FROM picked)
-- end
    AS more,
  NULL AS at, NULL AS id
FROM stop s

-- name: inspect
-- One page of a walk over the lives that rows of {=table} belong to: $1 and $2 behind this one, $3 at most. What is found goes to
-- the next reap. A row and its header are written by one statement, so this snapshot has both.
WITH RECURSIVE walk AS (
  (SELECT y.conversation_id, y.epoch, 1 AS n FROM {=table} y WHERE (y.conversation_id, y.epoch) > ($1::text, $2::bigint)
    ORDER BY y.conversation_id, y.epoch LIMIT 1)
  UNION ALL
  SELECT x.conversation_id, x.epoch, w.n + 1 FROM walk w CROSS JOIN LATERAL (
    SELECT y.conversation_id, y.epoch FROM {=table} y WHERE (y.conversation_id, y.epoch) > (w.conversation_id, w.epoch)
    ORDER BY y.conversation_id, y.epoch LIMIT 1
  ) x WHERE w.n < $3::int
),
orphans AS MATERIALIZED (
  SELECT w.conversation_id, w.epoch FROM walk w
  WHERE NOT EXISTS (SELECT FROM {conversations} c WHERE c.conversation_id = w.conversation_id AND c.epoch = w.epoch)
    AND NOT EXISTS (SELECT FROM {leftovers} y WHERE y.conversation_id = w.conversation_id AND y.epoch = w.epoch)
)
-- if fix
, handed AS (
  INSERT INTO {leftovers} (conversation_id, epoch, below) SELECT o.conversation_id, o.epoch, 9223372036854775807 FROM orphans o
  ON CONFLICT DO NOTHING
)
-- end
SELECT w.n AS looked, (SELECT count(*) FROM orphans) AS orphans, w.conversation_id AS id, w.epoch FROM walk w ORDER BY w.n DESC LIMIT 1
