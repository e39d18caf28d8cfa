-- Removes the first messages of an index with all that belongs to them.
--
-- KEYS  scheduled, scheduled:bodies; or dead, dead:bodies, dead:reasons, dead:pruned
-- ARGV  how many at most
-- Returns how many it removed.

local members = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)
if #members > 0 then
  redis.call('ZREM', KEYS[1], unpack(members))
  for i = 2, math.min(#KEYS, 3) do
    redis.call('HDEL', KEYS[i], unpack(members))
  end
end
forget_pruned(KEYS[1], KEYS[4])
return #members
