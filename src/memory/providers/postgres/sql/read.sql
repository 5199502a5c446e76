-- A read answers rows of two texts (before them, in a list, the place of the conversation in it): one without a number, which
-- is the header as a JSON array, a line break and the metadata; then (sequence, body) for each message, and for each segment
-- (its first sequence, a blank and the sequence behind it, data). As few and as plain columns as possible: a long read is
-- made of them.

-- name: window
-- The sequences [f, t) that a window means, for the header c. Its numbers are {=w1}, {=w2} and {=w3}.
CROSS JOIN LATERAL (
-- if all
  SELECT c.first_seq AS f, c.next_seq AS t
-- end
-- if last
  SELECT greatest(c.first_seq, c.next_seq - {=w1}::bigint) AS f, c.next_seq AS t
-- end
-- if after
  SELECT greatest(c.first_seq, {=w1}::bigint + 1) AS f, greatest(greatest(c.first_seq, {=w1}::bigint + 1),
    least(c.next_seq, {=w2}::bigint, greatest(c.first_seq, {=w1}::bigint + 1) + {=w3}::bigint)) AS t
-- end
-- if before
  SELECT greatest(c.first_seq, z.t - {=w2}::bigint) AS f, z.t
  FROM (SELECT greatest(c.first_seq, least(c.next_seq, {=w1}::bigint)) AS t OFFSET 0) z
-- end
-- if none
  SELECT c.next_seq AS f, c.next_seq AS t
-- end
) w

-- name: header
json_build_array(c.conversation_id, c.owner, c.trace, c.epoch, c.version, c.created_at, c.updated_at, c.ttl, c.expires_at, c.hold, c.first_seq,
  c.next_seq, c.packed_to, c.bytes)::text || E'\n' || c.metadata::text

-- name: bodies
-- {=of} is the conversation: where it is a parameter, partitions that cannot have it are never opened.
-- Segments follow each other without gaps: the last that begins at or before the window is the first that may overlap it.
-- if packed
SELECT {=place} concat_ws(' ', y.first_seq, y.next_seq) AS seq, y.data AS text FROM found h CROSS JOIN LATERAL (
  SELECT y.first_seq, y.next_seq, y.data FROM {segments} y
  WHERE h.f < least(h.t, h.packed_to) AND y.conversation_id = {=of} AND y.epoch = h.epoch AND y.first_seq < least(h.t, h.packed_to) AND y.next_seq > h.f
    AND y.first_seq >= coalesce((SELECT max(x.first_seq) FROM {segments} x
      WHERE x.conversation_id = {=of} AND x.epoch = h.epoch AND x.first_seq <= h.f), h.f)
  ORDER BY y.first_seq OFFSET 0
) y
UNION ALL
-- end
SELECT {=place} y.seq::text, y.body FROM found h CROSS JOIN LATERAL (
  SELECT y.seq, y.body FROM {messages} y
  WHERE y.conversation_id = {=of} AND y.epoch = h.epoch AND y.seq >= greatest(h.f, h.packed_to) AND y.seq < h.t
  ORDER BY y.seq OFFSET 0
) y

-- name: read
-- $1 the conversation, $2 now, then the window. Of removed_at see append.sql. Variant packed: also segments.
WITH found AS MATERIALIZED (
  SELECT c.epoch, c.packed_to, w.f, w.t, {=header} AS header
  FROM {conversations} c {=window}
  WHERE c.conversation_id = $1 AND coalesce(c.removed_at, -1) < 0 AND (c.expires_at IS NULL OR c.expires_at > $2::bigint)
)
SELECT NULL::text AS seq, h.header AS text FROM found h
-- if !none
UNION ALL {=bodies}
-- end

-- name: list
-- $1 now, $2 and $3 behind this place, $4 up to this time, $5 rows to look at, $6 items to give, $7 bytes of bodies to give, about
-- $8 trace, $9 metadata, $10 and $11 last write at or after, at or before, in variant owner $12 owner, then the window. The
-- last row says how far it looked.
WITH scanned AS MATERIALIZED (
  SELECT c.*, row_number() OVER (ORDER BY c.{=time} {=direction}, c.conversation_id {=direction}) AS row FROM {conversations} c
  WHERE c.removed_at IS NULL AND (c.{=time}, c.conversation_id) {=behind} ($2::bigint, $3::text) AND c.{=time} {=upto} $4::bigint
-- if owner
    AND c.owner = $12::text
-- end
  ORDER BY c.{=time} {=direction}, c.conversation_id {=direction} LIMIT $5::bigint
),
matching AS MATERIALIZED (
  SELECT c.*, w.f, w.t,
    sum(c.bytes * (w.t - w.f) / greatest(c.next_seq - c.first_seq, 1)) OVER (ORDER BY c.row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
  FROM scanned c {=window}
  WHERE (c.expires_at IS NULL OR c.expires_at > $1::bigint)
    AND ($8::text IS NULL OR c.trace = $8) AND ($9::jsonb IS NULL OR c.metadata @> $9)
    AND ($10::bigint IS NULL OR c.updated_at >= $10) AND ($11::bigint IS NULL OR c.updated_at <= $11)
),
found AS MATERIALIZED (
  SELECT c.row AS place, c.conversation_id, c.epoch, c.packed_to, c.f, c.t, {=header} AS header, c.{=time} AS time
  FROM matching c WHERE coalesce(c.before, 0) < $7::bigint ORDER BY c.row LIMIT $6::bigint
),
extent AS MATERIALIZED (
  SELECT (SELECT count(*) FROM scanned) AS looked, (SELECT count(*) FROM matching) AS matched, (SELECT count(*) FROM found) AS given
)
SELECT h.place AS at, NULL::text AS seq, h.header AS text FROM found h
-- if !none
UNION ALL {=bodies}
-- end
UNION ALL
-- more was found than given: continue behind the last one given, else behind the last one looked at
SELECT -1, NULL, json_build_array(e.looked, e.matched > e.given, r.time, r.conversation_id)::text FROM extent e
LEFT JOIN LATERAL (
  SELECT s.{=time} AS time, s.conversation_id FROM scanned s
  WHERE s.row = CASE WHEN e.matched > e.given THEN (SELECT max(h.place) FROM found h) ELSE e.looked END
) r ON true

-- name: headers
-- A list without filters and messages: $1 and $2 behind this place, $3 up to this time, $4 rows, in variant owner $5 owner.
-- Those that are over come too: they say how far it looked.
SELECT c.conversation_id, c.owner, c.trace, c.epoch, c.version, c.created_at, c.updated_at, c.ttl, c.expires_at, c.hold, c.first_seq, c.next_seq,
  c.packed_to, c.bytes, c.metadata::text
FROM {conversations} c
WHERE c.removed_at IS NULL AND (c.{=time}, c.conversation_id) {=behind} ($1::bigint, $2::text) AND c.{=time} {=upto} $3::bigint
-- if owner
  AND c.owner = $5::text
-- end
ORDER BY c.{=time} {=direction}, c.conversation_id {=direction} LIMIT $4::bigint

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
