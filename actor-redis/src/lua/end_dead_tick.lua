-- Lets the schedule of a message that was dead-lettered store the next one.
--
-- KEYS  dead:bodies, schedules:open
-- ARGV  id
-- Returns 1, or 0 where it is no dead letter.

local bodies, open = KEYS[1], KEYS[2]
local id = ARGV[1]
if redis.call('HEXISTS', bodies, id) == 0 then
  return 0
end
redis.call('HDEL', open, id)
return 1
