-- Whether a key may hold a conversation of an earlier implementation: a text that begins with a brace.
-- KEYS: 1 the key
-- Reply: 1 or 0
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return 0 end
return redis.call('GETRANGE', KEYS[1], 0, 0) == '{' and 1 or 0
