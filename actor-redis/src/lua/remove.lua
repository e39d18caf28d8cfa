-- Removes messages from an index with all that belongs to them.
--
-- KEYS  scheduled, scheduled:bodies; or dead, dead:bodies, dead:reasons, dead:pruned
-- ARGV  members
-- Returns how many were there.

local removed = redis.call('ZREM', KEYS[1], unpack(ARGV))
for i = 2, math.min(#KEYS, 3) do
  redis.call('HDEL', KEYS[i], unpack(ARGV))
end
forget_pruned(KEYS[1], KEYS[4])
return removed
