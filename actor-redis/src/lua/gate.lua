-- The gate of a queue, for the scripts after it: takes its keys from the end of KEYS.
--
-- A lane that has messages stands in one of three sorted sets: `open` and `full` by its virtual time, `closed` by when it
-- opens. One without messages stands in `resting`, where it has used more time than others.
--
-- KEYS  those of the script, then gate, lanes:open, lanes:closed, lanes:full, lanes:resting, lanes:running,
--       lanes:waiting, lanes:allowed, lanes:limits, workers, wake
-- ARGV  those of the script
-- Returns nothing.

local first = #KEYS - 10
local gate, open, closed, full, resting = KEYS[first], KEYS[first + 1], KEYS[first + 2], KEYS[first + 3], KEYS[first + 4]
local running, waiting, allowed, limits = KEYS[first + 5], KEYS[first + 6], KEYS[first + 7], KEYS[first + 8]
local leases, wakes = KEYS[first + 9], KEYS[first + 10]
for i = #KEYS, first, -1 do
  KEYS[i] = nil
end
-- The lists of lanes: this, the first letter of the priority, a colon, and the key.
local lane = string.sub(gate, 1, -5) .. 'lane:'

local function wake_one()
  redis.pcall('XADD', wakes, 'MAXLEN', 1, '*', 'w', 1)
end

