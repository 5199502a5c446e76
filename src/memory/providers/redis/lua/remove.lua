-- include: lib-header lib-ring lib-index lib-bury
-- Makes a conversation a tombstone.
-- KEYS: u r e d x f l none of the bucket, then c m0 m1 s n o of the conversation
-- ARGV: 1 tag, 2 the removal as JSON: id now writer counter retry scoped owner expected
-- Reply: { outcome } or { 'conflict', version }
local tag, w = ARGV[1], cjson.decode(ARGV[2])
local h = load(KEYS[9])
local known = remember(h, w, function() return tonumber(redis.call('GET', KEYS[6]) or '0') end)
if known == 'applied' then return { 'removed' } end
if known == 'undecidable' then return { 'unknown' } end
if not visible(h, w.now) then return { 'missing' } end
if w.scoped and h.owner ~= w.owner then return { 'forbidden' } end
if h.hold then return { 'held' } end
if w.expected and w.expected ~= h.version then return { 'conflict', num(h.version) } end
guardBurial(tag, h)
local writers, floor = pushWriter(h, w, nil, true)
bury(tag, w.id, h, w.now, writers, floor)
return { 'removed' }
