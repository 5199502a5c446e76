-- include: lib-layout lib-index lib-header
-- One batch of a bucket's leftovers: bodies and segments below `first`, then tombstones and bars that are over.
-- KEYS: d x l none of the bucket. Keys of the conversations are made of the tag: they share the slot.
-- ARGV: 1 tag, 2 now, 3 conversations at most, 4 bodies and segments at most, 5 '1' = tombstones of any age (erasure)
-- Reply: { messages, bytes, more }
local tag, now, limit, budget = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local both = math.min(now, serverTime())
local forget = ARGV[5] == '1'
local floor = tonumber(redis.call('GET', tag .. 'f') or '0')
-- types and rights, before the first change
redis.call('UNLINK', KEYS[4])
redis.call('ZREM', KEYS[1], '')
redis.call('ZREM', KEYS[3], '')
redis.call('HDEL', KEYS[4], 'h')
redis.call('LTRIM', KEYS[4], '0', '-1')
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', num(both))
local messages, bytes = 0, 0
local due = redis.call('ZRANGE', KEYS[3], 0, limit - 1)
local more = #due >= limit
for _, id in ipairs(due) do
  if budget <= 0 then
    more = true
    break
  end
  local key = tag .. 'c:' .. id
  local h = load(key)
  local whole = true
  if h and not h.removed then
    local list, directory, segments = tag .. 'm' .. h.list .. ':' .. id, tag .. 'n:' .. id, tag .. 's:' .. id
    local drop = math.min(math.max(h.first, h.packed) - h.base, redis.call('LLEN', list))
    if drop > budget then
      drop = budget
      whole = false
    end
    local going = {}
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', directory, '-inf', '(' .. num(h.first), 'LIMIT', 0, math.max(0, budget - drop))) do
      local from, to, size = string.match(member, '^(%d+) (%d+) (%d+)')
      if tonumber(to) <= h.first then going[#going + 1] = { from, member, tonumber(size) } end
    end
    if #going >= budget - drop and #going > 0 then whole = false end
    redis.call('HLEN', segments)
    if drop > 0 then
      for _, body in ipairs(redis.call('LRANGE', list, '0', num(drop - 1))) do bytes = bytes + #body end
      h.base = h.base + drop
      redis.call('HSET', key, 'h', format(h))
      redis.call('LTRIM', list, num(drop), '-1')
      messages = messages + drop
      budget = budget - drop
    end
    for _, one in ipairs(going) do
      redis.call('HDEL', segments, one[1])
      redis.call('ZREM', directory, one[2])
      bytes = bytes + one[3]
      budget = budget - 1
    end
  end
  if whole then redis.call('ZREM', KEYS[3], id) else more = true end
end
local tombstones = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', forget and '+inf' or num(both - TOMBSTONE), 'LIMIT', 0, limit)
if forget and #tombstones > 0 then
  local upTo = math.max(now, tonumber(redis.call('ZSCORE', KEYS[1], tombstones[#tombstones])))
  if upTo > floor then redis.call('SET', tag .. 'f', num(upTo)) end
end
for _, id in ipairs(tombstones) do
  local h = load(tag .. 'c:' .. id)
  if not h or h.removed then redis.call('UNLINK', tag .. 'c:' .. id) end
  redis.call('ZREM', KEYS[1], id)
end
if #tombstones >= limit then more = true end
return { messages, num(bytes), more and 1 or 0 }
