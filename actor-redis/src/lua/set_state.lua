-- Sets fields of what is kept of a message beside it, while this worker holds the message.
--
-- KEYS  the ready stream that it was delivered from, state of the message
-- ARGV  worker, group, entry, ms that all its fields are kept, then for each field: name, value
-- Returns 1, or 0 where this worker does not hold the message.

local stream, state = KEYS[1], KEYS[2]
local me, group, entry, keep_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if #redis.call('XPENDING', stream, group, entry, entry, 1, me) == 0 then
  return 0
end
redis.call('HSET', state, unpack(ARGV, 5))
redis.call('PEXPIRE', state, keep_ms)
return 1
