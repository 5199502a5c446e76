-- The layout `document`: one row for each conversation, in a table of the document's shape or of one of the two older ones.
-- What the table has no column for is in metadata."$jaf". {=updatedColumn} and {=createdColumn} are what the shape offers.

-- name: documentTable
CREATE TABLE {conversations} (
    id SERIAL PRIMARY KEY,
    conversation_id VARCHAR(255) UNIQUE NOT NULL,
    user_id VARCHAR(255),
    messages JSONB NOT NULL,
    metadata JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);
CREATE INDEX {=userIndex} ON {conversations}(user_id);
CREATE INDEX {=createdIndex} ON {conversations}(created_at);

-- name: documentBeside
-- What is not part of any conversation.
CREATE TABLE IF NOT EXISTS {settings} (name text COLLATE "C" PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS {bars} (hash text COLLATE "C" PRIMARY KEY, until bigint NOT NULL);

-- name: documentRows
-- Every row with its times in milliseconds. `touched`: another program has written it since we did.
SELECT c.xmin::text AS xmin, c.conversation_id COLLATE "C" AS id, c.user_id, c.messages, c.metadata, s.jaf,
  jsonb_array_length(c.messages) AS n,
  coalesce((s.jaf ->> 'created')::bigint, t.created, 0) AS created,
  CASE WHEN s.jaf IS NULL OR t.touched THEN coalesce(t.updated, t.created, 0) ELSE (s.jaf ->> 'updated')::bigint END AS updated,
  coalesce(t.touched, false) AS touched,
  (s.jaf ->> 'expires')::bigint AS expires,
  (s.jaf ->> 'removed')::bigint AS removed,
  coalesce((s.jaf ->> 'hold')::boolean, false) AS hold
FROM {conversations} c
CROSS JOIN LATERAL (SELECT CASE WHEN jsonb_typeof(c.metadata -> '$jaf') = 'object' THEN c.metadata -> '$jaf' END AS jaf) s
CROSS JOIN LATERAL (
  SELECT k.created, k.updated, s.jaf IS NOT NULL AND k.updated <> (s.jaf ->> 'updated')::bigint AND abs((s.jaf ->> 'updated')::bigint) < 9000000000000 AS touched
  FROM (SELECT {=createdColumn} AS created, {=updatedColumn} AS updated OFFSET 0) k
) t

-- name: documentColumns
r.xmin, r.id, r.user_id, r.metadata::text AS metadata, r.n, r.created, r.updated, r.touched,
  CASE WHEN r.jaf IS NULL OR (r.jaf ->> 'count')::bigint <> r.n
    THEN (SELECT jsonb_agg(jsonb_build_array(e -> '$jaf' -> 0, e -> '$jaf' -> 1, octet_length(e -> '$jaf' ->> 2)) ORDER BY i)::text
      FROM jsonb_array_elements(r.messages) WITH ORDINALITY AS y(e, i) WHERE jsonb_typeof(e -> '$jaf') = 'array') END AS segments,
  CASE WHEN r.jaf IS NULL OR (r.jaf ->> 'count')::bigint <> r.n THEN octet_length(r.messages::text) END AS size

-- name: documentAlive
(r.removed IS NULL OR r.n > 0)

-- name: documentLook
-- $1 ids. Locked rows, or (of a batch) only those nobody else has locked. The lock is on the row itself, then it is read again:
-- what is selected beside FOR UPDATE would be of the snapshot before the wait.
SELECT c.conversation_id AS id FROM {conversations} c WHERE c.conversation_id = ANY ($1::text[]) ORDER BY c.conversation_id COLLATE "C" FOR NO KEY UPDATE
-- if skip
SKIP LOCKED
-- end

-- name: documentStates
-- $1 ids. OFFSET 0: what is computed of a row is computed once, not wherever it is named (that unpacks the array each time).
SELECT {=documentColumns} FROM ({=documentRows} WHERE c.conversation_id = ANY ($1::text[]) OFFSET 0) r

-- name: documentElements
-- $1 id, $2 and $3: elements from this to before this, from 0.
SELECT coalesce(jsonb_agg(e ORDER BY i), '[]')::text AS elements FROM {conversations} c, jsonb_array_elements(c.messages) WITH ORDINALITY AS y(e, i)
WHERE c.conversation_id = $1 AND i > $2::bigint AND i <= $3::bigint

-- name: documentBarred
SELECT b.hash, b.until, NULL AS forgotten FROM {bars} b WHERE b.hash = ANY ($1::text[])
UNION ALL SELECT NULL, NULL, z.value FROM {settings} z WHERE z.name = 'forgotten_up_to'

-- name: documentUpdate
-- $2 their ids: the planner takes a set from JSON for 100 rows, and would rather walk the table. $1 items: id, xmin, owner, keep (whether the old elements stay), at (elements before it are dropped, or kept in front of
-- `skip` dropped ones), add, metadata, times. A row that was written since it was looked at is left alone, and so is one whose
-- owner was barred meanwhile: the lock on the table is taken before this snapshot.
UPDATE {conversations} AS c SET user_id = i.owner,
  messages = CASE WHEN NOT i.keep THEN i.add WHEN i.cut = 0 AND i.lead = 0 THEN c.messages || i.add
    ELSE coalesce((SELECT jsonb_agg(e ORDER BY n) FROM jsonb_array_elements(c.messages) WITH ORDINALITY AS y(e, n) WHERE n <= i.lead), '[]')
      || CASE WHEN i.packs THEN i.add ELSE '[]' END
      || coalesce((SELECT jsonb_agg(e ORDER BY n) FROM jsonb_array_elements(c.messages) WITH ORDINALITY AS y(e, n) WHERE n > i.lead + i.cut), '[]')
      || CASE WHEN i.packs THEN '[]' ELSE i.add END END,
  metadata = i.metadata
{=setTimes}
FROM jsonb_to_recordset($1::text::jsonb) AS i(id text, xmin text, owner text, keep boolean, lead bigint, cut bigint, packs boolean,
  add jsonb, metadata jsonb, created bigint, updated bigint, hash text, now bigint)
WHERE c.conversation_id = ANY ($2::text[]) AND c.conversation_id = i.id AND c.xmin::text = i.xmin
  AND NOT EXISTS (SELECT FROM {bars} b WHERE b.hash = i.hash AND b.until > i.now)
RETURNING c.conversation_id AS id

-- name: documentInsert
INSERT INTO {conversations} (conversation_id, user_id, messages, metadata{=timeColumns})
SELECT i.id, i.owner, i.add, i.metadata{=timeValues}
FROM jsonb_to_recordset($1::text::jsonb) AS i(id text, owner text, add jsonb, metadata jsonb, created bigint, updated bigint, hash text, now bigint)
WHERE NOT EXISTS (SELECT FROM {bars} b WHERE b.hash = i.hash AND b.until > i.now)
ON CONFLICT (conversation_id) DO NOTHING
RETURNING conversation_id AS id

-- name: documentWindow
-- $1: so many of the last elements; an element is a message or a segment of several, so that is enough. As an OFFSET the length is
-- looked at once; a condition would unpack the whole array for each of its elements.
CASE WHEN $1::bigint = 0 THEN '[]' WHEN $1::bigint >= r.n THEN r.messages::text
  ELSE (SELECT jsonb_agg(y.e ORDER BY y.i)::text FROM (SELECT e, i FROM jsonb_array_elements(r.messages) WITH ORDINALITY AS x(e, i) OFFSET r.n - $1::bigint) y) END AS elements

-- name: documentRead
-- $2 id, $3 now.
SELECT {=documentColumns}, {=documentWindow} FROM ({=documentRows} WHERE c.conversation_id = $2 OFFSET 0) r
WHERE {=documentAlive} AND (r.expires IS NULL OR r.expires > $3::bigint)

-- name: documentList
-- $2 now, $3 and $4 behind this place, $5 at most, $6 since, $7 until, $8 owner.
SELECT {=documentColumns}, {=documentWindow} FROM ({=documentRows}
-- if owner
  WHERE c.user_id = $8::text
-- end
) r
WHERE {=documentAlive} AND (r.expires IS NULL OR r.expires > $2::bigint) AND (r.{=time}, r.id) {=behind} ($3::bigint, $4::text COLLATE "C")
  AND ($6::bigint IS NULL OR r.updated >= $6::bigint) AND ($7::bigint IS NULL OR r.updated <= $7::bigint)
ORDER BY r.{=time} {=direction}, r.id {=direction} LIMIT $5::bigint

-- name: documentStats
-- $1 now, $2 and $3 behind this place, $4 at most, $5 owner.
SELECT {=documentColumns}, r.expires IS NULL OR r.expires > $1::bigint AS visible FROM ({=documentRows}
-- if owner
  WHERE c.user_id = $5::text
-- end
) r
WHERE {=documentAlive} AND (r.created, r.id) > ($2::bigint, $3::text COLLATE "C")
ORDER BY r.created, r.id LIMIT $4::bigint

-- name: documentExpired
-- $1 now, $2 at most, $3 owner. Nothing goes that is not over by the caller's clock and by the server's.
SELECT r.id, r.created AS at FROM ({=documentRows}) r
WHERE {=documentAlive} AND r.expires <= least($1::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint)
  AND ($3::text IS NULL OR r.user_id = $3::text)
ORDER BY r.expires LIMIT $2::bigint

-- name: documentIdle
-- $1 owner, $2 at most, $3 and $4 behind this place, $5 up to.
SELECT r.id, r.updated AS at FROM ({=documentRows}) r
WHERE {=documentAlive} AND ($1::text IS NULL OR r.user_id = $1::text) AND (r.updated, r.id) > ($3::bigint, $4::text COLLATE "C") AND r.updated <= $5::bigint
ORDER BY r.updated, r.id LIMIT $2::bigint

-- name: documentUser
-- $1 owner, $2 at most, $3 and $4 behind this place, $5 and $6 up to this place.
SELECT r.id, r.created AS at FROM ({=documentRows} WHERE c.user_id = $1::text) r
WHERE {=documentAlive} AND (r.created, r.id) > ($3::bigint, $4::text COLLATE "C") AND (r.created, r.id) <= ($5::bigint, $6::text COLLATE "C")
ORDER BY r.created, r.id LIMIT $2::bigint

-- name: documentForget
-- $1 items: id and xmin, $2 now, $3 the ids, as in documentUpdate.
WITH gone AS (
  DELETE FROM {conversations} c USING jsonb_to_recordset($1::text::jsonb) AS i(id text, xmin text)
  WHERE c.conversation_id = ANY ($3::text[]) AND c.conversation_id = i.id AND c.xmin::text = i.xmin RETURNING c.conversation_id AS id
),
noted AS (
  INSERT INTO {settings} AS z (name, value) SELECT 'forgotten_up_to', $2::bigint::text WHERE EXISTS (SELECT FROM gone)
  ON CONFLICT (name) DO UPDATE SET value = greatest(z.value::bigint, excluded.value::bigint)::text
)
SELECT id FROM gone

-- name: documentReap
-- $1 now, $2 at most, $3 tombstones removed before this; `forget`: of any age, until none is left.
WITH old AS MATERIALIZED (
-- if forget
  SELECT r.id, r.xmin, r.removed FROM ({=documentRows}) r WHERE r.removed <= $3::bigint AND r.n = 0
-- else
  SELECT r.id, r.xmin, r.removed FROM ({=documentRows}) r WHERE r.removed <= least($3::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint - {=grace}) AND r.n = 0
-- end
  LIMIT $2::bigint
),
-- if forget
noted AS (
  INSERT INTO {settings} AS z (name, value) SELECT 'forgotten_up_to', greatest($1::bigint, o.newest)::text
  FROM (SELECT max(removed) AS newest FROM old) o WHERE o.newest IS NOT NULL
  ON CONFLICT (name) DO UPDATE SET value = greatest(z.value::bigint, excluded.value::bigint)::text
),
-- end
gone AS (
  DELETE FROM {conversations} c USING old WHERE c.conversation_id = old.id AND c.xmin::text = old.xmin RETURNING 1
),
ended AS (
  DELETE FROM {bars} b WHERE b.until <= $1::bigint
)
-- if forget
SELECT EXISTS (SELECT FROM old) AS more
-- else
SELECT (SELECT count(*) FROM old) >= $2::bigint AND EXISTS (SELECT FROM gone) AS more
-- end
