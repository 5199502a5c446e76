-- Tries every command the scripts use on a key of its own, which is gone afterwards.
-- KEYS: 1 none of a bucket
-- Reply: for each command that failed its name and the error, one after the other
local failed = {}
local key = KEYS[1]
local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err then
    failed[#failed + 1] = string.lower(command)
    failed[#failed + 1] = reply.err
  end
end
try('UNLINK', key)
try('HSETNX', key, 'h', '1')
try('HSET', key, 'h', '1')
try('HGET', key, 'h')
try('HMGET', key, 'h')
try('HGETALL', key)
try('HLEN', key)
try('HDEL', key, 'h')
try('RPUSH', key, '1')
try('LLEN', key)
try('LRANGE', key, 0, -1)
try('LTRIM', key, 1, 0)
try('ZADD', key, '1', '1')
try('ZCARD', key)
try('ZCOUNT', key, '-inf', '+inf')
try('ZSCORE', key, '1')
try('ZRANK', key, '1')
try('ZRANGE', key, 0, -1)
try('ZRANGEBYSCORE', key, '-inf', '+inf')
try('ZREVRANGEBYSCORE', key, '+inf', '-inf')
try('ZREMRANGEBYSCORE', key, '-inf', '-inf')
try('ZREM', key, '1')
try('SET', key, '1')
try('GET', key)
try('PEXPIRE', key, '1000')
try('PERSIST', key)
try('TIME')
try('UNLINK', key)
return failed
