-- What stands for the gate where a queue has none, for the scripts after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

local refused = {}

local function into_lanes()
  error('the queue has no gate')
end

-- A slot that is left from a time when it had one is counted again by those who serve it.
local function free_slots() end

local function wake_one() end

