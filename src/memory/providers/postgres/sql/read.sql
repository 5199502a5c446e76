-- Reads answer rows of (at, seq, text, header): for each conversation one with its header (an array) and its metadata as
-- text, one for each message (seq) and one for each segment (seq, and the sequence behind it in header).
-- A window is $1 kind, $2 count or sequence, $3 upper bound, $4 limit.

-- name: window
-- The sequences [f, t) that a window means, for the header c.
CROSS JOIN LATERAL (
  SELECT CASE $1::text WHEN 'all' THEN c.first_seq WHEN 'last' THEN greatest(c.first_seq, c.next_seq - $2::bigint)
      WHEN 'after' THEN greatest(c.first_seq, $2::bigint + 1) WHEN 'before' THEN greatest(c.first_seq, z.t - $4::bigint) ELSE c.next_seq END AS f,
    CASE $1::text WHEN 'after' THEN greatest(greatest(c.first_seq, $2::bigint + 1),
      least(c.next_seq, $3::bigint, greatest(c.first_seq, $2::bigint + 1) + $4::bigint)) ELSE z.t END AS t
  FROM (SELECT CASE WHEN $1::text = 'before' THEN greatest(c.first_seq, least(c.next_seq, $2::bigint)) ELSE c.next_seq END AS t OFFSET 0) z OFFSET 0
) w

-- name: header
json_build_array(c.conversation_id, c.owner, c.trace, c.epoch, c.version, c.created_at, c.updated_at, c.ttl, c.expires_at, c.hold, c.first_seq,
  c.next_seq, c.packed_to, c.bytes)::text

-- name: bodies
-- {=of} is the conversation: where it is a parameter, partitions that cannot have it are never opened.
-- Segments follow each other without gaps: the last that begins at or before the window is the first that may overlap it.
SELECT h.place, y.first_seq, y.data, y.next_seq::text FROM found h CROSS JOIN LATERAL (
  SELECT y.first_seq, y.next_seq, y.data FROM {segments} y
  WHERE h.f < least(h.t, h.packed_to) AND y.conversation_id = {=of} AND y.epoch = h.epoch AND y.first_seq < least(h.t, h.packed_to) AND y.next_seq > h.f
    AND y.first_seq >= coalesce((SELECT max(x.first_seq) FROM {segments} x
      WHERE x.conversation_id = {=of} AND x.epoch = h.epoch AND x.first_seq <= h.f), h.f)
  ORDER BY y.first_seq OFFSET 0
) y
UNION ALL
SELECT h.place, y.seq, y.body, NULL FROM found h CROSS JOIN LATERAL (
  SELECT y.seq, y.body FROM {messages} y
  WHERE y.conversation_id = {=of} AND y.epoch = h.epoch AND y.seq >= greatest(h.f, h.packed_to) AND y.seq < h.t
  ORDER BY y.seq OFFSET 0
) y

-- name: read
-- $5 the conversation, $6 now. Of removed_at see append.sql.
WITH found AS MATERIALIZED (
  SELECT 0 AS place, c.conversation_id, c.epoch, c.packed_to, w.f, w.t, c.metadata::text AS metadata, {=header} AS header
  FROM {conversations} c {=window}
  WHERE c.conversation_id = $5 AND coalesce(c.removed_at, -1) < 0 AND (c.expires_at IS NULL OR c.expires_at > $6::bigint)
)
SELECT h.place AS at, NULL::bigint AS seq, h.metadata AS text, h.header FROM found h
UNION ALL {=bodies}

-- name: list
-- $5 now, $6 and $7 behind this place, $8 up to this time, $9 rows to look at, $10 items to give, $11 bytes of bodies to give, about
-- $12 trace, $13 metadata, $14 and $15 last write at or after, at or before, $16 owner. The last row says how far it looked.
WITH scanned AS MATERIALIZED (
  SELECT c.*, row_number() OVER (ORDER BY c.{=time} {=direction}, c.conversation_id {=direction}) AS row FROM {conversations} c
  WHERE c.removed_at IS NULL AND (c.{=time}, c.conversation_id) {=behind} ($6::bigint, $7::text) AND c.{=time} {=upto} $8::bigint
-- if owner
    AND c.owner = $16::text
-- end
  ORDER BY c.{=time} {=direction}, c.conversation_id {=direction} LIMIT $9::bigint
),
matching AS MATERIALIZED (
  SELECT c.*, w.f, w.t,
    sum(c.bytes * (w.t - w.f) / greatest(c.next_seq - c.first_seq, 1)) OVER (ORDER BY c.row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
  FROM scanned c {=window}
  WHERE (c.expires_at IS NULL OR c.expires_at > $5::bigint)
    AND ($12::text IS NULL OR c.trace = $12) AND ($13::jsonb IS NULL OR c.metadata @> $13)
    AND ($14::bigint IS NULL OR c.updated_at >= $14) AND ($15::bigint IS NULL OR c.updated_at <= $15)
),
found AS MATERIALIZED (
  SELECT c.row AS place, c.conversation_id, c.epoch, c.packed_to, c.f, c.t, c.metadata::text AS metadata, {=header} AS header, c.{=time} AS time
  FROM matching c WHERE coalesce(c.before, 0) < $11::bigint ORDER BY c.row LIMIT $10::bigint
),
extent AS MATERIALIZED (
  SELECT (SELECT count(*) FROM scanned) AS looked, (SELECT count(*) FROM matching) AS matched, (SELECT count(*) FROM found) AS given
)
SELECT h.place AS at, NULL::bigint AS seq, h.metadata AS text, h.header FROM found h
UNION ALL {=bodies}
UNION ALL
-- more was found than given: continue behind the last one given, else behind the last one looked at
SELECT -1, NULL, NULL, json_build_array(e.looked, e.matched > e.given, r.time, r.conversation_id)::text FROM extent e
LEFT JOIN LATERAL (
  SELECT s.{=time} AS time, s.conversation_id FROM scanned s
  WHERE s.row = CASE WHEN e.matched > e.given THEN (SELECT max(h.place) FROM found h) ELSE e.looked END
) r ON true

-- name: stats
-- $1 now, $2 and $3 behind this place, $4 rows to fold, $5 owner
WITH scanned AS MATERIALIZED (
  SELECT c.created_at, c.conversation_id, c.expires_at IS NULL OR c.expires_at > $1::bigint AS visible, c.next_seq - c.first_seq AS messages, c.bytes
  FROM {conversations} c
  WHERE c.removed_at IS NULL AND (c.created_at, c.conversation_id) > ($2::bigint, $3::text)
-- if owner
    AND c.owner = $5::text
-- end
  ORDER BY c.created_at, c.conversation_id LIMIT $4::bigint
)
SELECT count(*) FILTER (WHERE s.visible) AS conversations, coalesce(sum(s.messages) FILTER (WHERE s.visible), 0) AS messages,
  coalesce(sum(s.bytes) FILTER (WHERE s.visible), 0) AS bytes, min(s.created_at) FILTER (WHERE s.visible) AS oldest,
  max(s.created_at) FILTER (WHERE s.visible) AS newest, count(*) AS looked, r.created_at AS at, r.conversation_id AS id
FROM scanned s
CROSS JOIN (SELECT x.created_at, x.conversation_id FROM scanned x ORDER BY x.created_at DESC, x.conversation_id DESC LIMIT 1) r
GROUP BY r.created_at, r.conversation_id
