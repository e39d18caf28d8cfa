-- Removes the first messages of an index with all that belongs to them.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes; or dead, dead:bodies, dead:reasons, dead:pruned; then those of
--       unique keys
-- ARGV  how many at most
-- Returns how many it removed.

return remove_members(redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1))
