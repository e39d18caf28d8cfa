-- Schedules lent messages again, each only while this worker holds it.
--
-- KEYS  later, later:bodies, ready:high:again, ready:high, ready:normal:again,
--       ready:normal, ready:low:again, ready:low
-- ARGV  worker, group, ms within which workers look for themselves, then for each message: level
--       (0 to 5), entry, member, ms to wait, body
-- Returns for each message: 1, 0 where this worker does not hold it, or the error.

local later, bodies, first = KEYS[1], KEYS[2], KEYS[3]
local me, group, look_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')[2]

-- A script whose first write only frees may go on where Redis is out of memory, as settling must.
redis.call('ZREM', later, '')

local soonest
local function retry(stream, entry, member, due, body)
  if #redis.call('XPENDING', stream, group, entry, entry, 1, me) == 0 then
    return 0
  end
  -- Two messages with one identity, made by a foreign producer, must not replace one another.
  if redis.call('HEXISTS', bodies, member) == 1 then
    member = member .. ':' .. entry
  end
  -- A key that holds something else must refuse before anything is stored, or half of it would stay.
  redis.call('ZADD', later, due, member)
  redis.call('HSET', bodies, member, body)
  -- It is stored again: only now may it go here.
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
  soonest = math.min(soonest or due, due)
  return 1
end

local answers = {}
for i = 4, #ARGV, 5 do
  local stream = KEYS[3 + ARGV[i]]
  local ok, answer = pcall(retry, stream, ARGV[i + 1], ARGV[i + 2], now + ARGV[i + 3], ARGV[i + 4])
  if not ok then
    answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
  end
  answers[#answers + 1] = answer
end

if soonest and soonest < now + look_ms and (not known or soonest < tonumber(known)) then
  redis.pcall('XADD', first, '*', 'w', '1')
end
return answers
