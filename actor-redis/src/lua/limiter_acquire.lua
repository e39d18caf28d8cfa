-- Gives a holder a permit, unless too many are held. A holder that has one keeps it, with a new lease, unless a newer
-- delivery of the same message holds it.
--
-- KEYS  permits: holder -> when its lease ends, in ms since 1970; holders: holder -> its fencing token and cost, and '' ->
--       how much more than one each the permits cost
-- ARGV  how many may be held, holder, its fencing token, of 20 digits; cost, ms of the lease, for how many ms both keys
--       are kept after it
-- Returns 1 where the permit is held; ms until the next lease ends

local permits, holders = KEYS[1], KEYS[2]
local most, holder, token, cost = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local lease_ms, keep_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local AT_ONCE = 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function of(name)
  local text = redis.call('HMGET', holders, name)[1]
  if not text then
    return nil, 1
  end
  return string.sub(text, 1, 20), tonumber(string.sub(text, 22)) or 1
end

local was = tonumber(redis.call('HMGET', holders, '')[1]) or 0
local extra = was
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', permits, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
  local _, freed = of(ended)
  extra = extra - (freed - 1)
  redis.call('ZREM', permits, ended)
  redis.call('HDEL', holders, ended)
end

local function keep_extra()
  if extra > 0 and extra ~= was then
    redis.call('HSET', holders, '', extra)
  elseif extra <= 0 and was ~= 0 then
    redis.call('HDEL', holders, '')
  end
end

local ends = redis.call('ZSCORE', permits, holder)
local own = 0
if ends then
  local newest, held = of(holder)
  if newest and newest > token then
    keep_extra()
    return { 0, tonumber(ends) - now }
  end
  own = held
end
if redis.call('ZCARD', permits) + math.max(extra, 0) - own + cost > most then
  keep_extra()
  local first = redis.call('ZRANGE', permits, 0, 0, 'WITHSCORES')[2]
  return { 0, first and math.max(tonumber(first) - now, 1) or 1 }
end
extra = extra + (cost - 1) - math.max(own - 1, 0)
redis.call('ZADD', permits, now + lease_ms, holder)
redis.call('HSET', holders, holder, token .. ' ' .. cost)
keep_extra()
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, lease_ms + keep_ms)
end
return { 1, lease_ms }
