-- Reads a key that an earlier implementation may have written.
-- KEYS: 1 the key
-- Reply: { type } or, of a string, { type, value, milliseconds it has left (-1: it stays) }
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'string' then return { kind } end
return { kind, redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]) }
