-- include: lib-layout lib-append lib-index lib-header lib-ring lib-bury
-- Writes of different conversations of one bucket, each decided and applied alone, in the order of decideWrite (local.ts).
-- KEYS: say where it goes; on a cluster all of u r e d x f l none of the bucket and c m0 m1 s n o of each conversation. Keys are
--   made of the tag and the ids: they share the slot.
-- ARGV: 1 tag, 2 number of writes, 3 expired neighbours to remove at most, 4 mark (lib-ring.lua), 5 '1' = replicas are waited
--   for; then for each write: id; "now counter messages writer flags"; and what its flags say, in this order:
--   u = owner, hash of the owner; o = hash of the operation, digest; t = trace;
--   l = "ttl defaultTtl maxMessages expectedVersion" ("-" = absent, ttl -1 = cleared);
--   x = JSON { kind (unless append) retry hold restore { created updated expires first conflict } }; m = metadata as lines;
--   then its bodies. Without an argument: c = may create, s = scoped to the owner
-- Reply: for each write { outcome } and, behind it: ok version count created epoch first next packed trimmed;
--   repeated, duplicate, skipped: version count created; conflict: version; error: text. Of a plain append (lib-append.lua)
--   { version, epoch, first, next, packed, trimmed }
-- Arguments of one RPUSH: Lua's stack holds 8000.
local CHUNK = 4000

-- Of a write that was answered before. Its replicas may not have it yet, and WAIT waits for what its connection has written:
-- the same, once more.
local function touch(key, h)
  if ARGV[5] == '1' then redis.call('HSET', key, 'h', h.raw) end
end

local function forgotten()
  return tonumber(redis.call('GET', tag .. 'f') or '0')
end

-- Behind the colon of a line "key":value.
local function keyEnd(line)
  local at = 2
  while true do
    local s = string.find(line, '["\\]', at)
    if string.byte(line, s) == 34 then return s + 1 end
    at = s + 2
  end
end

-- Metadata with the lines of a patch put over it.
local function merge(stored, patch)
  for line in string.gmatch(patch, '\n[^\n]+') do
    local key = string.sub(line, 1, keyEnd(string.sub(line, 2)) + 1)
    local s = string.find(stored, key, 1, true)
    if s then
      local stop = string.find(stored, '\n', s + 1, true) or #stored + 1
      stored = string.sub(stored, 1, s - 1) .. line .. string.sub(stored, stop)
    else
      stored = stored .. line
    end
  end
  return stored
end

local function lengths(list, from, to)
  local bytes = 0
  for i = from, to - 1, CHUNK do
    for _, body in ipairs(redis.call('LRANGE', list, num(i), num(math.min(i + CHUNK, to) - 1))) do bytes = bytes + #body end
  end
  return bytes
end

