-- Schedules messages, and wakes a worker where the first of them is due sooner than workers know.
--
-- KEYS  scheduled, scheduled:bodies, wake, and scheduled:lanes where a message goes to a lane: a key that is not there would
--       have a cluster refuse all, while their slot moves
-- ARGV  ms within which workers check for themselves, then for each message: member, ms to wait, body, and what it takes
--       of its lane ('' for none, else the cost, a blank, the key)
-- Returns for each message: 1, or the error.

local scheduled, bodies, wake, lanes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local check_ms = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]

local function schedule(member, due, body, in_lane)
  redis.call('ZADD', scheduled, due, member)
  redis.call('HSET', bodies, member, body)
  if in_lane ~= '' then
    redis.call('HSET', lanes, member, in_lane)
  end
  return 1
end

local answers = {}
local soonest
for i = 2, #ARGV, 4 do
  local due = now + ARGV[i + 1]
  local ok, answer = pcall(schedule, ARGV[i], due, ARGV[i + 2], ARGV[i + 3])
  if ok then
    soonest = math.min(soonest or due, due)
  else
    answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
  end
  answers[#answers + 1] = answer
end

if soonest and soonest < now + check_ms and (not known or soonest < tonumber(known)) then
  redis.pcall('XADD', wake, 'MAXLEN', 1, '*', 'w', 1)
end
return answers
