-- Dead-letters messages in flight, each only while this worker holds it, and prunes the oldest dead letters where
-- there are too many or they are too old.
--
-- KEYS  dead, dead:bodies, dead:reasons, dead:pruned, cancelled, ready:high:released, ready:high,
--       ready:normal:released, ready:normal, ready:low:released, ready:low
-- ARGV  worker, group, ms that a dead letter is kept, how many are kept, then for each message: level
--       (0 to 5), entry, member, body, reason
-- Returns for each message: 1, 0 where this worker does not hold it, 'cancelled' where it was, and has ended, or the
-- error; and then how many dead letters were pruned.

local dead, bodies, reasons, pruned, cancelled = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local me, group = ARGV[1], ARGV[2]
local keep_ms, retention = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A script whose first write only frees may go on where Redis is out of memory, as settling must.
redis.call('ZREM', dead, '')

local cancels = any_cancelled(cancelled)

local function dead_letter(stream, entry, member, body, reason)
  if #redis.call('XPENDING', stream, group, entry, entry, 1, me) == 0 then
    return 0
  end
  if cancels and ends_cancelled(cancelled, member) then
    redis.call('XACK', stream, group, entry)
    redis.call('XDEL', stream, entry)
    return 'cancelled'
  end
  -- Two messages with one identity, made by a foreign producer, must not replace one another.
  if redis.call('HEXISTS', bodies, member) == 1 then
    member = member .. ':' .. entry
  end
  -- A key that holds something else must refuse before anything is stored, or half of it would stay.
  redis.call('HDEL', reasons, member)
  redis.call('ZADD', dead, now, member)
  redis.call('HSET', bodies, member, body)
  redis.call('HSET', reasons, member, reason)
  -- It is stored again: only now may it go here.
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
  return 1
end

local answers = {}
for i = 5, #ARGV, 5 do
  local stream = KEYS[6 + ARGV[i]]
  local ok, answer = pcall(dead_letter, stream, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  if not ok then
    answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
  end
  answers[#answers + 1] = answer
end

-- More than one call can dead-letter, so that what is over goes away in time.
local most = 2 * #answers + 100
local gone = 0
local function prune(members)
  if #members > 0 then
    gone = gone + #members
    redis.call('ZREM', dead, unpack(members))
    redis.call('HDEL', bodies, unpack(members))
    redis.call('HDEL', reasons, unpack(members))
  end
end
prune(redis.call('ZRANGEBYSCORE', dead, '-inf', now - keep_ms, 'LIMIT', 0, most))
local over = redis.call('ZCARD', dead) - retention
if over > 0 then
  prune(redis.call('ZRANGE', dead, 0, math.min(over, most) - 1))
end
if gone > 0 then
  -- It must not vanish without a trace. What is there under this name by another's hand stays.
  local known = redis.pcall('HMGET', pruned, 'count', 'first')
  if not known.err then
    redis.call('HSET', pruned, 'count', (tonumber(known[1]) or 0) + gone, 'first', known[2] or now, 'last', now)
  end
end
answers[#answers + 1] = gone
return answers
