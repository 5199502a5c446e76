-- The settings of a store: made once, then read.
-- KEYS: 1 settings
-- ARGV: 1 a secret for a store that has none, 2 number of buckets, 3 version of the format
-- Reply: { secret, buckets, format } as they are stored
redis.call('HSETNX', KEYS[1], 'key', ARGV[1])
redis.call('HSETNX', KEYS[1], 'buckets', ARGV[2])
redis.call('HSETNX', KEYS[1], 'format', ARGV[3])
return redis.call('HMGET', KEYS[1], 'key', 'buckets', 'format')
