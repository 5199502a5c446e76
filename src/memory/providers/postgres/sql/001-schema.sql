-- The layout `rows`. All times are milliseconds since 1970. The conversation's id leads every key and is compared as UTF-8
-- bytes, so that hash partitioning or a distributing extension needs no other schema.

CREATE TABLE {settings} (
  name text COLLATE "C" PRIMARY KEY,
  value text NOT NULL
);

-- One row for every conversation and every tombstone.
-- partitions: conversations
CREATE TABLE {conversations} (
  conversation_id text COLLATE "C" PRIMARY KEY,
  owner text COLLATE "C",
  trace text COLLATE "C",
  epoch bigint NOT NULL,           -- a life of the conversation: bodies are keyed by it
  version bigint NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  ttl bigint,                      -- milliseconds; NULL = never set, 0 = cleared
  expires_at bigint,
  removed_at bigint,               -- set on a tombstone
  first_seq bigint NOT NULL,       -- of the first visible message
  next_seq bigint NOT NULL,        -- what the next message gets
  packed_to bigint NOT NULL,       -- messages before it are in segments
  bytes bigint NOT NULL,           -- visible bodies, segments that hold some, metadata
  metadata_bytes integer NOT NULL, -- the part of the metadata: its JSON text as it was given
  operations bigint NOT NULL,      -- caller operations noted in this life
  hold boolean NOT NULL,
  writers_floor bigint NOT NULL,   -- latest time among the writers that no longer fit
  writers text[] NOT NULL,         -- the newest 16, oldest first
  marks bigint[] NOT NULL,         -- four for each writer: counter, time, version (-1 = no receipt), 2 * messages + created
  metadata jsonb NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX {:updated} ON {conversations} (updated_at, conversation_id) WHERE removed_at IS NULL;
CREATE INDEX {:created} ON {conversations} (created_at, conversation_id) WHERE removed_at IS NULL;
CREATE INDEX {:owner_updated} ON {conversations} (owner, updated_at, conversation_id) WHERE owner IS NOT NULL AND removed_at IS NULL;
CREATE INDEX {:owner_created} ON {conversations} (owner, created_at, conversation_id) WHERE owner IS NOT NULL AND removed_at IS NULL;
CREATE INDEX {:expires} ON {conversations} (expires_at) WHERE expires_at IS NOT NULL AND removed_at IS NULL;
CREATE INDEX {:removed} ON {conversations} (removed_at) WHERE removed_at IS NOT NULL;

-- partitions: messages
CREATE TABLE {messages} (
  conversation_id text COLLATE "C" NOT NULL,
  epoch bigint NOT NULL,
  seq bigint NOT NULL,
  body text COLLATE "C" NOT NULL,
  PRIMARY KEY (conversation_id, epoch, seq)
);

-- Messages [first_seq, next_seq) in one text, which TOAST compresses.
-- partitions: segments
CREATE TABLE {segments} (
  conversation_id text COLLATE "C" NOT NULL,
  epoch bigint NOT NULL,
  first_seq bigint NOT NULL,
  next_seq bigint NOT NULL,
  data text COLLATE "C" NOT NULL,
  PRIMARY KEY (conversation_id, epoch, first_seq)
);

-- Operation ids of a life; n is the value of operations after it. Only the newest 64 count.
-- partitions: operations
CREATE TABLE {operations} (
  conversation_id text COLLATE "C" NOT NULL,
  epoch bigint NOT NULL,
  hash text COLLATE "C" NOT NULL,
  n bigint NOT NULL,
  digest text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  count bigint NOT NULL,
  created boolean NOT NULL,
  PRIMARY KEY (conversation_id, epoch, hash)
);

-- What of an epoch nobody can see any more: messages below a sequence, or (the greatest bigint) all of it.
-- partitions: leftovers
CREATE TABLE {leftovers} (
  conversation_id text COLLATE "C" NOT NULL,
  epoch bigint NOT NULL,
  below bigint NOT NULL,
  PRIMARY KEY (conversation_id, epoch)
);

-- Keyed hashes of erased users.
CREATE TABLE {bars} (
  hash text COLLATE "C" PRIMARY KEY,
  until bigint NOT NULL
);

-- Conversations as one row each, in the columns of the older table, for people and reports: read by conversation_id. What
-- jsonb cannot hold is shown escaped. A segment has a first line and then a line for each body (segment.ts); 8 characters
-- before the JSON of a body are its checksum (codec.ts). Of removed_at see append.sql.
CREATE VIEW {documents} AS
SELECT c.conversation_id, c.owner AS user_id,
  (
    SELECT coalesce(json_agg(m.body ORDER BY m.seq), '[]') FROM (
      SELECT s.first_seq + e.at - 2 AS seq, substr(e.body, 9)::json AS body
      FROM {segments} s CROSS JOIN LATERAL unnest(string_to_array(s.data, E'\n')) WITH ORDINALITY AS e(body, at)
      WHERE s.conversation_id = c.conversation_id AND s.epoch = c.epoch AND s.first_seq < c.packed_to AND s.next_seq > c.first_seq
        AND e.at > 1 AND s.first_seq + e.at - 2 >= c.first_seq
      UNION ALL
      SELECT y.seq, substr(y.body, 9)::json FROM {messages} y
      WHERE y.conversation_id = c.conversation_id AND y.epoch = c.epoch AND y.seq >= greatest(c.first_seq, c.packed_to) AND y.seq < c.next_seq
    ) m
  ) AS messages,
  c.metadata, to_timestamp(c.created_at / 1000.0) AS created_at, to_timestamp(c.updated_at / 1000.0) AS updated_at
FROM {conversations} c
WHERE coalesce(c.removed_at, -1) < 0 AND (c.expires_at IS NULL OR c.expires_at > extract(epoch FROM statement_timestamp()) * 1000);

-- A view reads with the rights of its owner, past the row security of who asks, unless the server is 15 or newer and told.
DO 'BEGIN
  IF current_setting(''server_version_num'')::int >= 150000 THEN ALTER VIEW {documents} SET (security_invoker = true); END IF;
END';
