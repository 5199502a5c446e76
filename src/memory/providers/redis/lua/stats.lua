-- include: lib-layout lib-index lib-header lib-walk
-- Totals of one page of a bucket's visible conversations, in order of creation, folded from their headers.
-- KEYS: 1 the index (r or R:<user>). Keys of the conversations are made of the tag: they share its slot.
-- ARGV: 1 tag, 2 now, 3 and 4 the place to continue behind ('' = from the oldest), 5 headers to fold
-- Reply: { conversations, messages, bytes, oldest, newest, at, id }: '' for absent; at and id: where to continue
local tag, now, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local rank = 0
if ARGV[3] ~= '' then
  local _, upTo = rankOf(KEYS[1], ARGV[3], ARGV[4])
  rank = upTo
end
local found = walk(KEYS[1], rank, limit, false)
local conversations, messages, bytes, oldest, newest = 0, 0, 0, '', ''
for i = 1, #found, 2 do
  local text = redis.call('HGET', tag .. 'c:' .. found[i], 'h')
  local h = text and parse(text)
  if visible(h, now) then
    conversations = conversations + 1
    messages = messages + h.next - h.first
    bytes = bytes + h.bytes
    newest = num(h.created)
    if oldest == '' then oldest = newest end
  end
end
local at, id = '', ''
if #found >= 2 * limit then
  id, at = found[#found - 1], num(tonumber(found[#found]))
end
return { conversations, messages, num(bytes), oldest, newest, at, id }
