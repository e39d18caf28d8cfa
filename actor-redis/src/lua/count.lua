-- Counts a queue's messages by their state.
--
-- KEYS  workers, later, dead, ready:high:again, ready:high, ready:normal:again,
--       ready:normal, ready:low:again, ready:low
-- ARGV  group, how many marks that only wake are told from messages at most
-- Returns how many are ready, lent, scheduled and dead, and 1 where the queue is paused.

local workers, later, dead, first = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, marks = ARGV[1], tonumber(ARGV[2])

local stored, lent = 0, 0
for i = 4, #KEYS do
  stored = stored + redis.call('XLEN', KEYS[i])
  local pending = redis.pcall('XPENDING', KEYS[i], group)
  if not pending.err then
    lent = lent + pending[1]
  end
end

-- Marks that nobody has read yet are no messages. They stand after what the group has read.
local read = '-'
local groups = redis.pcall('XINFO', 'GROUPS', first)
for _, info in ipairs(groups) do
  local name, last
  for i = 1, #info, 2 do
    if info[i] == 'name' then name = info[i + 1] end
    if info[i] == 'last-delivered-id' then last = info[i + 1] end
  end
  if name == group then
    read = '(' .. last
  end
end
for _, entry in ipairs(redis.call('XRANGE', first, read, '+', 'COUNT', marks)) do
  if entry[2][1] == 'w' and #entry[2] == 2 then
    stored = stored - 1
  end
end

return {
  math.max(0, stored - lent),
  lent,
  redis.call('ZCARD', later),
  redis.call('ZCARD', dead),
  redis.call('ZSCORE', workers, 'paused') and 1 or 0,
}
