-- Keys and indexes of a bucket. `tag` is what all its keys begin with, e.g. {jaf:memory:#0}. Sorted sets, members are
-- conversation ids:
--   u, U:<user>  by last write, of all and of one user          r, R:<user>  by creation
--   e            by expiry; members are id NUL owner: the owner is known when the header has expired natively
--   E:<user>     by expiry                                      d            tombstones by time of removal
--   Times in e and E: are at or before the expiry in the header: an append that moves it on leaves them, a sweep corrects them.
--   l            conversations with bodies or segments below first, for a reap
-- Others: x = bars by their end (members are owner hashes), f = latest time something was removed without a tombstone,
-- none = never there.

local function num(value)
  return string.format('%.0f', value)
end

local function expiryMember(id, owner)
  return id .. '\0' .. (owner or '')
end

-- Fails when a key has another type, or the user may not write it, before anything is changed.
local function guardScores(key)
  redis.call('ZADD', key, 'XX', '0', '')
end

local function keepFor(milliseconds, ...)
  for _, key in ipairs({ ... }) do redis.call('PEXPIRE', key, num(milliseconds)) end
end

-- A conversation may be expired natively: with a day of grace, and never before its tombstone would be due.
local function nativeLife(expires, now)
  return BACKSTOP + math.max(TOMBSTONE, expires - now)
end

local function serverTime()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A sweep has met an entry that is behind the header.
local function correctExpiry(tag, id, h)
  redis.call('ZADD', tag .. 'e', num(h.expires), expiryMember(id, h.owner))
  if h.owner then redis.call('ZADD', tag .. 'E:' .. h.owner, num(h.expires), id) end
end

-- Takes a conversation out of the indexes of the living.
local function unindex(tag, id, h)
  redis.call('ZREM', tag .. 'u', id)
  redis.call('ZREM', tag .. 'r', id)
  if h.expires then redis.call('ZREM', tag .. 'e', expiryMember(id, h.owner)) end
  if h.owner then
    redis.call('ZREM', tag .. 'U:' .. h.owner, id)
    redis.call('ZREM', tag .. 'R:' .. h.owner, id)
    if h.expires then redis.call('ZREM', tag .. 'E:' .. h.owner, id) end
  end
end
