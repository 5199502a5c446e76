-- A removal touches the header: it becomes a tombstone without owner and content. Bodies go at once when they are few and
-- this statement can see them all, else they are noted for a reap. $1 json: the item.

-- name: remove
WITH item AS MATERIALIZED (
  SELECT * FROM json_to_record($1::json) AS i(id text, now bigint, writer text, counter bigint, retry boolean, scoped boolean, named text, expected bigint)
),
locked AS MATERIALIZED (
  SELECT c.*, c.ctid AS tid FROM {conversations} c JOIN item i ON c.conversation_id = i.id FOR NO KEY UPDATE OF c
),
decided AS MATERIALIZED (
  SELECT i.*, l.tid, l.epoch, l.version, l.first_seq, l.next_seq, l.operations, l.writers_floor, l.writers, l.marks, a.w, a.drop_at,
    NOT a.moved AND l.next_seq - l.first_seq <= 256 AND l.bytes <= 4194304 AS at_once,
    CASE
      -- deleted while this statement waited for it
      WHEN l.tid IS NULL AND s.tid IS NOT NULL THEN 'busy'
      WHEN a.w IS NOT NULL AND l.marks[4 * a.w - 3] = i.counter THEN 'repeated'
      WHEN a.w IS NOT NULL AND l.marks[4 * a.w - 3] > i.counter THEN 'unknown'
      WHEN a.w IS NULL AND i.retry AND CASE WHEN l.tid IS NOT NULL THEN l.writers_floor
        ELSE coalesce((SELECT z.value::bigint FROM {settings} z WHERE z.name = 'forgotten_up_to'), 0) END >= i.now THEN 'unknown'
      WHEN l.tid IS NULL OR l.removed_at IS NOT NULL OR l.expires_at <= i.now THEN 'missing'
      WHEN i.scoped AND l.owner IS DISTINCT FROM i.named THEN 'forbidden'
      WHEN l.hold THEN 'held'
      WHEN i.expected <> l.version THEN 'conflict'
      ELSE 'removed'
    END AS outcome
  FROM item i
  LEFT JOIN locked l ON true
  LEFT JOIN LATERAL (SELECT c.ctid AS tid FROM {conversations} c WHERE c.conversation_id = i.id OFFSET 0) s ON true
  CROSS JOIN LATERAL (
    SELECT p.w, l.tid IS DISTINCT FROM s.tid AS moved, CASE WHEN p.w IS NOT NULL THEN p.w WHEN cardinality(l.writers) >= 16 THEN 1 END AS drop_at
    FROM (SELECT array_position(l.writers, i.writer) AS w OFFSET 0) p OFFSET 0
  ) a
),
buried AS (
  UPDATE {conversations} AS c SET owner = NULL, trace = NULL, ttl = NULL, expires_at = NULL, removed_at = d.now, first_seq = d.next_seq,
    packed_to = d.next_seq, bytes = 0, metadata_bytes = 2, operations = 0, hold = false, metadata = '{}',
    writers_floor = CASE WHEN d.drop_at = 1 AND d.w IS NULL THEN greatest(d.writers_floor, d.marks[2]) ELSE d.writers_floor END,
    writers = CASE WHEN d.drop_at IS NULL THEN d.writers || d.writer ELSE d.writers[:d.drop_at - 1] || d.writers[d.drop_at + 1:] || d.writer END,
    marks = ARRAY(SELECT CASE (u.k - 1) % 4 WHEN 2 THEN -1 WHEN 3 THEN 0 ELSE u.mark END
      FROM unnest(d.marks) WITH ORDINALITY AS u(mark, k) WHERE (u.k - 1) / 4 + 1 IS DISTINCT FROM d.drop_at ORDER BY u.k)
      || ARRAY[d.counter, d.now, -1, 0]
  FROM decided d WHERE c.conversation_id = d.id AND d.outcome = 'removed'
  RETURNING c.conversation_id
),
done AS MATERIALIZED (
  SELECT d.* FROM buried JOIN decided d ON d.id = buried.conversation_id
),
dropped_messages AS (
  DELETE FROM {messages} y USING done d WHERE y.conversation_id = d.id AND y.epoch = d.epoch AND y.seq >= d.first_seq AND d.at_once
),
dropped_segments AS (
  DELETE FROM {segments} y USING done d WHERE y.conversation_id = d.id AND y.epoch = d.epoch AND y.next_seq > d.first_seq AND d.at_once
),
dropped_operations AS (
  DELETE FROM {operations} o USING done d WHERE o.conversation_id = d.id AND o.epoch = d.epoch AND d.at_once
),
left_over AS (
  INSERT INTO {leftovers} AS y (conversation_id, epoch, below)
  SELECT d.id, d.epoch, 9223372036854775807 FROM done d WHERE NOT d.at_once
  ON CONFLICT (conversation_id, epoch) DO UPDATE SET below = excluded.below
)
SELECT CASE d.outcome WHEN 'repeated' THEN 'removed' ELSE d.outcome END AS outcome, d.version FROM decided d
