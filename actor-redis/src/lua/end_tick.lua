-- Ends a message that is done, and lets its schedule store the next one.
--
-- KEYS  the message's ready stream, schedules:open
-- ARGV  group, entry, id
-- Returns an array: 1, or 0 where nobody held it.

local stream, open = KEYS[1], KEYS[2]
local group, entry, id = ARGV[1], ARGV[2], ARGV[3]
redis.call('XDEL', stream, entry)
local ended = redis.call('XACK', stream, group, entry)
if ended == 1 then
  redis.call('HDEL', open, id)
end
return { ended }
