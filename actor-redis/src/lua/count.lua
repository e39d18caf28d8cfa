-- Counts a queue's messages by their state.
--
-- KEYS  workers, scheduled, dead, dead:pruned, ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low
-- ARGV  group, how many marks that only wake are told from messages at most
-- Returns how many are ready, in flight, scheduled and dead, 1 where the queue is paused, how many dead letters
-- were let go because they were too many or too old, and since when, in ms since 1970 (0 where none was).

local workers, scheduled, dead, pruned, first = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, marks = ARGV[1], tonumber(ARGV[2])

local stored, in_flight = 0, 0
for i = 5, #KEYS do
  stored = stored + redis.call('XLEN', KEYS[i])
  local pending = redis.pcall('XPENDING', KEYS[i], group)
  if not pending.err then
    in_flight = in_flight + pending[1]
  end
end

-- Marks are no messages. What the group has read of them is in flight until its worker deletes it.
local last
local groups = redis.pcall('XINFO', 'GROUPS', first)
for _, info in ipairs(groups) do
  local name, delivered
  for i = 1, #info, 2 do
    if info[i] == 'name' then name = info[i + 1] end
    if info[i] == 'last-delivered-id' then delivered = info[i + 1] end
  end
  if name == group then
    last = delivered
  end
end
local function marks_in(from, to)
  local found = {}
  for _, entry in ipairs((read_entries(first, from, to, marks))) do
    if entry[2][1] == 'w' and #entry[2] == 2 then
      found[#found + 1] = entry[1]
    end
  end
  return found
end
if last then
  for _, mark in ipairs(marks_in('-', last)) do
    stored = stored - 1
    in_flight = in_flight - #redis.call('XPENDING', first, group, mark, mark, 1)
  end
end
stored = stored - #marks_in(last and '(' .. last or '-', '+')

local gone = redis.pcall('HMGET', pruned, 'count', 'first')
return {
  math.max(0, stored - in_flight),
  in_flight,
  redis.call('ZCARD', scheduled),
  redis.call('ZCARD', dead),
  redis.call('ZSCORE', workers, 'paused') and 1 or 0,
  tonumber(gone[1]) or 0,
  tonumber(gone[2]) or 0,
}
