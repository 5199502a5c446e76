-- The newest 16 writers of a conversation. The newest is in the header; field w has the others, oldest first:
-- "\n<id> <counter> <time>", and behind it " <version> <count> <created>" where the write has a receipt.

local WRITERS = 16

-- A mark says how a command came here: "0" for the first time; AGAIN when the client sent it again by itself, which makes it a
-- retry; GIVEN_UP when the client sent it after its caller had been told that it failed, and nothing is done.
local AGAIN, GIVEN_UP = '1', '2'

-- What the ring knows of an earlier attempt: 'applied' and the receipt (nil when it has none), 'undecidable' or 'new'.
local function remember(h, w, forgotten)
  local counter, receipt
  if h and h.writer == w.writer then
    counter = h.counter
    if h.receipt > 0 then receipt = { num(h.version), num(h.next - h.first), num(h.receipt - 1) } end
  elseif h then
    local s, e = string.find(h.writers, '\n' .. w.writer .. ' ', 1, true)
    if s then
      local version, count, created
      counter, version, count, created = string.match(h.writers, '^(%d+) %S+ ?(%d*) ?(%d*) ?(%d*)', e + 1)
      counter = tonumber(counter)
      if version ~= '' then receipt = { version, count, created } end
    end
  end
  if counter then
    if counter == w.counter then return 'applied', receipt end
    return counter < w.counter and 'new' or 'undecidable'
  end
  if not w.retry then return 'new' end
  local floor = h and h.floor or forgotten()
  return floor >= w.now and 'undecidable' or 'new'
end

-- Without receipts: they belong to a life that has ended.
local function stripReceipts(writers)
  return (string.gsub(writers, '\n(%S+ %S+ %S+)[^\n]*', '\n%1'))
end

-- The writers behind the newest, and the floor, after a write or a removal of another.
local function pushWriter(h, w, newLife)
  local writers, floor = h and h.writers or '', h and h.floor or 0
  if h and h.writer ~= w.writer then
    local s, e = string.find(writers, '\n' .. w.writer .. ' ', 1, true)
    if s then
      local stop = string.find(writers, '\n', e, true) or #writers + 1
      writers = string.sub(writers, 1, s - 1) .. string.sub(writers, stop)
    end
    writers = writers .. string.format('\n%s %.0f %.0f', h.writer, h.counter, h.time)
    if h.receipt > 0 then writers = writers .. string.format(' %.0f %.0f %d', h.version, h.next - h.first, h.receipt - 1) end
    local _, kept = string.gsub(writers, '\n', '')
    while kept >= WRITERS do
      local time = tonumber(string.match(writers, '^\n%S+ %S+ (%-?%d+)'))
      if time > floor then floor = time end
      writers = string.sub(writers, string.find(writers, '\n', 2, true) or #writers + 1)
      kept = kept - 1
    end
  end
  if newLife then writers = stripReceipts(writers) end
  return writers, floor
end
