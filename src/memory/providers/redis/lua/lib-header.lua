-- The header of a conversation: field h of its hash, numbers with one blank between them ("-" stands for absent):
--   epoch version created updated ttl expires hold first next packed bytes meta floor operations base list removed
-- ttl "n" = cleared. meta = bytes of the metadata as compact JSON. base = sequence of the first body in the list of bodies,
-- which is m0 or m1, as `list` says: another life, or a replacement, takes the other one, so that nothing of the old can be
-- seen whatever fails in between. removed = time of the removal, on a tombstone.
-- The other fields: w = writers (lib-ring.lua), o = owner, t = trace, d = metadata, a line "key":value for each key, with
-- a line break before each (JSON has none inside).

local function parse(text)
  local h = {}
  local epoch, version, created, updated, ttl, expires, hold, first, nextSeq, packed, bytes, meta, floor, operations, base, list, removed =
    string.match(text,
      '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  if not removed then error('JAFCORRUPT the header of a conversation is damaged') end
  h.epoch, h.version, h.created, h.updated = tonumber(epoch), tonumber(version), tonumber(created), tonumber(updated)
  h.ttl = ttl
  h.expires = tonumber(expires)
  h.hold = hold == '1'
  h.first, h.next, h.packed, h.bytes, h.meta = tonumber(first), tonumber(nextSeq), tonumber(packed), tonumber(bytes), tonumber(meta)
  h.floor, h.operations, h.base, h.list = tonumber(floor), tonumber(operations), tonumber(base), list
  h.removed = tonumber(removed)
  return h
end

local function optional(value)
  return value and string.format('%.0f', value) or '-'
end

local function format(h)
  return string.format('%.0f %.0f %.0f %.0f %s %s %s %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %s %s',
    h.epoch, h.version, h.created, h.updated, h.ttl, optional(h.expires), h.hold and '1' or '0', h.first, h.next, h.packed,
    h.bytes, h.meta, h.floor, h.operations, h.base, h.list, optional(h.removed))
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
