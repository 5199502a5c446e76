-- Reading a conversation: { { h, o, t, d }, sequence of the first body, bodies, segments }; a segment is three values, its
-- first sequence, the one behind its last, and its data. Absent fields are false.

local CHUNK = 1000

-- The sequences a window means: [from, to). As resolveWindow of local.ts.
local function resolve(h, kind, a, b, limit)
  local first, nextSeq = h.first, h.next
  if kind == 'all' then return first, nextSeq end
  if kind == 'last' then return math.max(first, nextSeq - a), nextSeq end
  if kind == 'after' then
    local from = math.max(first, a + 1)
    return from, math.max(from, math.min(nextSeq, b or nextSeq, from + limit))
  end
  if kind == 'before' then
    local to = math.max(first, math.min(nextSeq, a))
    return math.max(first, to - limit), to
  end
  return nextSeq, nextSeq
end

-- Members "from to bytes" of a directory of segments that overlap [from, to).
local function overlapping(key, from, to)
  local found = redis.call('ZRANGEBYSCORE', key, '(' .. num(from), '(' .. num(to))
  local before = redis.call('ZREVRANGEBYSCORE', key, num(from), '-inf', 'LIMIT', 0, 1)[1]
  if before and tonumber(string.match(before, '^%d+ (%d+)')) > from then table.insert(found, 1, before) end
  return found
end

-- `fields`: h, o, t and d of the header; `h`: the first of them parsed. Second answer: bytes read.
local function view(fields, h, keys, kind, a, b, limit)
  local header = { fields[1], fields[2], fields[3], fields[4] }
  local from, to = resolve(h, kind, a, b, limit)
  if from >= to then return { header, 0, {}, {} }, 0 end
  local bodies, segments, bytes = {}, {}, 0
  local start = math.max(from, h.packed)
  if to > start then
    bodies = redis.call('LRANGE', keys['m' .. h.list], num(start - h.base), num(to - 1 - h.base))
    if #bodies ~= to - start then error('JAFCORRUPT bodies of a conversation are missing') end
    for _, body in ipairs(bodies) do bytes = bytes + #body end
  end
  if from < h.packed then
    local found = overlapping(keys.n, from, math.min(to, h.packed))
    for i = 1, #found, CHUNK do
      local names = {}
      for j = i, math.min(i + CHUNK - 1, #found) do names[#names + 1] = string.match(found[j], '^%d+') end
      local data = redis.call('HMGET', keys.s, unpack(names))
      for j, text in ipairs(data) do
        if not text then error('JAFCORRUPT a segment of a conversation is missing') end
        segments[#segments + 1] = names[j]
        segments[#segments + 1] = string.match(found[i + j - 1], '^%d+ (%d+)')
        segments[#segments + 1] = text
        bytes = bytes + #text
      end
    end
    if #found == 0 then error('JAFCORRUPT segments of a conversation are missing') end
  end
  return { header, num(start), bodies, segments }, bytes
end