-- What of the current life lies below a sequence: bytes that become invisible, and the segments that go, as members of n.
local function below(c, list, segments, first)
  local bytes, going = 0, {}
  if c.first < c.packed then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', segments, '-inf', '(' .. num(first))) do
      local to, size = string.match(member, '^%d+ (%d+) (%d+)')
      to = tonumber(to)
      if to <= first then
        going[#going + 1] = member
        if to > c.first then bytes = bytes + tonumber(size) end
      end
    end
  end
  local start, stop = math.max(c.first, c.packed), math.min(first, c.next)
  if stop > start then
    if stop - start <= c.next - stop then
      bytes = bytes + lengths(list, start - c.base, stop - c.base)
    else
      -- no segment is visible then: the rest is cheaper to count
      bytes = c.bytes - c.meta - lengths(list, stop - c.base, c.next - c.base)
    end
  end
  return bytes, going
end

local function one(w)
  local id, patch, bodies, none = w.id, w.patch, w.bodies, tag .. 'none'
  local key, lists = tag .. 'c:' .. id, { ['0'] = tag .. 'm0:' .. id, ['1'] = tag .. 'm1:' .. id }
  local segmentsKey, directory, operationsKey = tag .. 's:' .. id, tag .. 'n:' .. id, tag .. 'o:' .. id
  local h = load(key)

  -- decide
  local known, receipt = remember(h, w, forgotten)
  if known == 'applied' then
    touch(key, h)
    return receipt and { 'repeated', receipt[1], receipt[2], receipt[3] } or { 'missing' }
  end
  if known == 'undecidable' then return { 'unknown' } end
  if w.ownerHash then
    local ends = redis.call('ZSCORE', tag .. 'x', w.ownerHash)
    if ends and tonumber(ends) > w.now then return { 'erased' } end
  end
  if w.retry and h and h.removed and h.removed >= w.now then return { 'missing' } end
  local current = visible(h, w.now) and h or nil
  local restore = w.restore
  if not current then
    if not w.create then return { 'missing' } end
    if w.expected and w.expected ~= 0 then return { 'conflict', 0 } end
  else
    if w.scoped then
      if current.owner ~= w.owner then return { 'forbidden' } end
    elseif w.owner and current.owner and current.owner ~= w.owner then
      return { 'forbidden' }
    end
    if w.op and current.operations > 0 then
      local noted = redis.call('HGET', operationsKey, w.op)
      if noted then
        local n, version, count, created, at = struct.unpack(NOTED, noted)
        if n > current.operations - OPERATIONS then
          if string.sub(noted, at) == w.digest then
            touch(key, h)
            return { 'duplicate', num(version), num(count), created }
          end
          return { 'reused' }
        end
      end
    end
    if restore and restore.conflict ~= 'replace' then
      if restore.conflict == 'fail' then return { 'conflict', num(current.version) } end
      return { 'skipped', num(current.version), num(current.next - current.first), '0' }
    end
    if current.hold and w.kind ~= 'append' then return { 'held' } end
    if w.expected and w.expected ~= current.version then return { 'conflict', num(current.version) } end
  end

  -- the new state
  local newLife = not current or restore ~= nil
  local version = math.max((h and h.version or 0) + 1, w.now)
  local seq = restore and restore.first or newLife and 1 or current.next
  local nextSeq = seq + w.n
  local hold = w.hold
  if hold == nil then hold = not newLife and current.hold end
  local ttl
  if restore then
    ttl = restore.expires and math.max(1, restore.expires - restore.updated) or 0
  elseif w.ttl then
    ttl = w.ttl
  elseif newLife or current.ttl == 0 then
    ttl = w.defaultTtl or 0
  else
    ttl = current.ttl
  end
  local expires
  if not hold then
    if restore then expires = restore.expires elseif ttl > 0 then expires = w.now + ttl end
  end
  local replaces = newLife or w.kind == 'put'
  local keptFrom = replaces and seq or current.first
  local first = keptFrom
  if not hold and not restore and w.max then first = math.max(keptFrom, nextSeq - w.max) end
  local packed = replaces and first or math.max(current.packed, first)

  local metadata, meta
  if patch then
    metadata = patch
    if current and w.kind == 'append' then metadata = merge(redis.call('HGET', key, 'd') or '', patch) end
    meta = metadata == '' and 2 or #metadata + 1
  elseif current and not restore then
    meta = current.meta
  else
    metadata, meta = '', 2
  end
  local skipped = math.max(0, first - seq)
  local bytes = meta
  for i = skipped + 1, #bodies do bytes = bytes + #bodies[i] end

  -- types and rights of all that will be changed, before the first change
  local old = h and not h.removed and h or nil
  local owner = current and current.owner or w.owner
  local oldOwner = old and old.owner
  -- everything that was visible goes: the other list is taken
  local fresh = replaces or first >= current.next
  local from = h and h.list or '1'
  local to = fresh and (from == '0' and '1' or '0') or from
  local list = lists[to]
  local updated = restore and restore.updated or math.max(current and current.updated or w.now, w.now)
  local created = restore and restore.created or current and current.created or w.now
  local moved = not old or old.created ~= created
  guardScores(tag .. 'u')
  if moved then guardScores(tag .. 'r') end
  if owner then
    guardScores(tag .. 'U:' .. owner)
    if moved or owner ~= oldOwner then guardScores(tag .. 'R:' .. owner) end
    if expires or old and old.expires then guardScores(tag .. 'E:' .. owner) end
  end
  if oldOwner and oldOwner ~= owner then
    redis.call('ZREM', tag .. 'U:' .. oldOwner, '')
    redis.call('ZREM', tag .. 'R:' .. oldOwner, '')
    redis.call('ZREM', tag .. 'E:' .. oldOwner, '')
  end
  if expires or old and old.expires then
    guardScores(tag .. 'e')
    redis.call('ZREM', tag .. 'e', '')
    redis.call('PEXPIRE', none, '1')
  end
  if h and (h.removed or h.expires) then redis.call('PERSIST', none) end
  if h and h.removed then redis.call('ZREM', tag .. 'd', '') end
  if w.op then redis.call('HLEN', operationsKey) end
  if fresh then
    redis.call('LLEN', lists[from])
    redis.call('UNLINK', none)
    redis.call('HDEL', none, 't')
    redis.call('ZREM', tag .. 'l', '')
    redis.call('HLEN', segmentsKey)
    redis.call('ZCARD', directory)
    redis.call('HLEN', operationsKey)
  end
  local going
  local trims = not fresh and first > current.first
  if current and not replaces and first > current.first then
    local lost
    lost, going = below(current, lists[from], directory, first)
    bytes = bytes - lost
  end
  if current and not replaces then bytes = bytes + current.bytes - current.meta end
  if trims then
    redis.call('LTRIM', none, '0', '-1')
    redis.call('UNLINK', none)
    redis.call('HDEL', none, 't')
    redis.call('HLEN', segmentsKey)
    redis.call('ZREM', directory, '')
    guardScores(tag .. 'l')
  end
  local operations = (newLife and 0 or current.operations) + (w.op and 1 or 0)
  local noted
  if w.op and operations % OPERATIONS == 0 then
    redis.call('HDEL', none, 't')
    noted = redis.call('HGETALL', operationsKey)
  end

  local native = expires and serverTime() + nativeLife(expires, w.now) or ABSENT

  -- bodies first: nobody sees them before the header says so
  local base = fresh and first or current.base
  local length = redis.call('LLEN', list)
  local expected = fresh and 0 or current.next - current.base
  if length > expected then
    -- of a write that failed between bodies and header
    redis.call('UNLINK', none)
    if expected == 0 then redis.call('UNLINK', list) else redis.call('LTRIM', list, '0', num(expected - 1)) end
  elseif length < expected then
    error('JAFCORRUPT bodies of a conversation are missing')
  end
  for i = skipped + 1, #bodies, CHUNK do
    redis.call('RPUSH', list, unpack(bodies, i, math.min(i + CHUNK - 1, #bodies)))
  end

  -- the header: from here on the write is done
  local count = nextSeq - first
  local writers, floor = pushWriter(h, w, newLife)
  local state = {
    epoch = newLife and math.max((h and h.epoch or 0) + 1, w.now) or current.epoch,
    version = version, created = created, updated = updated, ttl = ttl, expires = expires, hold = hold,
    first = first, next = nextSeq, packed = packed, bytes = bytes, meta = meta, floor = floor, operations = operations,
    base = base, list = to,
    writer = w.writer, counter = w.counter, time = w.now, receipt = current and 1 or 2,
    native = native,
  }
  local drop = 0
  if trims then
    drop = math.max(first, packed) - base
    if drop > TRIM then
      drop = TRIM
      redis.call('ZADD', tag .. 'l', '0', w.id)
    end
    state.base = base + drop
  end
  local fields, gone = { 'h', format(state) }, {}
  if not h or writers ~= h.writers then fields[3] = 'w' fields[4] = writers end
  if owner and owner ~= (current and current.owner) then fields[#fields + 1] = 'o' fields[#fields + 1] = owner end
  if w.trace then fields[#fields + 1] = 't' fields[#fields + 1] = w.trace end
  if metadata and metadata ~= '' then fields[#fields + 1] = 'd' fields[#fields + 1] = metadata end
  redis.call('HSET', key, unpack(fields))
  if h then
    if not owner and oldOwner then gone[#gone + 1] = 'o' end
    if newLife and not w.trace then gone[#gone + 1] = 't' end
    if metadata == '' and h.meta > 2 then gone[#gone + 1] = 'd' end
    if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  end

  -- what the header left behind
  if fresh and h then
    redis.call('UNLINK', lists[from], segmentsKey, directory)
    if newLife then redis.call('UNLINK', operationsKey) end
    redis.call('ZREM', tag .. 'l', w.id)
  elseif trims then
    if drop > 0 then redis.call('LTRIM', list, num(drop), '-1') end
    if current.first < current.packed then
      if first >= current.packed then
        redis.call('UNLINK', segmentsKey, directory)
      else
        for i = 1, math.min(#going, TRIM) do
          redis.call('HDEL', segmentsKey, string.match(going[i], '^%d+'))
          redis.call('ZREM', directory, going[i])
        end
        if #going > TRIM then redis.call('ZADD', tag .. 'l', '0', w.id) end
      end
    end
  end
  if w.op then
    redis.call('HSET', operationsKey, w.op, struct.pack(NOTED, operations, version, count, current and 0 or 1) .. w.digest)
    for i = 1, noted and #noted or 0, 2 do
      if struct.unpack('<d', noted[i + 1]) <= operations - OPERATIONS and noted[i] ~= w.op then redis.call('HDEL', operationsKey, noted[i]) end
    end
  end

  -- indexes
  if not old or old.updated ~= updated then redis.call('ZADD', tag .. 'u', num(updated), id) end
  if moved then redis.call('ZADD', tag .. 'r', num(created), id) end
  if oldOwner and oldOwner ~= owner then
    redis.call('ZREM', tag .. 'U:' .. oldOwner, id)
    redis.call('ZREM', tag .. 'R:' .. oldOwner, id)
    redis.call('ZREM', tag .. 'E:' .. oldOwner, id)
  end
  if owner then
    if not old or old.updated ~= updated or owner ~= oldOwner then redis.call('ZADD', tag .. 'U:' .. owner, num(updated), id) end
    if moved or owner ~= oldOwner then redis.call('ZADD', tag .. 'R:' .. owner, num(created), id) end
  end
  if old and old.expires and (not expires or owner ~= oldOwner) then
    redis.call('ZREM', tag .. 'e', expiryMember(id, oldOwner))
    if owner and owner == oldOwner then redis.call('ZREM', tag .. 'E:' .. owner, id) end
  end
  if expires then
    redis.call('ZADD', tag .. 'e', num(expires), expiryMember(id, owner))
    if owner then redis.call('ZADD', tag .. 'E:' .. owner, num(expires), id) end
    keepFor(nativeLife(expires, w.now), key, list, segmentsKey, directory, operationsKey)
  elseif h and (h.expires or h.removed) then
    for _, kept in ipairs({ key, list, segmentsKey, directory, operationsKey }) do redis.call('PERSIST', kept) end
  end
  if h and h.removed then redis.call('ZREM', tag .. 'd', id) end
  return {
    'ok', version, count, current and 0 or 1, state.epoch, first, nextSeq, packed, first - keptFrom,
  }
end

for _, w in ipairs(rest or {}) do
  if ARGV[4] == AGAIN then w.retry = true end
  local done, reply = true, { 'unknown' }
  if ARGV[4] ~= GIVEN_UP then done, reply = pcall(one, w) end
  if not done then reply = { 'error', type(reply) == 'table' and reply.err or tostring(reply) } end
  if reply[1] == 'ok' and (not newest or w.now > newest) then newest = w.now end
  replies[w.at] = reply
end

-- A few that are over, so that a store nobody sweeps does not fill up; a write that was refused changes nothing. What
-- fails here fails the sweep, too, which says so.
local over = tonumber(ARGV[3])
if newest and over > 0 then
  pcall(function()
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'e', '-inf', num(newest), 'LIMIT', 0, over)) do
      local id = string.match(member, '^(.-)%z')
      local h = load(tag .. 'c:' .. id)
      if h and not h.removed and h.expires then
        if h.expires <= math.min(newest, serverTime()) then
          guardBurial(tag, h)
          bury(tag, id, h, newest)
        elseif h.expires > newest then
          correctExpiry(tag, id, h)
        end
      end
    end
  end)
end
return replies
