-- Removes a key of an earlier implementation if it still holds what was read.
-- KEYS: 1 the key
-- ARGV: 1 SHA-1 of the value that was read
-- Reply: 1 removed, 0 it holds something else by now, 2 it is gone
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 2 end
if kind ~= 'string' or redis.sha1hex(redis.call('GET', KEYS[1])) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return 1
