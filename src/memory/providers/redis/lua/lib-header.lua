-- The header of a conversation: field h of its hash, packed numbers (little-endian; ABSENT where there is none):
--   epoch version created updated ttl expires first next packed bytes floor base removed counter time native: doubles;
--   meta operations: 4 bytes each; list hold receipt: a byte each; and behind them the id of the newest writer.
-- ttl 0 = never set, -1 = cleared. meta = bytes of the metadata as compact JSON. base = sequence of the first body in the list of
-- bodies, which is m0 or m1, as `list` says: another life, or a replacement, takes the other one, so that nothing of the old can
-- be seen whatever fails in between. removed = time of the removal, on a tombstone. native = when its keys expire
-- natively at the earliest, on the clock of the server.
-- counter and time are of the newest writer (lib-ring.lua); its receipt: 0 = none, else 1 or, when it created the conversation,
-- 2; version and count of that receipt are the header's own, because only writes change them.
-- The other fields: w = the writers before it (lib-ring.lua), o = owner, t = trace, d = metadata, a line "key":value for each
-- key, with a line break before each (JSON has none inside).
-- Packed, because text took 6 µs of an append to read and write, and this takes 2. Node reads it in replies.ts.

local function parse(text)
  if #text < 139 then error('JAFCORRUPT the header of a conversation is damaged') end
  local h = { raw = text }
  local list, hold, at
  h.epoch, h.version, h.created, h.updated, h.ttl, h.expires, h.first, h.next, h.packed, h.bytes, h.floor, h.base, h.removed,
    h.counter, h.time, h.native, h.meta, h.operations, list, hold, h.receipt, at = struct.unpack(HEADER, text)
  if h.expires == ABSENT then h.expires = nil end
  if h.removed == ABSENT then h.removed = nil end
  h.list, h.hold, h.writer = list == 0 and '0' or '1', hold == 1, string.sub(text, at)
  return h
end

local function format(h)
  return struct.pack(HEADER, h.epoch, h.version, h.created, h.updated, h.ttl, h.expires or ABSENT, h.first, h.next, h.packed,
    h.bytes, h.floor, h.base, h.removed or ABSENT, h.counter, h.time, h.native, h.meta, h.operations, h.list == '0' and 0 or 1,
    h.hold and 1 or 0, h.receipt) .. h.writer
end

-- The conversation or tombstone at a key, nil when there is none.
local function load(key)
  local fields = redis.call('HMGET', key, 'h', 'w', 'o')
  if not fields[1] then return nil end
  local h = parse(fields[1])
  h.writers = fields[2] or ''
  h.owner = fields[3] or nil
  return h
end

local function visible(h, now)
  return h and not h.removed and (not h.expires or h.expires > now)
end
