-- All times are integers, milliseconds since 1970. Ids are compared as their UTF-8 bytes (BINARY, the default collation).

CREATE TABLE jaf_settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for every conversation and tombstone. The long columns come last: a walk that needs only the others never
-- touches their overflow pages.
CREATE TABLE conversations (
  key INTEGER PRIMARY KEY CHECK (key < 2147483648), -- the upper half of a body's id
  id TEXT NOT NULL UNIQUE,
  owner TEXT,
  trace TEXT,
  epoch INTEGER NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ttl INTEGER,                    -- NULL = never set, 0 = cleared
  expires_at INTEGER,
  hold INTEGER NOT NULL,
  first INTEGER NOT NULL,         -- sequence of the first visible message
  next INTEGER NOT NULL,          -- sequence the next message gets
  packed_to INTEGER NOT NULL,     -- messages before it are in segments
  bytes INTEGER NOT NULL,
  base INTEGER NOT NULL,          -- sequence - base = position of a body
  operations INTEGER NOT NULL,    -- caller operations noted in this life
  removed_at INTEGER,             -- set on a tombstone
  writers_floor INTEGER NOT NULL,
  writers TEXT NOT NULL,          -- JSON: [[id, counter, time, version?, messageCount?, created?], ...], oldest first
  metadata TEXT NOT NULL          -- JSON text of an object
) STRICT;

CREATE INDEX conversations_updated ON conversations (updated_at, id) WHERE removed_at IS NULL;
CREATE INDEX conversations_created ON conversations (created_at, id) WHERE removed_at IS NULL;
CREATE INDEX conversations_owner_updated ON conversations (owner, updated_at, id) WHERE owner IS NOT NULL AND removed_at IS NULL;
CREATE INDEX conversations_owner_created ON conversations (owner, created_at, id) WHERE owner IS NOT NULL AND removed_at IS NULL;
CREATE INDEX conversations_expires ON conversations (expires_at) WHERE expires_at IS NOT NULL AND removed_at IS NULL;
CREATE INDEX conversations_removed ON conversations (removed_at) WHERE removed_at IS NOT NULL;

-- id = conversation << 32 | position. Positions count all bodies a row of conversations ever had: a new life goes on
-- behind the last one, so that what is left of the old one never stands in its way.
-- A row holds bodies of one write from the position in id to before next, a line each: half the rows and index entries of
-- one row for each body (measured: CPU of a turn beside 63 other conversations 26 against 32 us). No row reaches over the
-- first visible or the first unpacked body: it is cut in two before.
-- Rows stand in the order they were written, with an index of their ids. With id as PRIMARY KEY an append at the end of the
-- table is a fifth cheaper, and any other a quarter dearer: every fifth body of 400 bytes splits a page.
CREATE TABLE messages (
  id INTEGER NOT NULL UNIQUE,
  next INTEGER NOT NULL,
  bodies TEXT NOT NULL
) STRICT;

-- Messages up to the position next in one compressed piece; id as above, of the first of them.
CREATE TABLE segments (
  id INTEGER PRIMARY KEY,
  next INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;

-- Operation ids of the current life; n is the value of conversations.operations after it. Only the newest 64 count.
CREATE TABLE operations (
  conversation INTEGER NOT NULL,
  hash TEXT NOT NULL,
  n INTEGER NOT NULL,
  digest TEXT NOT NULL,
  version INTEGER NOT NULL,
  count INTEGER NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (conversation, hash)
) STRICT, WITHOUT ROWID;

-- Bodies below a position that nobody can see any more: what a reap has to look at, and nothing else.
CREATE TABLE leftovers (
  conversation INTEGER PRIMARY KEY,
  below INTEGER NOT NULL
) STRICT;

-- Keyed hashes of erased users.
CREATE TABLE bars (
  hash TEXT PRIMARY KEY,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
