-- Removes members of an index with all that belongs to them. Stands before the scripts that use it.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes; or dead, dead:bodies, dead:reasons, dead:pruned; then those of
--       unique keys
-- ARGV  those of the script
-- Returns nothing.

-- Returns how many were there. Where no dead letter is left, a person has seen to all of them, and how many the
-- bounds have removed is forgotten.
local function remove_members(members)
  local removed = 0
  if #members > 0 then
    removed = redis.call('ZREM', KEYS[1], unpack(members))
    for i = 2, math.min(#KEYS, 3) do
      redis.call('HDEL', KEYS[i], unpack(members))
    end
  end
  if #members > 0 and not KEYS[4] then
    free_members(members)
  end
  if KEYS[4] and redis.call('ZCARD', KEYS[1]) == 0 then
    redis.pcall('HDEL', KEYS[4], 'count', 'first', 'last')
  end
  return removed
end

