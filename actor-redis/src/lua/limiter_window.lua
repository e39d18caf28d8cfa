-- Takes of a limiter's window, where it may: of no span of its length more than so many.
--
-- KEYS  window: when each was taken, in us since 1970, the oldest first
-- ARGV  how many in a span, us of the span, how many to take, 1 to take them and 0 to look only
-- Returns 1 where they were, or may be; us until they may be; how many were taken in the span that ends now (when looking)

local window = KEYS[1]
local most, span, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local takes = ARGV[4] == '1'
local AT_ONCE = 1000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function push(at, count)
  local times = {}
  for i = 1, math.min(count, AT_ONCE) do
    times[i] = string.format('%.0f', at)
  end
  while count > 0 do
    local some = math.min(count, AT_ONCE)
    redis.call('RPUSH', window, unpack(times, 1, some))
    count = count - some
  end
end

-- The time of the entry at this index, from 0.
local function at(index)
  return tonumber(redis.call('LINDEX', window, index))
end

local count = redis.call('LLEN', window)
local last = count > 0 and at(-1) or 0
if last - now > span and takes then
  -- Redis's clock went back by more than the span. All of them count as taken now.
  redis.call('DEL', window)
  push(now, count)
  redis.call('PEXPIRE', window, math.ceil(span / 1000) + 1)
  last = now
end

-- The newest of those that must have left the span before.
local leaving = count + cost - most
if leaving > 0 then
  local leaves = at(leaving - 1) + span
  if leaves > now then
    return { 0, leaves - now, count }
  end
end
if takes then
  if leaving > 0 then
    redis.call('LTRIM', window, leaving, -1)
  end
  -- In order, also where the clock went back a little.
  last = math.max(last, now)
  push(last, cost)
  redis.call('PEXPIRE', window, math.ceil((last + span - now) / 1000) + 1)
  return { 1, 0, count }
end
-- The first that is in the span.
local low, high = 0, count
while low < high do
  local middle = math.floor((low + high) / 2)
  if at(middle) + span > now then
    high = middle
  else
    low = middle + 1
  end
end
return { 1, 0, count - low }
