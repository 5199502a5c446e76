-- include: lib-layout lib-index lib-header lib-window
-- One conversation and the part of it a window asks for.
-- KEYS: c m0 m1 s n of the conversation
-- ARGV: 1 now, 2 kind of window, 3 its count or sequence, 4 before ('' = none), 5 limit
-- Reply: false, or the view of lib-window.lua
local fields = redis.call('HMGET', KEYS[1], 'h', 'o', 't', 'd')
if not fields[1] then return false end
local h = parse(fields[1])
if not visible(h, tonumber(ARGV[1])) then return false end
local keys = { m0 = KEYS[2], m1 = KEYS[3], s = KEYS[4], n = KEYS[5] }
return (view(fields, h, keys, ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])))
