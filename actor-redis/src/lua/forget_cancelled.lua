-- Forgets that a message was cancelled, which was found nowhere.
--
-- KEYS  cancelled
-- ARGV  id
-- Returns 1 where the message ended because it was cancelled, 0 where it had ended before, or never was.

local cancelled, id = KEYS[1], ARGV[1]

redis.call('ZREM', cancelled, id)
return redis.call('ZREM', cancelled, id .. ':ended')
