-- include: lib-layout lib-index lib-header lib-window lib-walk
-- One page of a walk over the visible conversations of a bucket.
-- KEYS: 1 the index (u, r, U:<user> or R:<user>). Keys of the conversations are made of the tag: they share its slot.
-- ARGV: 1 tag, 2 now, 3 '1' = by last write, 4 '1' = descending, 5 and 6 the place to continue behind ('' = from the end),
--   7 since, 8 until ('' = none), 9 '=' and the trace ('' = any), 10 items at most, 11 conversations to look at, at most, 12 bytes of
--   bodies after which the page ends, 13 bytes of bodies after which those of a conversation with many are left to the reader ('' =
--   never), 14 to 17 window as in read.lua
-- Reply: { items, at, id }: an item is { id, place in time, view }, and 1 behind it where bodies were left out; at and id: where
--   the walk stands, '' when it has ended
local tag, now, byUpdate, descending = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
local since, untilTime, trace = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local limit, scan, most = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local inline, kind, a, b, count = tonumber(ARGV[13]) or math.huge, ARGV[14], tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local FEW = 8
local index = KEYS[1]

local rank
if ARGV[5] ~= '' then
  local before, upTo = rankOf(index, ARGV[5], ARGV[6])
  rank = descending and before or upTo
elseif descending then
  rank = redis.call('ZCARD', index)
else
  rank = 0
end
-- times bound the walk itself when it is by them
if byUpdate and descending and untilTime then rank = math.min(rank, redis.call('ZCOUNT', index, '-inf', ARGV[8])) end
if byUpdate and not descending and since then rank = math.max(rank, redis.call('ZCOUNT', index, '-inf', '(' .. ARGV[7])) end

local items, looked, bytes = {}, 0, 0
local at, id
while true do
  if #items >= limit or looked >= scan or bytes >= most then return { items, at or ARGV[5], id or ARGV[6] } end
  local wanted = math.min(limit - #items, scan - looked, 100)
  local found = walk(index, rank, wanted, descending)
  for i = 1, #found, 2 do
    id, at = found[i], found[i + 1]
    local time = tonumber(at)
    at = num(time)
    if byUpdate and ((descending and since and time < since) or (not descending and untilTime and time > untilTime)) then
      return { items, '', '' }
    end
    looked = looked + 1
    local fields = redis.call('HMGET', tag .. 'c:' .. id, 'h', 'o', 't', 'd')
    -- a header that expired natively leaves its place to the next sweep
    local h = fields[1] and parse(fields[1])
    if visible(h, now) and (not since or h.updated >= since) and (not untilTime or h.updated <= untilTime)
      and (trace == '' or fields[3] == string.sub(trace, 2)) then
      local keys = { m0 = tag .. 'm0:' .. id, m1 = tag .. 'm1:' .. id, s = tag .. 's:' .. id, n = tag .. 'n:' .. id }
      local from, to = resolve(h, kind, a, b, count)
      if bytes >= inline and to - from > FEW then
        items[#items + 1] = { id, at, (view(fields, h, keys, 'none')), 1 }
        bytes = bytes + h.bytes * (to - from) / (h.next - h.first)
      else
        local seen, size = view(fields, h, keys, kind, a, b, count)
        items[#items + 1] = { id, at, seen }
        bytes = bytes + size
      end
      if bytes >= most then return { items, at, id } end
    end
  end
  if #found < 2 * wanted then return { items, '', '' } end
  rank = descending and rank - wanted or rank + wanted
end
