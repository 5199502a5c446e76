-- name: ping
-- $1 the store's tables, for their size: a partitioned one has none itself, and one without partitions has no tree
SELECT current_setting('server_version') AS version, current_setting('synchronous_commit') AS commit, current_setting('fsync') AS fsync,
  current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby,
  (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now,
  (SELECT coalesce(sum(coalesce((SELECT sum(pg_total_relation_size(p.relid)) FROM pg_partition_tree(to_regclass(t)) p), pg_total_relation_size(to_regclass(t)))), 0)
    FROM unnest($1::text[]) t) AS size

-- name: bar
-- {hash} and {until} are literals: several statements in one trip take no parameters. A write takes its lock on the table
-- before the snapshot it reads bars with, so whoever holds no lock when the bar is committed will see it; the others are
-- waited for, up to {wait} milliseconds.
BEGIN;
INSERT INTO {bars} AS b (hash, until) VALUES ({hash}, {until})
ON CONFLICT (hash) DO UPDATE SET until = CASE excluded.until WHEN 0 THEN 0 ELSE greatest(b.until, excluded.until) END;
COMMIT;
DO $jaf$
DECLARE
  waiting text[] := ARRAY(SELECT l.virtualtransaction FROM pg_locks l WHERE l.relation = {table}::regclass AND l.mode = 'RowExclusiveLock'
    AND l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND l.pid IS DISTINCT FROM pg_backend_pid());
  until timestamptz := clock_timestamp() + {wait} * interval '1 millisecond';
BEGIN
  WHILE EXISTS (SELECT FROM pg_locks l WHERE l.relation = {table}::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
      AND l.virtualtransaction = ANY (waiting)) LOOP
    IF clock_timestamp() > until THEN
      RAISE EXCEPTION 'writes under way did not end' USING ERRCODE = 'lock_not_available';
    END IF;
    PERFORM pg_sleep(0.002);
  END LOOP;
END
$jaf$;

-- name: barBorrowed
INSERT INTO {bars} AS b (hash, until) VALUES ($1::text, $2::bigint)
ON CONFLICT (hash) DO UPDATE SET until = CASE excluded.until WHEN 0 THEN 0 ELSE greatest(b.until, excluded.until) END
