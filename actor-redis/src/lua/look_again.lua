-- Has lanes be looked at again before anything of them goes, for the scripts after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

-- How many lanes of a queue are looked at again at most. What is beyond is looked at when a message of it ends.
local MOST_LANES = 1000

-- Opens these lanes, with the virtual time of each, where they stand as full.
local function open_full(lanes)
  for i = 1, #lanes, 2 do
    redis.call('ZREM', full, lanes[i])
    redis.call('ZADD', open, lanes[i + 1], lanes[i])
  end
end

-- Has these lanes, with the time of each, open now, where a rate has closed them: no limit elsewhere, and no pause.
local function open_closed(lanes, now)
  for i = 1, #lanes, 2 do
    if not string.find(lanes[i + 1], '[.i]') then
      redis.call('ZADD', closed, now, lanes[i])
    end
  end
end

