-- Releases permits, each only where nobody has taken it over.
--
-- KEYS  those of limiter_acquire.lua
-- ARGV  for each permit: holder, fencing token
-- Returns for each: 1 where it was held

local permits, holders = KEYS[1], KEYS[2]

local answers = {}
local extra = tonumber(redis.call('HMGET', holders, '')[1]) or 0
local was = extra
for i = 1, #ARGV, 2 do
  local text = redis.call('HMGET', holders, ARGV[i])[1]
  local is_own = text and string.sub(text, 1, 20) == ARGV[i + 1]
  if is_own then
    extra = extra - ((tonumber(string.sub(text, 22)) or 1) - 1)
    redis.call('ZREM', permits, ARGV[i])
    redis.call('HDEL', holders, ARGV[i])
  end
  answers[#answers + 1] = is_own and 1 or 0
end
if extra <= 0 and was ~= 0 then
  redis.call('HDEL', holders, '')
elseif extra ~= was then
  redis.call('HSET', holders, '', extra)
end
return answers
