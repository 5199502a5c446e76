-- Writes decide what local.ts decides, in the same order. The shape is: item -> locked -> decided -> stored -> outcome, all
-- from the locked row. Another read of the same statement may be older than the lock (a statement reads as of its begin,
-- a lock waits and then gives the newest row), so everything that needs one (operations, bytes of trimmed messages) is
-- trusted only while the row has not moved since; else the outcome is "again". What several writers could insert at once
-- is decided by a unique key, never by a read.
--
-- $1 json: the item (batch: an array of items); $2 text[]: bodies; $3 int[]: to which item (n) each belongs; $4 int[]: its
-- place in the item, from 0.
-- Variants: batch = never waits for a lock; creates = an item may begin a conversation that has no row; operation = an item
-- has an operation id; discard = something may become invisible (put, restore, trim, new life after expiry).

-- name: write
WITH item AS MATERIALIZED (
-- if batch
  SELECT * FROM json_to_recordset($1::json)
-- else
  SELECT * FROM json_to_record($1::json)
-- end
  AS i(n int, id text, kind text, now bigint, writer text, counter bigint, retry boolean, scoped boolean, named text, owner_hash text,
    new_trace text, creates boolean, expected bigint, op text, digest text, count bigint, size bigint, patch text, patch_bytes int,
    set_hold boolean, set_ttl bigint, default_ttl bigint, keep bigint, on_conflict text, r_created bigint, r_updated bigint,
    r_expires bigint, r_first bigint)
),
body AS MATERIALIZED (
  SELECT b.body, b.n, b.at FROM unnest($2::text[], $3::int[], $4::int[]) AS b(body, n, at)
),
locked AS MATERIALIZED (
  SELECT i.n, l.* FROM item i CROSS JOIN LATERAL (
    SELECT c.ctid AS tid, c.owner, c.trace, c.epoch, c.version, c.created_at, c.updated_at, c.ttl, c.expires_at, c.removed_at, c.first_seq,
      c.next_seq, c.packed_to, c.bytes, c.metadata_bytes, c.operations, c.hold, c.writers_floor, c.writers, c.marks, c.metadata
    FROM {conversations} c WHERE c.conversation_id = i.id
-- if batch
    FOR NO KEY UPDATE SKIP LOCKED
-- else
    FOR NO KEY UPDATE
-- end
  ) l
),
decided AS MATERIALIZED (
  SELECT i.n, i.id, i.now, i.writer, i.op, i.digest, i.new_trace, l.tid, l.epoch, l.first_seq, l.packed_to, l.operations,
    a.visible,
    CASE
      WHEN e.outcome <> 'ok' THEN e.outcome
-- if discard
      -- the bytes of what is trimmed are a second read
      WHEN f.trims AND a.moved THEN 'again'
-- else
      WHEN l.tid IS NOT NULL AND l.removed_at IS NULL AND NOT a.visible THEN 'full'
-- end
      ELSE 'ok'
    END AS outcome,
    CASE e.outcome
      WHEN 'repeated' THEN l.marks[4 * a.w - 1]
      WHEN 'conflict' THEN CASE WHEN a.visible THEN l.version ELSE 0 END
-- if operation
      WHEN 'duplicate' THEN o.version
-- end
      WHEN 'skipped' THEN l.version
      ELSE b.version
    END AS version,
    CASE e.outcome
      WHEN 'repeated' THEN l.marks[4 * a.w] / 2
-- if operation
      WHEN 'duplicate' THEN o.count
-- end
      WHEN 'skipped' THEN l.next_seq - l.first_seq
      ELSE b.next_seq - f.first_seq
    END AS messages,
    CASE e.outcome
      WHEN 'repeated' THEN l.marks[4 * a.w] % 2 = 1
-- if operation
      WHEN 'duplicate' THEN o.created
-- end
      WHEN 'skipped' THEN false
      ELSE NOT a.visible
    END AS created,
    b.new_life, b.epoch AS new_epoch, b.seq, b.next_seq AS new_next, f.first_seq AS new_first, f.first_seq - c.kept_from AS trimmed,
    CASE WHEN b.new_life OR i.kind = 'put' THEN f.first_seq ELSE greatest(l.packed_to, f.first_seq) END AS new_packed_to,
    CASE WHEN a.visible AND l.owner IS NOT NULL THEN l.owner ELSE i.named END AS new_owner,
    CASE WHEN i.new_trace IS NULL AND NOT b.new_life THEN l.trace ELSE i.new_trace END AS trace_after,
    CASE WHEN i.kind = 'restore' THEN i.r_created WHEN a.visible THEN l.created_at ELSE i.now END AS new_created_at,
    CASE WHEN i.kind = 'restore' THEN i.r_updated WHEN a.visible THEN greatest(l.updated_at, i.now) ELSE i.now END AS new_updated_at,
    c.ttl AS new_ttl,
    CASE WHEN c.hold THEN NULL WHEN i.kind = 'restore' THEN i.r_expires WHEN c.ttl > 0 THEN i.now + c.ttl END AS new_expires_at,
    c.hold AS new_hold, m.metadata AS new_metadata, m.size AS new_metadata_bytes,
    (CASE WHEN b.new_life THEN 0 ELSE l.operations END) + (i.op IS NOT NULL)::int AS new_operations,
    m.size
-- if discard
      + CASE WHEN f.first_seq > b.seq THEN coalesce((SELECT sum(octet_length(y.body)) FROM body y WHERE y.n = i.n AND b.seq + y.at >= f.first_seq), 0)
        ELSE i.size END
      + CASE WHEN b.new_life OR i.kind = 'put' THEN 0 ELSE l.bytes - l.metadata_bytes END
      - CASE WHEN f.trims THEN
          coalesce((SELECT sum(octet_length(y.body)) FROM {messages} y WHERE y.conversation_id = i.id AND y.epoch = l.epoch
            AND y.seq >= greatest(l.first_seq, l.packed_to) AND y.seq < f.below), 0)
          + coalesce((SELECT sum(octet_length(y.data)) FROM {segments} y WHERE y.conversation_id = i.id AND y.epoch = l.epoch
            AND y.first_seq < f.below AND y.next_seq > l.first_seq AND y.next_seq <= f.below), 0)
        ELSE 0 END
-- else
      + i.size + CASE WHEN b.new_life THEN 0 ELSE l.bytes - l.metadata_bytes END
-- end
      AS new_bytes,
    CASE WHEN a.drop_at = 1 AND a.w IS NULL THEN greatest(l.writers_floor, l.marks[2]) ELSE coalesce(l.writers_floor, 0) END AS new_floor,
    CASE
      WHEN l.tid IS NULL THEN ARRAY[i.writer]
      WHEN a.drop_at IS NULL THEN l.writers || i.writer
      ELSE l.writers[:a.drop_at - 1] || l.writers[a.drop_at + 1:] || i.writer
    END AS new_writers,
    CASE
      WHEN l.tid IS NULL THEN '{}'
      WHEN NOT b.new_life THEN
        CASE WHEN a.drop_at IS NULL THEN l.marks ELSE l.marks[:4 * (a.drop_at - 1)] || l.marks[4 * a.drop_at + 1:] END
      -- the receipts of others belonged to the life that has ended
      ELSE ARRAY(SELECT CASE (u.k - 1) % 4 WHEN 2 THEN -1 WHEN 3 THEN 0 ELSE u.mark END
        FROM unnest(l.marks) WITH ORDINALITY AS u(mark, k) WHERE (u.k - 1) / 4 + 1 IS DISTINCT FROM a.drop_at ORDER BY u.k)
    END || ARRAY[i.counter, i.now, b.version, 2 * (b.next_seq - f.first_seq) + (NOT a.visible)::int] AS new_marks
-- if discard
    , f.below,
    -- few and small leftovers go at once, if this statement can see them all
    NOT a.moved AND CASE WHEN b.new_life THEN l.next_seq - l.first_seq <= 256 AND l.bytes <= 4194304 ELSE f.below - l.first_seq <= 256 END AS at_once,
    CASE
      WHEN l.tid IS NULL OR l.removed_at IS NOT NULL THEN 'nothing'
      WHEN b.new_life THEN 'life'
      WHEN f.below > l.first_seq THEN 'messages'
      ELSE 'nothing'
    END AS leaves
-- end
  FROM item i
  LEFT JOIN locked l ON l.n = i.n
  LEFT JOIN LATERAL (SELECT c.ctid AS tid FROM {conversations} c WHERE c.conversation_id = i.id OFFSET 0) s ON true
  CROSS JOIN LATERAL (
    SELECT p.w, l.tid IS NOT NULL AND l.removed_at IS NULL AND (l.expires_at IS NULL OR l.expires_at > i.now) AS visible,
      l.tid IS DISTINCT FROM s.tid AS moved,
      CASE WHEN p.w IS NOT NULL THEN p.w WHEN cardinality(l.writers) >= 16 THEN 1 END AS drop_at
    FROM (SELECT array_position(l.writers, i.writer) AS w OFFSET 0) p OFFSET 0
  ) a
-- if operation
  LEFT JOIN LATERAL (
    SELECT o.digest, o.version, o.count, o.created FROM {operations} o
    WHERE o.conversation_id = i.id AND o.epoch = l.epoch AND o.hash = i.op AND o.n > l.operations - 64 OFFSET 0
  ) o ON true
-- end
  CROSS JOIN LATERAL (
    SELECT CASE
-- if batch
      -- locked by somebody else
      WHEN l.tid IS NULL AND s.tid IS NOT NULL THEN 'busy'
-- else
      -- deleted while this statement waited for it
      WHEN l.tid IS NULL AND s.tid IS NOT NULL THEN 'again'
-- end
-- if !creates
      WHEN l.tid IS NULL AND i.creates THEN 'busy'
-- end
      WHEN a.w IS NOT NULL AND l.marks[4 * a.w - 3] = i.counter THEN CASE WHEN l.marks[4 * a.w - 1] >= 0 THEN 'repeated' ELSE 'missing' END
      WHEN a.w IS NOT NULL AND l.marks[4 * a.w - 3] > i.counter THEN 'unknown'
      WHEN a.w IS NULL AND i.retry AND CASE WHEN l.tid IS NOT NULL THEN l.writers_floor
        ELSE coalesce((SELECT z.value::bigint FROM {settings} z WHERE z.name = 'forgotten_up_to'), 0) END >= i.now THEN 'unknown'
      WHEN i.owner_hash IS NOT NULL AND EXISTS (SELECT FROM {bars} z WHERE z.hash = i.owner_hash AND z.until > i.now) THEN 'erased'
      WHEN i.retry AND l.removed_at >= i.now THEN 'missing'
      WHEN NOT a.visible THEN CASE WHEN NOT i.creates THEN 'missing' WHEN i.expected <> 0 THEN 'conflict' ELSE 'ok' END
      WHEN CASE WHEN i.scoped THEN l.owner IS DISTINCT FROM i.named ELSE l.owner <> i.named END THEN 'forbidden'
-- if operation
      WHEN o.digest IS NOT NULL THEN CASE WHEN o.digest = i.digest THEN 'duplicate' ELSE 'reused' END
      -- an operation noted since this statement began would have been the answer
      WHEN i.op IS NOT NULL AND a.moved AND (i.on_conflict IN ('skip', 'fail') OR (l.hold AND i.kind <> 'append') OR i.expected <> l.version) THEN 'again'
-- end
      WHEN i.on_conflict = 'fail' THEN 'conflict'
      WHEN i.on_conflict = 'skip' THEN 'skipped'
      WHEN l.hold AND i.kind <> 'append' THEN 'held'
      WHEN i.expected <> l.version THEN 'conflict'
      ELSE 'ok'
    END AS outcome OFFSET 0
  ) e
  CROSS JOIN LATERAL (
    SELECT p.*, p.seq + i.count AS next_seq FROM (
      SELECT NOT a.visible OR i.kind = 'restore' AS new_life,
        greatest(coalesce(l.version, 0) + 1, i.now) AS version,
        CASE WHEN a.visible AND i.kind <> 'restore' THEN l.epoch ELSE greatest(coalesce(l.epoch, 0) + 1, i.now) END AS epoch,
        CASE WHEN i.kind = 'restore' THEN i.r_first WHEN a.visible THEN l.next_seq ELSE 1 END AS seq OFFSET 0
    ) p OFFSET 0
  ) b
  CROSS JOIN LATERAL (
    SELECT coalesce(i.set_hold, NOT b.new_life AND l.hold) AS hold,
      CASE
        WHEN i.kind = 'restore' THEN CASE WHEN i.r_expires IS NOT NULL THEN greatest(1, i.r_expires - i.r_updated) END
        WHEN i.set_ttl IS NOT NULL THEN i.set_ttl
        WHEN b.new_life OR l.ttl IS NULL THEN i.default_ttl
        ELSE l.ttl
      END AS ttl,
      CASE WHEN b.new_life OR i.kind = 'put' THEN b.seq ELSE l.first_seq END AS kept_from OFFSET 0
  ) c
  CROSS JOIN LATERAL (
    SELECT q.first_seq, a.visible AND NOT b.new_life AND i.kind = 'append' AND q.first_seq > l.first_seq AS trims,
      CASE WHEN i.kind = 'put' THEN l.next_seq ELSE least(q.first_seq, l.next_seq) END AS below
    FROM (
      SELECT CASE WHEN c.hold OR i.kind = 'restore' OR i.keep IS NULL THEN c.kept_from
        ELSE greatest(c.kept_from, b.next_seq - i.keep) END AS first_seq OFFSET 0
    ) q OFFSET 0
  ) f
  CROSS JOIN LATERAL (
    SELECT p.metadata,
      CASE
        WHEN i.patch IS NULL THEN CASE WHEN a.visible AND i.kind <> 'restore' THEN l.metadata_bytes ELSE 2 END
        WHEN NOT (a.visible AND i.kind = 'append') OR l.metadata = '{}' THEN i.patch_bytes
        WHEN p.metadata = l.metadata THEN l.metadata_bytes
        -- as JSON.stringify would write it: without the blanks outside of strings, and without our escapes (escape.ts)
        ELSE octet_length(regexp_replace(p.metadata::text, '("(?:[^"\\]|\\.)*")|\s', '\1', 'g'))
          - (octet_length(replace(p.metadata::text, '\\', '')) - octet_length(replace(replace(p.metadata::text, '\\', ''), '\u001a', ''))) / 6 * 4
      END AS size
    FROM (
      SELECT CASE
        WHEN i.patch IS NULL THEN CASE WHEN a.visible AND i.kind <> 'restore' THEN l.metadata ELSE '{}' END
        WHEN a.visible AND i.kind = 'append' THEN l.metadata || i.patch::jsonb
        ELSE i.patch::jsonb
      END AS metadata OFFSET 0
    ) p OFFSET 0
  ) m
),
-- if creates
inserted AS (
  INSERT INTO {conversations} (conversation_id, owner, trace, epoch, version, created_at, updated_at, ttl, expires_at, first_seq, next_seq,
    packed_to, bytes, metadata_bytes, operations, hold, writers_floor, writers, marks, metadata)
  SELECT id, new_owner, trace_after, new_epoch, version, new_created_at, new_updated_at, new_ttl, new_expires_at, new_first, new_next,
    new_packed_to, new_bytes, new_metadata_bytes, new_operations, new_hold, new_floor, new_writers, new_marks, new_metadata
  FROM decided WHERE outcome = 'ok' AND tid IS NULL
  ON CONFLICT (conversation_id) DO NOTHING
  RETURNING conversation_id
),
-- end
-- if operation
noted AS (
  INSERT INTO {operations} AS o (conversation_id, epoch, hash, n, digest, version, count, created)
  SELECT d.id, d.new_epoch, d.op, d.new_operations, d.digest, d.version, d.messages, d.created FROM decided d
  WHERE d.outcome = 'ok' AND d.op IS NOT NULL
-- if creates
    AND (d.tid IS NOT NULL OR EXISTS (SELECT FROM inserted))
-- end
  -- one that is there and not too old was noted since this statement began: the write is not applied
  ON CONFLICT (conversation_id, epoch, hash) DO UPDATE
    SET n = excluded.n, digest = excluded.digest, version = excluded.version, count = excluded.count, created = excluded.created
    WHERE o.n <= excluded.n - 65
  RETURNING o.conversation_id
),
-- end
updated AS (
  UPDATE {conversations} AS c SET owner = d.new_owner, trace = d.trace_after, epoch = d.new_epoch, version = d.version,
    created_at = d.new_created_at, updated_at = d.new_updated_at, ttl = d.new_ttl, expires_at = d.new_expires_at, removed_at = NULL,
    first_seq = d.new_first, next_seq = d.new_next, packed_to = d.new_packed_to, bytes = d.new_bytes,
    metadata_bytes = d.new_metadata_bytes, operations = d.new_operations, hold = d.new_hold, writers_floor = d.new_floor,
    writers = d.new_writers, marks = d.new_marks, metadata = d.new_metadata
  FROM decided d WHERE c.conversation_id = d.id AND d.outcome = 'ok' AND d.tid IS NOT NULL
-- if operation
    AND (d.op IS NULL OR EXISTS (SELECT FROM noted WHERE noted.conversation_id = d.id))
-- end
  RETURNING c.conversation_id
),
stored AS MATERIALIZED (
  SELECT conversation_id FROM updated
-- if creates
  UNION ALL SELECT conversation_id FROM inserted
-- end
),
done AS MATERIALIZED (
  SELECT d.* FROM stored JOIN decided d ON d.id = stored.conversation_id
),
-- if operation
forgot AS (
  -- all at once, every 64th time: one range delete instead of one on every write
  DELETE FROM {operations} o USING done d WHERE o.conversation_id = d.id AND o.epoch = d.new_epoch AND o.n <= d.new_operations - 64
    AND d.op IS NOT NULL AND d.new_operations % 64 = 0
),
-- end
-- if discard
dropped_messages AS (
  DELETE FROM {messages} y USING done d WHERE y.conversation_id = d.id AND y.epoch = d.epoch AND y.seq >= d.first_seq
    AND y.seq < CASE WHEN d.leaves = 'life' THEN 9223372036854775807 ELSE d.below END AND d.leaves <> 'nothing' AND d.at_once
),
dropped_segments AS (
  DELETE FROM {segments} y USING done d WHERE y.conversation_id = d.id AND y.epoch = d.epoch AND y.next_seq > d.first_seq
    AND y.next_seq <= CASE WHEN d.leaves = 'life' THEN 9223372036854775807 ELSE d.below END AND d.leaves <> 'nothing' AND d.at_once
),
dropped_operations AS (
  DELETE FROM {operations} o USING done d WHERE o.conversation_id = d.id AND o.epoch = d.epoch AND d.leaves = 'life' AND d.at_once
),
left_over AS (
  INSERT INTO {leftovers} AS y (conversation_id, epoch, below)
  SELECT d.id, d.epoch, CASE WHEN d.leaves = 'life' THEN 9223372036854775807 ELSE d.below END
  FROM done d WHERE d.leaves <> 'nothing' AND NOT d.at_once
  ON CONFLICT (conversation_id, epoch) DO UPDATE SET below = greatest(y.below, excluded.below)
),
-- end
written AS (
  INSERT INTO {messages} (conversation_id, epoch, seq, body)
  SELECT d.id, d.new_epoch, d.seq + b.at, b.body FROM done d JOIN body b ON b.n = d.n WHERE d.seq + b.at >= d.new_first
)
SELECT d.n, CASE WHEN d.outcome = 'ok' AND done.n IS NULL THEN 'again' ELSE d.outcome END AS outcome, d.version, d.messages, d.created,
  d.new_epoch AS epoch, d.new_first AS first, d.new_next AS next, d.new_packed_to AS packed, d.trimmed
FROM decided d LEFT JOIN done ON done.n = d.n
