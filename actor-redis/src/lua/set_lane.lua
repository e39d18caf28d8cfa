-- Sets a limit or the weight of a key in place of those of each.
--
-- KEYS  those of the gate
-- ARGV  key, then concurrency, us from start to start, burst, weight, and the rate as it was given, starts, a slash, ns:
--       '=' for as each key has it, '-' for none, '' for as it is now
-- Returns 1, or 0 where the queue has no lanes.

local key = ARGV[1]

if not redis.call('HMGET', gate, 'g')[1] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local parts, is_set = {}, false
for part in string.gmatch(redis.call('HMGET', limits, key)[1] or '= = = = =', '%S+') do
  local n = #parts + 1
  parts[n] = ARGV[n + 1] ~= '' and ARGV[n + 1] or part
  is_set = is_set or parts[n] ~= '='
end
if is_set then
  redis.call('HSET', limits, key, table.concat(parts, ' '))
  redis.call('HSET', gate, 'o', 1)
else
  redis.call('HDEL', limits, key)
  if redis.call('EXISTS', limits) == 0 then
    redis.call('HDEL', gate, 'o')
  end
end

-- What is used up of another rate is no more than all that starts at once.
local interval, burst = tonumber(parts[2]), tonumber(parts[3])
if parts[2] == '=' then
  local of_each = redis.call('HMGET', gate, 'kri', 'krb')
  interval, burst = tonumber(of_each[1]), tonumber(of_each[2])
end
local used = tonumber(redis.call('ZMSCORE', allowed, key)[1] or 0)
if interval and used > now + burst * interval then
  redis.call('ZADD', allowed, string.format('%.0f', now + burst * interval), key)
end
local stands = redis.call('ZMSCORE', full, key)[1]
if stands then
  open_full({ key, stands })
end
local opens = redis.call('ZMSCORE', closed, key)[1]
if opens then
  open_closed({ key, opens }, now)
end
wake_one()
return 1
