-- Forgets how many dead letters the bounds have removed, once a person has seen to all that were left.
-- Stands before the scripts that use it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

local function forget_pruned(dead, pruned)
  if pruned and redis.call('ZCARD', dead) == 0 then
    redis.pcall('HDEL', pruned, 'count', 'first', 'last')
  end
end

