-- Removes messages from an index with all that belongs to them.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes; or dead, dead:bodies, dead:reasons, dead:pruned; then those of
--       unique keys
-- ARGV  members
-- Returns how many were there.

return remove_members(ARGV)
