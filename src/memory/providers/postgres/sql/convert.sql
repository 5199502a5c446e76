-- Moving a table of documents to the layout rows (../convert.ts). {conversations} is the table of documents in statements of
-- the source, and the new table under its staging name in those of the target. {=copied} says what was copied, and as it was.

-- name: convertBegin
CREATE TABLE {=copied} (
  conversation_id text COLLATE "C" PRIMARY KEY,
  mark text COLLATE "C" NOT NULL,   -- xmin of the document that was copied; '' while it is being copied
  digest text COLLATE "C" NOT NULL,
  size bigint NOT NULL,             -- bytes of the document's messages as text
  verified boolean NOT NULL
)

-- name: convertWalk
-- Source. $1 at most, $2 behind this id, in the order of the table's own index.
SELECT c.conversation_id AS id, c.xmin::text AS mark FROM {conversations} c
-- if behind
WHERE c.conversation_id > $2
-- end
ORDER BY c.conversation_id LIMIT $1::bigint

-- name: convertSizes
-- Source. $1 ids.
SELECT c.conversation_id AS id, c.xmin::text AS mark, coalesce(jsonb_typeof(c.messages), 'array') AS kind, coalesce(octet_length(c.messages::text), 0) AS size
FROM {conversations} c WHERE c.conversation_id = ANY ($1::text[])

-- name: convertRead
-- Source. $1 ids.
SELECT {=documentColumns}
-- if whole
  , r.messages::text AS elements
-- end
FROM ({=documentRows} WHERE c.conversation_id = ANY ($1::text[])) r

-- name: convertElements
-- Source. $1 id, $2 elements behind this place (from 0), $3 bytes, about: at least one element.
SELECT y.element, y.mark FROM (
  SELECT e::text AS element, n, c.xmin::text AS mark, row_number() OVER w AS row, sum(octet_length(e::text)) OVER w AS upto
  FROM {conversations} c, jsonb_array_elements(c.messages) WITH ORDINALITY AS y(e, n)
  WHERE c.conversation_id = $1 AND n > $2::bigint WINDOW w AS (ORDER BY n)
) y WHERE y.upto <= $3::bigint OR y.row = 1 ORDER BY y.n

-- name: convertMarks
-- $1 ids.
SELECT k.conversation_id AS id, k.mark FROM {=copied} k WHERE k.conversation_id = ANY ($1::text[])

-- name: convertClear
-- Target. $1 ids; $2 whether nothing of them is to be copied again.
WITH headers AS (DELETE FROM {conversations} y WHERE y.conversation_id = ANY ($1::text[])),
messages AS (DELETE FROM {messages} y WHERE y.conversation_id = ANY ($1::text[])),
segments AS (DELETE FROM {segments} y WHERE y.conversation_id = ANY ($1::text[])),
operations AS (DELETE FROM {operations} y WHERE y.conversation_id = ANY ($1::text[])),
gone AS (DELETE FROM {=copied} k WHERE $2::boolean AND k.conversation_id = ANY ($1::text[]))
INSERT INTO {=copied} (conversation_id, mark, digest, size, verified)
SELECT i.id, '', '', 0, false FROM unnest($1::text[]) AS i(id) WHERE NOT $2::boolean
ON CONFLICT (conversation_id) DO UPDATE SET mark = '', digest = '', verified = false

-- name: convertBodies
-- Target. $1 ids, $2 epochs, $3 sequences, $4 bodies.
INSERT INTO {messages} (conversation_id, epoch, seq, body)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[])

-- name: convertSegments
-- Target. $1 ids, $2 epochs, $3 and $4 sequences, $5 texts.
INSERT INTO {segments} (conversation_id, epoch, first_seq, next_seq, data)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[])

-- name: convertHeaders
-- Target. $1 json: headers with their operations, and what is to be noted of the copy.
WITH item AS MATERIALIZED (
  SELECT * FROM json_to_recordset($1::json) AS i(id text, owner text, trace text, epoch bigint, version bigint, created bigint, updated bigint,
    ttl bigint, expires bigint, removed bigint, first bigint, next bigint, packed bigint, bytes bigint, metadata_bytes int, hold boolean,
    floor bigint, writers json, marks json, metadata text, operations json, mark text, digest text, size bigint)
),
operations AS (
  INSERT INTO {operations} (conversation_id, epoch, hash, n, digest, version, count, created)
  SELECT i.id, i.epoch, o ->> 0, at, o ->> 1, (o ->> 2)::bigint, (o ->> 3)::bigint, (o ->> 4)::boolean
  FROM item i CROSS JOIN LATERAL json_array_elements(i.operations) WITH ORDINALITY AS y(o, at)
),
copied AS (
  UPDATE {=copied} k SET mark = i.mark, digest = i.digest, size = i.size FROM item i WHERE k.conversation_id = i.id
)
INSERT INTO {conversations} (conversation_id, owner, trace, epoch, version, created_at, updated_at, ttl, expires_at, removed_at, first_seq, next_seq,
  packed_to, bytes, metadata_bytes, operations, hold, writers_floor, writers, marks, metadata)
SELECT id, owner, trace, epoch, version, created, updated, ttl, expires, removed, first, next, packed, bytes, metadata_bytes,
  json_array_length(i.operations), hold, floor,
  ARRAY(SELECT w FROM json_array_elements_text(i.writers) WITH ORDINALITY AS y(w, n) ORDER BY n),
  ARRAY(SELECT m::bigint FROM json_array_elements_text(i.marks) WITH ORDINALITY AS y(m, n) ORDER BY n), i.metadata::jsonb
