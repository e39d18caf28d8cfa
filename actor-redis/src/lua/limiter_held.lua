-- Counts the permits that are held.
--
-- KEYS  those of limiter_acquire.lua
-- ARGV  how many may be held
-- Returns 1 where one more may be; ms until the next lease ends; how much is held

local permits, holders = KEYS[1], KEYS[2]
local most = tonumber(ARGV[1])
local AT_ONCE = 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local held = redis.call('ZCARD', permits) + (tonumber(redis.call('HMGET', holders, '')[1]) or 0)
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', permits, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
  local text = redis.call('HMGET', holders, ended)[1]
  held = held - (text and tonumber(string.sub(text, 22)) or 1)
end
if held < most then
  return { 1, 0, held }
end
local first = redis.call('ZRANGEBYSCORE', permits, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
return { 0, first and tonumber(first) - now or 1, held }
