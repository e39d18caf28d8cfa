-- Sets a limit of the queue, or of each of its keys, in place of what is declared.
--
-- KEYS  those of the gate
-- ARGV  '' for the queue, 'k' for each key; then nothing to go back to what is declared, or: concurrency, us from start to
--       start, burst, each '-' where there is none; and the rate as it was given: starts, a slash, ns ('-' for none)
-- Returns 1, or 0 where the queue has no lanes.

local of = ARGV[1]

if not redis.call('HMGET', gate, 'g')[1] then
  return 0
end
local names = { 'o:' .. of .. 'c', 'o:' .. of .. 'ri', 'o:' .. of .. 'rb', 'o:' .. of .. 'rate' }
if #ARGV == 1 then
  redis.call('HDEL', gate, unpack(names))
else
  redis.call('HSET', gate, names[1], ARGV[2], names[2], ARGV[3], names[3], ARGV[4], names[4], ARGV[5])
end
apply_limits()
return 1