FROM item i

-- name: convertUnverified
-- $1 at most, $2 behind this id.
SELECT k.conversation_id AS id, k.digest, k.size FROM {=copied} k WHERE NOT k.verified AND k.mark <> '' AND k.conversation_id > $2::text
ORDER BY k.conversation_id LIMIT $1::bigint

-- name: convertStaged
-- Target. $1 ids.
SELECT c.conversation_id AS id, json_build_object('id', c.conversation_id, 'owner', c.owner, 'trace', c.trace, 'epoch', c.epoch, 'version', c.version,
  'created', c.created_at, 'updated', c.updated_at, 'ttl', c.ttl, 'expires', c.expires_at, 'removed', c.removed_at, 'first', c.first_seq,
  'next', c.next_seq, 'packed', c.packed_to, 'bytes', c.bytes, 'metadata_bytes', c.metadata_bytes, 'hold', c.hold, 'floor', c.writers_floor,
  'writers', c.writers, 'marks', c.marks)::text AS header, c.metadata::text AS metadata, c.operations AS count,
  (SELECT coalesce(json_agg(json_build_array(o.hash, o.digest, o.version, o.count, o.created) ORDER BY o.n), '[]')::text FROM {operations} o
    WHERE o.conversation_id = c.conversation_id AND o.epoch = c.epoch) AS operations
FROM {conversations} c WHERE c.conversation_id = ANY ($1::text[])

-- name: convertStagedBodies
-- Target. $1 ids, $2 bytes, about; behind $3 id, $4 epoch, $5 sequence.
SELECT y.id, y.epoch, y.seq, y.text FROM (
  SELECT x.*, row_number() OVER w AS row, sum(octet_length(x.text)) OVER w AS upto FROM (
    SELECT m.conversation_id AS id, m.epoch, m.seq, m.body AS text FROM {messages} m
    WHERE m.conversation_id = ANY ($1::text[]) AND (m.conversation_id, m.epoch, m.seq) > ($3::text, $4::bigint, $5::bigint)
    ORDER BY m.conversation_id, m.epoch, m.seq LIMIT 5000
  ) x WINDOW w AS (ORDER BY x.id, x.epoch, x.seq)
) y WHERE y.upto <= $2::bigint OR y.row = 1 ORDER BY y.id, y.epoch, y.seq

-- name: convertStagedSegments
-- As convertStagedBodies.
SELECT y.id, y.epoch, y.seq, y.next, y.text FROM (
  SELECT x.*, row_number() OVER w AS row, sum(octet_length(x.text)) OVER w AS upto FROM (
    SELECT s.conversation_id AS id, s.epoch, s.first_seq AS seq, s.next_seq AS next, s.data AS text FROM {segments} s
    WHERE s.conversation_id = ANY ($1::text[]) AND (s.conversation_id, s.epoch, s.first_seq) > ($3::text, $4::bigint, $5::bigint)
    ORDER BY s.conversation_id, s.epoch, s.first_seq LIMIT 500
  ) x WINDOW w AS (ORDER BY x.id, x.epoch, x.seq)
) y WHERE y.upto <= $2::bigint OR y.row = 1 ORDER BY y.id, y.epoch, y.seq

-- name: convertVerified
-- $1 ids of copies that are right, $2 ids of those that are not: they are to be copied again.
UPDATE {=copied} k SET verified = k.conversation_id = ANY ($1::text[]), mark = CASE WHEN k.conversation_id = ANY ($1::text[]) THEN k.mark ELSE '' END
WHERE k.conversation_id = ANY ($1::text[] || $2::text[])

-- name: convertChanged
-- Source. Documents that are not copied as they are, and copies whose document is gone: $1 at most.
SELECT coalesce(c.conversation_id, k.conversation_id) AS id, c.conversation_id IS NULL AS gone
FROM {conversations} c FULL JOIN {=copied} k ON c.conversation_id COLLATE "C" = k.conversation_id
WHERE c.xmin::text IS DISTINCT FROM k.mark OR NOT k.verified LIMIT $1::bigint

-- name: convertGone
-- Source. Copies whose document is gone: $1 at most.
SELECT k.conversation_id AS id FROM {=copied} k
WHERE NOT EXISTS (SELECT FROM {conversations} c WHERE c.conversation_id COLLATE "C" = k.conversation_id) LIMIT $1::bigint

-- name: convertCounts
-- Target.
SELECT (SELECT count(*) FROM {=copied}) AS copied, count(*) AS headers, count(*) FILTER (WHERE c.removed_at IS NOT NULL) AS tombstones,
  coalesce(sum(c.next_seq - c.first_seq), 0) AS messages, coalesce(sum(c.bytes), 0) AS bytes FROM {conversations} c

-- name: convertSchema
-- $1 the table as the configuration names it. Where it really is, and whose.
SELECT n.nspname AS schema, c.relkind AS kind, pg_get_userbyid(c.relowner) AS owner, pg_has_role(current_user, c.relowner, 'USAGE') AS own,
  c.relrowsecurity AS secured FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)

-- name: convertIndexes
-- $1 tables. Their indexes.
SELECT i.indexrelid::regclass::text AS quoted, c.relname AS name, i.indrelid = to_regclass($2) AS source FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY (SELECT to_regclass(t) FROM unnest($1::text[]) t)

-- name: convertRights
-- $1 the table. What others than its owner may do with it.
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role, array_to_string(array_agg(a.privilege_type::text), ', ') AS rights
FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
WHERE c.oid = to_regclass($1) AND a.grantee <> c.relowner AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') GROUP BY a.grantee
