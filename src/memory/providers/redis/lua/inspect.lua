-- include: lib-layout lib-index lib-header lib-ring lib-bury
-- One page of a walk over a bucket's index for conversations whose header is gone: the server evicted it, or somebody deleted its
-- key. Their places in the indexes of all and their bodies go; those in the indexes of a user go when the user is cleared.
-- KEYS: 1 the index r, 2 none of the bucket
-- ARGV: 1 tag, 2 rank to begin at, 3 conversations at most, 4 '1' = fix
-- Reply: { looked, orphans }
local tag, from, limit, fix = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local ids = redis.call('ZRANGE', KEYS[1], from, from + limit - 1)
local gone = {}
for _, id in ipairs(ids) do
  if redis.call('HLEN', tag .. 'c:' .. id) == 0 then gone[#gone + 1] = id end
end
if fix and #gone > 0 then
  guardBurial(tag)
  for _, id in ipairs(gone) do
    unindex(tag, id, {})
    dropContent(tag, id)
  end
end
return { #ids, #gone }
