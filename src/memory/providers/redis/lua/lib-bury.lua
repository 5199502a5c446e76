-- Ending a conversation. Call guardBurial for each before the first of a batch is buried.

-- Fails before anything is changed when a key has another type or a command is not allowed. UNLINK comes first: it is
-- allowed when memory is full, and what follows a first write is too.
local function guardBurial(tag, h)
  redis.call('UNLINK', tag .. 'none')
  redis.call('ZREM', tag .. 'u', '')
  redis.call('ZREM', tag .. 'r', '')
  redis.call('ZREM', tag .. 'e', '')
  redis.call('ZREM', tag .. 'l', '')
  guardScores(tag .. 'd')
  redis.call('PEXPIRE', tag .. 'none', '1')
  redis.call('HDEL', tag .. 'none', 'o')
  if h and h.owner then
    redis.call('ZREM', tag .. 'U:' .. h.owner, '')
    redis.call('ZREM', tag .. 'R:' .. h.owner, '')
    redis.call('ZREM', tag .. 'E:' .. h.owner, '')
  end
end

local function dropContent(tag, id)
  redis.call('UNLINK', tag .. 'm0:' .. id, tag .. 'm1:' .. id, tag .. 's:' .. id, tag .. 'n:' .. id, tag .. 'o:' .. id)
  redis.call('ZREM', tag .. 'l', id)
end

-- Makes a tombstone of a conversation: id, epoch, version and writers stay, nothing of its owner or content. `by`: who removes
-- it, when a retry of the removal must recognise that.
local function bury(tag, id, h, now, by)
  local writers, floor = pushWriter(h, by or h, true)
  local newest = by or { writer = h.writer, counter = h.counter, now = h.time }
  local tombstone = {
    epoch = h.epoch, version = h.version, created = h.created, updated = h.updated, ttl = 0, hold = false,
    first = h.next, next = h.next, packed = h.next, bytes = 0, meta = 2, floor = floor, operations = 0,
    base = h.next, list = h.list, removed = now,
    writer = newest.writer, counter = newest.counter, time = newest.now, native = 0, receipt = 0,
  }
  local key = tag .. 'c:' .. id
  redis.call('HSET', key, 'h', format(tombstone), 'w', writers)
  redis.call('HDEL', key, 'o', 't', 'd')
  redis.call('PEXPIRE', key, num(BACKSTOP + TOMBSTONE))
  unindex(tag, id, h)
  redis.call('ZADD', tag .. 'd', num(now), id)
  dropContent(tag, id)
end
