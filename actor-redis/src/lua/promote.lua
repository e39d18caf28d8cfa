-- Moves messages whose time has come to the end of their level's ready stream. Where their times were
-- deleted by hand, they are due now, rather than never.
--
-- KEYS  scheduled, scheduled:bodies, ready:high, ready:normal, ready:low
-- ARGV  how many at most, 1 where the look before this one moved some and said that more are due
-- Returns how many moved, the ms until the next is due (0 where more are due, -1 where none waits), and
-- when this was, in ms since 1970.

local scheduled, bodies = KEYS[1], KEYS[2]
local ready = { high = KEYS[3], normal = KEYS[4], low = KEYS[5] }
local limit = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Every eighth time, since it costs what is idle two commands, and as long as there is more.
local unindexed = (time[2] % 8 == 0 or ARGV[2] == '1') and redis.call('HLEN', bodies) > redis.call('ZCARD', scheduled)
if unindexed then
  -- A page at a time, from the beginning or from anywhere, so that in the end all are found. The lowest bits
  -- say in which part of the hash a scan begins: these are mostly zero here.
  local rng = math.floor(time[2] / 8)
  local members = read_fields(bodies, rng % 2 * math.floor(rng / 2), limit)
  redis.call('ZREM', scheduled, '')
  for _, member in ipairs(members) do
    redis.call('ZADD', scheduled, 'NX', now, member)
  end
end

-- One more than may move, so that the next due time is known without asking again.
local waiting = redis.call('ZRANGE', scheduled, 0, limit, 'WITHSCORES')
local members = {}
local next_ms = -1
for i = 1, #waiting, 2 do
  local due = tonumber(waiting[i + 1])
  if due > now or #members == limit then
    next_ms = math.max(0, math.ceil(due - now))
    break
  end
  members[#members + 1] = waiting[i]
end
if unindexed then
  next_ms = 0
end
if #members == 0 then
  return { 0, next_ms, now }
end

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', scheduled, '')
-- What was read for want of a time counts too, but the first moves in any case, so that it goes on.
local moved, refusal = {}, nil
for _, member in ipairs(members) do
  if is_read_enough() and #moved > 0 then
    next_ms = 0
    break
  end
  local body = redis.call('HMGET', bodies, member)[1]
  if body then
    note_read(body)
    local stream = ready[string.match(member, '^(%a+):')] or ready.normal
    local added = redis.pcall('XADD', stream, '*', 'm', body)
    if type(added) == 'table' then
      refusal = added
      break
    end
  end
  moved[#moved + 1] = member
end
if #moved > 0 then
  redis.call('ZREM', scheduled, unpack(moved))
  redis.call('HDEL', bodies, unpack(moved))
end
return refusal or { #moved, next_ms, now }
