-- Has nothing of a lane go until it is resumed, or resumes it. A lane that is paused is closed for ever.
--
-- KEYS  those of the gate
-- ARGV  key, 1 to pause it
-- Returns 1, or 0 where the queue has no lanes.

local key, pauses = ARGV[1], ARGV[2] == '1'

if not redis.call('HMGET', gate, 'g')[1] then
  return 0
end
local time = redis.call('TIME')
if pauses then
  local at = redis.call('ZMSCORE', open, key)[1] or redis.call('ZMSCORE', full, key)[1]
  redis.call('ZADD', closed, '+inf', key)
  redis.call('ZREM', open, key)
  redis.call('ZREM', full, key)
  if at then
    redis.call('ZADD', resting, 'GT', at, key)
  end
elseif redis.call('ZMSCORE', closed, key)[1] == 'inf' then
  -- It is looked at before anything of it goes.
  redis.call('ZADD', closed, time[1] * 1000000 + time[2], key)
  wake_one()
end
return 1
