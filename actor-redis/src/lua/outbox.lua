-- Reads the messages that wait to be stored in another queue, the oldest first.
--
-- KEYS  the outbox for that queue
-- ARGV  how many at most
-- Returns the time in ms since 1970, and the entries.

local time = redis.call('TIME')
local entries = read_entries(KEYS[1], '-', '+', tonumber(ARGV[1]))
return { time[1] * 1000 + math.floor(time[2] / 1000), entries }
