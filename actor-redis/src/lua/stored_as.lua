-- Where a script stores its messages again, for what comes after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

-- By the message's number: its place, as in `unique.lua`.
local stored_as = {}

