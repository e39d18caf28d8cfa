-- Prolongs the leases of permits, also of those that have run out, unless others hold them by now. It begins with a write
-- that needs no memory, so that a permit is kept also while Redis is out of it.
--
-- KEYS  those of limiter_acquire.lua
-- ARGV  ms of the lease, for how many ms both keys are kept after it; for each permit: holder, fencing token
-- Returns for each: 1 where it is held

local permits, holders = KEYS[1], KEYS[2]
local lease_ms, keep_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + lease_ms

for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, lease_ms + keep_ms)
end
local answers = {}
for i = 3, #ARGV, 2 do
  local text = redis.call('HMGET', holders, ARGV[i])[1]
  local is_held = text and string.sub(text, 1, 20) == ARGV[i + 1] and redis.call('ZSCORE', permits, ARGV[i])
  if is_held then
    redis.call('ZADD', permits, 'XX', ends, ARGV[i])
  end
  answers[#answers + 1] = is_held and 1 or 0
end
return answers
