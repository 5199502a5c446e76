-- include: lib-layout lib-index lib-header
-- Swaps a run of old bodies for a segment.
-- KEYS: c m0 m1 s n of the conversation, l and none of the bucket
-- ARGV: 1 now, 2 epoch, 3 from, 4 to, 5 data, 6 id
-- Reply: 1, or 0 when the conversation is not where the caller saw it
local now, epoch, from, to = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local h = load(KEYS[1])
if not visible(h, now) or h.epoch ~= epoch or h.packed ~= from or h.first > from or h.next < to then return 0 end
local list = KEYS[h.list == '0' and 2 or 3]
local bodies = redis.call('LRANGE', list, num(from - h.base), num(to - 1 - h.base))
if #bodies ~= to - from then error('JAFCORRUPT bodies of a conversation are missing') end
-- with the others: appends do not renew them each time
local life = h.expires and math.max(1, h.native - serverTime())
-- types and rights, before the first change
redis.call('PEXPIRE', KEYS[7], '1')
redis.call('LTRIM', KEYS[7], '0', '-1')
redis.call('UNLINK', KEYS[7])
redis.call('HLEN', KEYS[4])
guardScores(KEYS[5])
for _, body in ipairs(bodies) do h.bytes = h.bytes - #body end
h.bytes = h.bytes + #ARGV[5]
local base = h.base
h.base, h.packed = to, to
-- a segment beyond `packed` is not read, and a list that begins before `base` would be: the header stands between
redis.call('HSET', KEYS[4], num(from), ARGV[5])
redis.call('ZADD', KEYS[5], num(from), num(from) .. ' ' .. num(to) .. ' ' .. #ARGV[5])
redis.call('HSET', KEYS[1], 'h', format(h))
if to == h.next then redis.call('UNLINK', list) else redis.call('LTRIM', list, num(to - base), '-1') end
if life then keepFor(life, KEYS[4], KEYS[5]) end
return 1
