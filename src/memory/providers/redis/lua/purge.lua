-- include: lib-layout lib-index lib-header lib-ring lib-bury lib-walk
-- One batch of removals of a bucket: of a user (in order of creation), of what is idle (in order of last write), or of what
-- is over (in order of expiry). Everything is looked at before the first removal. Keys of the conversations are made of
-- the tag: they share the slot of KEYS.
-- KEYS: 1 the index (R:<user>, u, U:<user>, e or E:<user>), 2 none of the bucket
-- ARGV: 1 tag, 2 kind, 3 now, 4 conversations to look at, 5 and 6 the place to continue behind ('' = from the oldest),
--   7 and 8 user: the last place; idle: the last time, and ''; 9 '1' = legal holds too, 10 '1' = without a trace,
--   11 owner: the user of the index ('' = of all)
-- Reply: { removed, messages, bytes, more, at, id }: at and id where the walk stands, '' for none
local tag, kind, now, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local allowHold, forget, owner = ARGV[9] == '1', ARGV[10] == '1', ARGV[11]
local index = KEYS[1]
local found
local both = now
if kind == 'expired' then
  both = math.min(now, serverTime())
  found = redis.call('ZRANGEBYSCORE', index, '-inf', num(both), 'WITHSCORES', 'LIMIT', 0, limit)
else
  local rank = 0
  if ARGV[5] ~= '' then
    local _, upTo = rankOf(index, ARGV[5], ARGV[6])
    rank = upTo
  end
  found = walk(index, rank, limit, false)
end

local going, later, at, id, ended = {}, {}, '', '', false
for i = 1, #found, 2 do
  local member, time = found[i], tonumber(found[i + 1])
  local memberOwner = owner
  if kind == 'expired' and owner == '' then member, memberOwner = string.match(member, '^(.-)%z(.*)$') end
  if kind == 'idle' and time > tonumber(ARGV[7])
    or kind == 'user' and (time > tonumber(ARGV[7]) or time == tonumber(ARGV[7]) and not atMost(member, ARGV[8])) then
    ended = true
    break
  end
  at, id = num(time), member
  local h = load(tag .. 'c:' .. member)
  if h and h.removed then h = nil end
  if h and h.expires and kind == 'expired' and h.expires > both then
    later[#later + 1] = { id = member, h = h }
    redis.call('UNLINK', tag .. 'none') -- first, as in guardBurial
    guardScores(tag .. 'e')
    if h.owner then guardScores(tag .. 'E:' .. h.owner) end
  elseif not h or kind == 'expired' or allowHold or not h.hold then
    guardBurial(tag, h or { owner = memberOwner ~= '' and memberOwner or nil })
    going[#going + 1] = { id = member, h = h, owner = memberOwner, time = time }
  end
end
if forget and #going > 0 then
  local upTo = tonumber(redis.call('GET', tag .. 'f') or '0')
  if now > upTo then redis.call('SET', tag .. 'f', num(now)) end
end

local removed, messages, bytes = 0, 0, 0
for _, one in ipairs(later) do correctExpiry(tag, one.id, one.h) end
for _, one in ipairs(going) do
  local h = one.h
  if not h then
    -- expired natively: only its places are left
    local ghost = { owner = one.owner ~= '' and one.owner or nil, expires = one.time }
    unindex(tag, one.id, ghost)
    dropContent(tag, one.id)
  else
    if kind == 'expired' or visible(h, now) then
      removed = removed + 1
      messages = messages + h.next - h.first
      bytes = bytes + h.bytes
    end
    if forget then
      unindex(tag, one.id, h)
      redis.call('UNLINK', tag .. 'c:' .. one.id)
      dropContent(tag, one.id)
    else
      bury(tag, one.id, h, now)
    end
  end
end
local more = not ended and #found >= 2 * limit
return { removed, messages, num(bytes), more and 1 or 0, at, id }
