-- Makes dead letters ready again, each only while it is dead.
--
-- KEYS  dead, dead:bodies, dead:reasons, ready:high:again, ready:high, ready:normal:again,
--       ready:normal, ready:low:again, ready:low
-- ARGV  for each message: member, level (0 to 5), body
-- Returns how many are ready again.

local dead, bodies, reasons = KEYS[1], KEYS[2], KEYS[3]

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', dead, '')

local replayed = 0
for i = 1, #ARGV, 3 do
  local member = ARGV[i]
  if redis.call('ZSCORE', dead, member) then
    redis.call('XADD', KEYS[4 + ARGV[i + 1]], '*', 'm', ARGV[i + 2])
    redis.call('ZREM', dead, member)
    redis.call('HDEL', bodies, member)
    redis.call('HDEL', reasons, member)
    replayed = replayed + 1
  end
end
return replayed
