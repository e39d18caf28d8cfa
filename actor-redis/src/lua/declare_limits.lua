-- Keeps what a worker's program declares of the queue's limits. What was set wins.
--
-- KEYS  those of the gate
-- ARGV  of the queue: concurrency, us from start to start, burst; the same of each key; 1 where keys share by run time; of
--       the queue and of each key, the rate as it was declared: starts, a slash, ns; each '-' where there is none
-- Returns 1 where it changed something.

local declared = table.concat(ARGV, ' ')
local known = redis.call('HMGET', gate, 'd', 'g')
if known[1] == declared then
  return 0
end
redis.call('HSET', gate, 'd', declared, 'g', 1)
if not known[2] then
  redis.call('ZADD', leases, -1, 'gated')
end
apply_limits()
return 1
