-- Keeps what a worker's program declares of the queue's limits. What an operator has set wins.
--
-- KEYS  those of the gate
-- ARGV  of the queue: concurrency, us from start to start, burst; the same of each key; 1 where keys share by run time;
--       each '' where there is none
-- Returns 1 where it changed something.

local FIELDS = { 'c', 'ri', 'rb', 'kc', 'kri', 'krb', 'fair' }
local MOST_LANES = 1000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local declared = table.concat(ARGV, ' ')
local known = redis.call('HMGET', gate, 'd', 'g', 'o:c', 'o:ri', 'o:rb', 'o:kc', 'o:kri', 'o:krb', 'o:fair', 'ri', 'rb', 'kri', 'krb', 't')
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
-- What is used up of another rate is no more than all that starts at once.
local function set(i)
  return tonumber(known[2 + i] or ARGV[i])
end
local interval, lane_interval = set(2), set(5)
if interval and known[10] ~= (known[4] or ARGV[2]) then
  local most = now + set(3) * interval
  if (tonumber(known[14]) or 0) > most then
    redis.call('HSET', gate, 't', string.format('%.0f', most))
  end
end
if known[12] ~= (known[7] or ARGV[5]) then
  if lane_interval then
    local most = string.format('%.0f', now + set(6) * lane_interval)
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', allowed, '(' .. most, '+inf', 'LIMIT', 0, MOST_LANES)) do
      redis.call('ZADD', allowed, most, key)
    end
  end
  local shut = redis.call('ZRANGE', closed, 0, MOST_LANES - 1, 'WITHSCORES')
  for i = 1, #shut, 2 do
    if not string.find(shut[i + 1], '[.i]') then
      -- It is looked at before anything of it goes.
      redis.call('ZADD', closed, now, shut[i])
    end
  end
end
-- More may run now. What is not moved here is looked at when a message of it ends.
local lanes = redis.call('ZRANGE', full, 0, MOST_LANES - 1, 'WITHSCORES')
for i = 1, #lanes, 2 do
  redis.call('ZREM', full, lanes[i])
  redis.call('ZADD', open, lanes[i + 1], lanes[i])
end
wake_one()
return 1
