-- include: lib-layout lib-index lib-header lib-ring lib-bury
-- Makes a conversation a tombstone.
-- KEYS: u r e d x f l none of the bucket, then c m0 m1 s n o of the conversation
-- ARGV: 1 tag, 2 the removal as JSON: id now writer counter retry scoped owner expected, 3 mark
--   (lib-ring.lua), 4 '1' = replicas are waited for
-- Reply: { outcome } or { 'conflict', version }
local tag, w = ARGV[1], cjson.decode(ARGV[2])
if ARGV[3] == GIVEN_UP then return { 'unknown' } end
if ARGV[3] == AGAIN then w.retry = true end
local h = load(KEYS[9])
local known = remember(h, w, function() return tonumber(redis.call('GET', KEYS[6]) or '0') end)
if known == 'applied' then
  -- as touch of write.lua
  if ARGV[4] == '1' then redis.call('HSET', KEYS[9], 'h', h.raw) end
  return { 'removed' }
end
if known == 'undecidable' then return { 'unknown' } end
if not visible(h, w.now) then return { 'missing' } end
if w.scoped and h.owner ~= w.owner then return { 'forbidden' } end
if h.hold then return { 'held' } end
if w.expected and w.expected ~= h.version then return { 'conflict', num(h.version) } end
guardBurial(tag, h)
bury(tag, w.id, h, w.now, w)
return { 'removed' }
