-- Walking a sorted set by (score, member), members as bytes.

-- Whether a <= b as bytes: Lua's own comparison follows the locale of the server.
local function atMost(a, b)
  local length = math.min(#a, #b)
  for i = 1, length do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a <= #b
end

-- How many members stand before the place (at, id), and how many before or at it. An empty id stands before all of its time.
local function rankOf(key, at, id)
  local below = redis.call('ZCOUNT', key, '-inf', '(' .. at)
  if id == '' then return below, below end
  local score = redis.call('ZSCORE', key, id)
  if score and tonumber(score) == tonumber(at) then
    local rank = redis.call('ZRANK', key, id)
    return rank, rank + 1
  end
  local low, high = below, below + redis.call('ZCOUNT', key, at, at)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if atMost(redis.call('ZRANGE', key, middle, middle)[1], id) then low = middle + 1 else high = middle end
  end
  return low, low
end

-- Up to `count` (member, score) pairs behind the first `rank`, or, descending, before it.
local function walk(key, rank, count, descending)
  if not descending then return redis.call('ZRANGE', key, rank, rank + count - 1, 'WITHSCORES') end
  if rank <= 0 then return {} end
  local pairs_ = redis.call('ZRANGE', key, math.max(0, rank - count), rank - 1, 'WITHSCORES')
  local turned = {}
  for i = #pairs_ - 1, 1, -2 do
    turned[#turned + 1] = pairs_[i]
    turned[#turned + 1] = pairs_[i + 1]
  end
  return turned
end
