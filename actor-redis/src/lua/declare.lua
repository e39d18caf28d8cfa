-- Keeps what a worker's program declares of the queue's limits. What an operator has set wins.
--
-- KEYS  those of the gate
-- ARGV  of the queue: concurrency, us from start to start, burst; the same of each key; 1 where keys share by run time;
--       each '' where there is none
-- Returns 1 where it changed something.

local FIELDS = { 'c', 'ri', 'rb', 'kc', 'kri', 'krb', 'fair' }
local MOST_LANES = 1000
local declared = table.concat(ARGV, ' ')
local known = redis.call('HMGET', gate, 'd', 'g', 'o:c', 'o:ri', 'o:rb', 'o:kc', 'o:kri', 'o:krb', 'o:fair')
if known[1] == declared then
  return 0
end
local effective = { 'd', declared, 'g', 1 }
for i, field in ipairs(FIELDS) do
  effective[#effective + 1] = field
  effective[#effective + 1] = known[2 + i] or ARGV[i]
end
redis.call('HSET', gate, unpack(effective))
if not known[2] then
  redis.call('ZADD', leases, -1, 'gated')
end
-- More may run now. What is not moved here is looked at when a message of it ends.
local lanes = redis.call('ZRANGE', full, 0, MOST_LANES - 1, 'WITHSCORES')
for i = 1, #lanes, 2 do
  redis.call('ZREM', full, lanes[i])
  redis.call('ZADD', open, lanes[i + 1], lanes[i])
end
wake_one()
return 1
